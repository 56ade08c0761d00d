"""The guard: what it sees, its gates, and the decision that makes both binding."""
