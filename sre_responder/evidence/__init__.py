"""Evidence: what the world says, apart from the answer of the call that changed it."""
