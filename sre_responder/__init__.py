"""Guarded incident runbooks: no mutation without its decision, no decision without its record."""

from __future__ import annotations

__version__ = "0.1.0"
