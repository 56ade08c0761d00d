"""The emergency stop: where it stands, raising it, ending what it covers, here and in clusters."""
