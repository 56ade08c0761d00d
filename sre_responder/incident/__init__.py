"""The record around the actions."""
