"""What the house promises in figures, measured by `scripts/bench`; no test, so nothing here fails for being slow."""
