"""What follows a page: incidents that the record has moved up, and who acknowledged them where the receiver can say."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sqlalchemy import Connection

from sre_responder.errors import InputError
from sre_responder.home import Home
from sre_responder.incident.escalation import ACKNOWLEDGED, AUDIENCES, catch_up
from sre_responder.ledger import Ledger, audit, incidents
from sre_responder.notify.channel import Channel
from sre_responder.notify.message import Acknowledged, Rejected, Unreachable


def follow(home: Home, ledger: Ledger) -> list[str]:
    """Escalate what alerts alone have moved up, and read back who acknowledged what was paged. Return what could not be done."""
    try:
        _ = home.graph  # what cannot be read keeps no message back
    except InputError as error:
        return [f"incidents are not escalated: {error}"]
    with ledger.transaction() as connection:
        now = ledger.now(connection)
        levels = {row.id: catch_up(connection, now, home, row.id) for row in incidents.open_now(connection)}
        paged = [id for id, level in levels.items() if level in AUDIENCES and not _known(connection, id)]
    return [problem for incident in paged for problem in _read_back(ledger, incident, home.policy.notifications)]


def _known(connection: Connection, incident: str) -> bool:
    return any(audit.entries(connection, incident=incident, type=ACKNOWLEDGED))


def _read_back(ledger: Ledger, incident: str, channels: Sequence[Channel]) -> Iterator[str]:
    """Put on the record who acknowledged an incident first; each channel that could not be asked is named."""
    found: list[tuple[Acknowledged, str]] = []
    for channel in channels:
        try:
            if one := channel.acknowledged(incident):
                found.append((one, channel.name))
        except (Rejected, Unreachable) as error:
            yield f"who acknowledged {incident} is not known: {error}"
    if found:
        first, name = min(found, key=lambda pair: pair[0].at)
        with ledger.transaction() as connection:
            if _known(connection, incident):  # another process has read it meanwhile
                return
            at = audit.iso(first.at)
            audit.append(
                connection, ledger.now(connection), ACKNOWLEDGED, first.who,
                f"acknowledged by {first.who} at {at[:19]}Z ({name})", incident=incident, who=first.who, acknowledged_at=first.at, channel=name,
            )  # fmt: skip
