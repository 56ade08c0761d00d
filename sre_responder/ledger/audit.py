"""The hash-chained record: append, read, verify."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Row, select, update

from sre_responder.ledger import clock, outbox
from sre_responder.ledger.connection import Ledger
from sre_responder.ledger.schema import archives, audit, chain
from sre_responder.model.names import shown
from sre_responder.model.plan import canonical

GENESIS = "0" * 64
ARCHIVED = "record.archived"
TEXT_LIMIT = 2000
"""Characters of one text in an entry; a longer one is cut, and says so."""


@dataclass(frozen=True)
class Entry:
    """One entry of the record."""

    id: int
    at: str
    incident: str | None
    type: str
    actor: str
    summary: str
    data: dict[str, Any]
    prev_hash: str
    hash: str

    @property
    def seconds(self) -> float:
        return datetime.fromisoformat(self.at).timestamp()


def iso(seconds: float) -> str:
    """Seconds since the epoch as ISO 8601 in UTC, with microseconds."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds")


def digest(  # noqa: PLR0913 - all that the chain covers
    id: int, at: str, incident: str | None, type: str, actor: str, summary: str, data: str, prev_hash: str
) -> str:
    """The hash of one entry: over all its fields and the hash before it."""
    return hashlib.sha256(canonical([id, at, incident, type, actor, summary, data, prev_hash]).encode()).hexdigest()


def append(  # noqa: PLR0913 - each is a column of one row
    connection: Connection,
    now: float,
    type: str,
    actor: str,
    summary: str,
    *,
    incident: str | None = None,
    notify: str | None = None,
    **data: Any,
) -> int:
    """Add one entry inside the caller's transaction; `notify` names the audience that must also be notified.

    If the clock jumped since the last entry, another one before this records it.
    """
    head, seen = connection.execute(select(chain)).one(), clock.read(connection)
    if jumped := clock.pending(connection, head, seen):
        said = f"the clock jumped by {jumped / 60:.0f} min, which no limit that ends by time counts"
        _put(
            connection, now, head, seen, clock.JUMPED, "responder", said,
            notify="incident_commander", data={"seconds": jumped},
        )  # fmt: skip
        head = connection.execute(select(chain)).one()
    return _put(connection, now, head, seen, type, actor, summary, incident=incident, notify=notify, data=data)


def _put(  # noqa: PLR0913 - each is a column of one row
    connection: Connection,
    now: float,
    head: Row[Any],
    seen: clock.Reading,
    type: str,
    actor: str,
    summary: str,
    *,
    incident: str | None = None,
    notify: str | None,
    data: dict[str, Any],
) -> int:
    at, text = iso(now), canonical(_cut(data))
    summary, actor = shown(summary, TEXT_LIMIT), shown(actor, 120)
    fields = (head.id + 1, at, incident, type, actor, summary, text, head.hash)
    hashed = digest(*fields)
    names = ("id", "at", "incident", "type", "actor", "summary", "data", "prev_hash")
    connection.execute(audit.insert().values(**dict(zip(names, fields, strict=True)), hash=hashed))
    connection.execute(update(chain).values(id=head.id + 1, hash=hashed, at=now, **asdict(seen)))
    if notify:
        outbox.put(
            connection,
            now,
            id=head.id + 1,
            at=at,
            incident=incident,
            type=type,
            summary=summary,
            data=json.loads(text),
            audience=notify,
        )
    return int(head.id + 1)


def _cut(value: Any) -> Any:
    if isinstance(value, str):
        return (
            value
            if len(value) <= TEXT_LIMIT
            else f"{value[:TEXT_LIMIT]}… ({len(value)} characters, cut at {TEXT_LIMIT})"
        )
    if isinstance(value, dict):
        return {str(key): _cut(item) for key, item in value.items()}
    return [_cut(item) for item in value] if isinstance(value, list | tuple) else value


def last(connection: Connection) -> int:
    """The number of the newest entry."""
    return int(connection.execute(select(chain.c.id)).scalar_one())


def entries(
    connection: Connection,
    *,
    incident: str | None = None,
    type: str | None = None,
    after: int = 0,
    until: int | None = None,
    since: float | None = None,
) -> Iterator[Entry]:
    """The entries in order, all or of one incident or type, from behind entry `after` or a time, up to entry `until`."""
    query = select(audit).where(audit.c.id > after).order_by(audit.c.id)
    if until is not None:
        query = query.where(audit.c.id <= until)
    if since is not None:
        query = query.where(audit.c.at >= iso(since))
    if incident is not None:
        query = query.where(audit.c.incident == incident)
    if type is not None:
        query = query.where(audit.c.type == type)
    with connection.execute(query.execution_options(yield_per=1000)) as rows:
        for row in rows:
            yield Entry(**{**row._mapping, "data": json.loads(row.data)})


def cloud_event(entry: Entry) -> dict[str, Any]:
    """An entry as a CloudEvent in its JSON format (CloudEvents 1.0.2)."""
    return {
        "specversion": "1.0",
        "id": str(entry.id),
        "source": "/sre-responder/audit",
        "type": f"sre.responder.{entry.type}",
        "time": entry.at,
        **({"subject": entry.incident} if entry.incident else {}),
        "datacontenttype": "application/json",
        "data": {
            "actor": entry.actor,
            "summary": entry.summary,
            **entry.data,
            "prev_hash": entry.prev_hash,
            "hash": entry.hash,
        },
    }


@dataclass(frozen=True)
class Verdict:
    """What `verify` found: how many entries are whole, and the first that is not."""

    ok: bool
    entries: int
    broken_at: int | None = None
    reason: str = ""


def verify(ledger: Ledger) -> Verdict:
    """Walk the chain once from its beginning, or from behind what was archived; the first broken link ends it."""
    with ledger.transaction(reading=True) as connection:
        head = connection.execute(select(chain)).one_or_none()
        moved = connection.execute(select(archives).order_by(archives.c.last_id.desc()).limit(1)).one_or_none()
        before, expected = (moved.last_hash, moved.last_id + 1) if moved else (GENESIS, 1)
        told = moved is None
        query = select(audit).order_by(audit.c.id).execution_options(yield_per=5000)
        with connection.execute(query) as rows:
            for id, at, incident, type, actor, summary, data, prev_hash, hashed in rows:
                if id != expected:
                    return Verdict(False, expected - 1, expected, f"entry {expected} is missing")
                if prev_hash != before:
                    return Verdict(False, expected - 1, id, "does not follow the entry before it")
                if hashed != digest(id, at, incident, type, actor, summary, data, prev_hash):
                    return Verdict(False, expected - 1, id, "its content is not what was hashed")
                if moved and type == ARCHIVED:
                    told = told or json.loads(data).get("last_hash") == moved.last_hash
                before, expected = hashed, expected + 1
    if not told:
        return Verdict(False, expected - 1, 1, "the beginning was removed, and no entry says that it was archived")
    if head is None or (head.id, head.hash) != (expected - 1, before):
        return Verdict(False, expected - 1, expected, "the tail is cut or was added without the head")
    return Verdict(True, expected - 1)
