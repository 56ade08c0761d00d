"""The baselines of an incident: each is taken once, from before the incident began, and stays on its record."""

from __future__ import annotations

from collections.abc import Mapping

from sre_responder.evidence.baseline import baseline
from sre_responder.ledger import Ledger, audit, incidents
from sre_responder.model.criterion import Criterion
from sre_responder.model.look import Baseline, Number, Place

RECORDED = "baseline.recorded"


def baselines(
    ledger: Ledger, incident: str, criterion: Criterion, place: Place, *, record: bool
) -> Mapping[str, Baseline]:
    """The baseline of each look that is compared with one, by its key. What is not known yet is measured, and recorded if it can be."""
    wanted = {
        look.key: look for look in criterion.looks if isinstance(look, Number) and (look.relative or look.error_rate)
    }
    if not wanted:
        return {}
    with ledger.transaction(reading=True) as connection:
        row = incidents.get(connection, incident) if incident else None
        entries = list(audit.entries(connection, incident=incident, type=RECORDED)) if row else []
        began = (row.started_at or row.opened_at) if row else ledger.now(connection)
    known = {one.data["look"]: Baseline(one.data["value"], one.data["reason"]) for one in reversed(entries)}
    for key, look in wanted.items():
        if key in known:
            continue
        known[key] = found = baseline(look, place, began)
        if record and row and found.value is not None:
            with ledger.transaction() as connection:
                audit.append(
                    connection, ledger.now(connection), RECORDED, "responder", f"baseline of {look.title}: {found.value:g}, {found.reason}",
                    incident=incident, look=key, value=found.value, reason=found.reason,
                )  # fmt: skip
    return known
