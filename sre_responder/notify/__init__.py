"""Telling people: channels, and delivery that never blocks a decision."""
