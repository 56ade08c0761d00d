"""Who may agree, to what, and how it is proven: people, their signatures, what they decided."""
