"""Driving ansible-runner: prepare a fresh folder, run, watch, end, and prove that nothing is left."""
