"""The nouns of the field: pure, frozen, importing nothing but errors and each other."""
