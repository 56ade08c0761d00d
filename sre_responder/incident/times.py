"""How long one incident took: detected, acknowledged, healed (MTTD, MTTA, MTTR of one)."""

from __future__ import annotations

from collections.abc import Iterable

from sre_responder.ledger.audit import Entry


def seconds(entries: Iterable[Entry], began: float | None) -> dict[str, float | None]:
    """Seconds from the beginning of the failure to each milestone; None where it is not on the record.

    Detected when the alert opened the incident, acknowledged when the first run or a person took it up, healed when the success criterion was
    met and nothing measured later said otherwise. Containment heals nothing, nor does health while it lasts.
    """
    known = list(entries)
    detected = next((entry.seconds for entry in known if entry.type == "incident.opened"), None)
    taken = [entry.seconds for entry in known if entry.type == "run.started"]
    taken += [entry.data["acknowledged_at"] for entry in known if entry.type == "incident.acknowledged"]
    acknowledged = min(taken, default=None)
    start = began if began is not None else detected
    milestones = {"mttd_s": detected, "mtta_s": acknowledged, "mttr_s": _healed(known)}
    return {name: None if at is None or start is None else round(at - start, 2) for name, at in milestones.items()}


def _healed(entries: Iterable[Entry]) -> float | None:
    """When the recovery that held began to be measured."""
    healed, contained = None, False
    for entry in entries:
        outcome, measured = entry.data.get("outcome"), entry.data.get("measured")
        if entry.type == "action.ended" and entry.data.get("rung") == 0:
            if outcome == "improved":
                contained = entry.data.get("action") != "undo"
        elif entry.type == "action.ended" and outcome in ("improved", "not_improved"):
            healed = _first(healed, entry.seconds) if outcome == "improved" else None
            contained = contained and outcome != "improved"
        elif entry.type == "action.skipped" and entry.data.get("reason") == "healthy" and not contained:
            healed = _first(healed, entry.seconds)
        elif entry.type == "action.skipped" and measured == "unhealthy":
            healed = None
    return healed


def _first(earlier: float | None, now: float) -> float:
    return now if earlier is None else earlier
