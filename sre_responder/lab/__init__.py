"""The embedded lab: a small shop of real processes to break and to heal."""
