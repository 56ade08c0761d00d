"""After the act: what became of it, and the way back."""
