"""Whole incidents on a real control plane, one fault each, and oracles that say what became of them."""
