"""How long one incident took: detected, acknowledged, healed (MTTD, MTTA, MTTR of one)."""

from __future__ import annotations

from collections.abc import Iterable

from sre_responder.ledger.audit import Entry


def seconds(entries: Iterable[Entry], began: float | None) -> dict[str, float | None]:
    """Seconds from the beginning of the failure to each milestone; None where it is not on the record.

    Detected when the alert opened the incident, acknowledged when the first run took it up, healed when evidence said so.
    """
    first: dict[str, float] = {}
    for entry in entries:
        healed = entry.type == "action.ended" and entry.data.get("outcome") == "improved"
        healed = healed or (entry.type == "action.skipped" and entry.data.get("reason") == "healthy")
        name = (
            "mttd_s"
            if entry.type == "incident.opened"
            else "mtta_s"
            if entry.type == "run.started"
            else "mttr_s"
            if healed
            else None
        )
        if name == "mttr_s" or (name and name not in first):
            first.setdefault(name, entry.seconds)
    start = began if began is not None else first.get("mttd_s")
    return {
        name: round(first[name] - start, 2) if name in first and start is not None else None
        for name in ("mttd_s", "mtta_s", "mttr_s")
    }
