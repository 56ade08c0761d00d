"""Who asks for which action."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Request:
    """Who asks for what, in plain values; `problems` is what is wrong with the names and arguments given."""

    action: str
    incident: str
    service: str
    environment: str
    confirm_production: bool
    run: str
    task: str
    step: str
    host: str
    hosts: tuple[str, ...]
    requester: str
    problems: tuple[str, ...] = ()
    undoes: int | None = None
    """The attempt whose before-state this restores: the step back that was declared with the step."""
