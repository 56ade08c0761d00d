"""The emergency stop: its sources, read so that anything unreadable means stopped (spec section 3)."""

from __future__ import annotations

import json
import os
import stat
import sys
import unicodedata
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import Connection, Row, insert, or_, select

from sre_responder.errors import Stopped
from sre_responder.ledger import audit
from sre_responder.ledger.schema import stops
from sre_responder.model.facts import StopFact
from sre_responder.model.names import shown

REASON_LIMIT = 500


@dataclass(frozen=True)
class Source:
    """What the stop file says: clear, raised with its text, or unreadable (which stops as well)."""

    state: Literal["clear", "raised", "unreadable"]
    reason: str = ""


def read_file(path: Path) -> Source:
    """Clear only where the folder can be read and holds neither the file nor what looks like it."""
    try:
        with os.scandir(path.parent) as folder:
            alike = sorted(entry.name for entry in folder if _alike(entry.name, path.name))
    except FileNotFoundError:
        return Source(
            "unreadable", f"the folder {path.parent} does not exist; create it, or name another file in policy.yml"
        )
    except OSError as error:
        return Source("unreadable", f"the folder {path.parent} cannot be read: {error.strerror}")
    if not alike:
        return Source("clear")
    if path.name not in alike:
        found = _read(path.with_name(alike[0]))
        return Source(found.state, f"{found.reason} ('{shown(alike[0])}' is taken for the stop file, {path.name})")
    return _read(path)


def write_file(path: Path, reason: str) -> bool:
    """Raise the stop by its file, for where the ledger cannot be used. False if one is there; what is there stays as it is."""
    if read_file(path).state == "raised":
        return False
    with open(path, "x", encoding="utf-8") as file:
        file.write(f"{reason}\n")
        file.flush()
        os.fsync(file.fileno())
    return True


def _alike(name: str, wanted: str) -> bool:
    """Whether a person who made this file meant the stop: case, blanks, signs between words and an extension do not matter."""
    stem = name.strip().split(".")[0] if "." not in wanted else name
    return name == wanted or _letters(stem) == _letters(wanted) != ""


def _letters(text: str) -> str:
    return "".join(sign for sign in unicodedata.normalize("NFKC", text).casefold() if sign.isalnum())


def _read(path: Path) -> Source:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                return Source("unreadable", f"{path} is not a file")
            text = os.read(descriptor, REASON_LIMIT * 4).decode("utf-8", "replace").strip()
        finally:
            os.close(descriptor)
    except OSError as error:
        return Source("unreadable", f"{path} is there and cannot be read: {error.strerror}")
    return Source("raised", shown(text, REASON_LIMIT) or "no reason given")


def raise_(  # noqa: PLR0913 - each is a column of one row
    connection: Connection,
    now: float,
    holder: str,
    reason: str,
    *,
    environment: str | None = None,
    service: str | None = None,
    source: str = "ledger",
) -> str:
    """Raise a stop for everything, an environment or a service; gives its name."""
    done = connection.execute(
        insert(stops).values(
            holder=shown(holder, 64),
            reason=shown(reason, REASON_LIMIT),
            environment=environment,
            service=service,
            source=source,
            raised_at=now,
        )
    )
    key = done.inserted_primary_key
    name = f"STOP-{key[0] if key else '?'}"
    audit.append(
        connection,
        now,
        "stop.raised",
        holder,
        f"{name} covers {scope(environment, service)}: {reason}",
        notify="incident_commander",
        stop=name,
    )
    return name


def every_standing(connection: Connection) -> Sequence[Row[Any]]:
    """The stops of the ledger that stand, whatever they cover, in the order in which they were raised."""
    return connection.execute(select(stops).where(stops.c.lifted_at.is_(None)).order_by(stops.c.id)).all()


def note(connection: Connection, now: float, source: Source) -> None:
    """A stop file that is seen for the first time becomes a stop of the ledger, so that deleting the file does not lift it."""
    if source.state == "raised" and not any(row.source == "file" for row in every_standing(connection)):
        raise_(connection, now, "the stop file", source.reason, source="file")


def standing(
    connection: Connection, now: float, file: Path, *, environment: str, service: str, record: bool
) -> tuple[StopFact, ...]:
    """The stops that cover a service in an environment; with `record`, a stop file that raises one is noted first."""
    source = read_file(file)
    if record:
        note(connection, now, source)
    found = []
    if source.state == "unreadable":
        found.append(StopFact("file", "the stop file", source.reason, "everything", None))
    rows = connection.execute(
        select(stops)
        .where(
            stops.c.lifted_at.is_(None),
            or_(stops.c.environment.is_(None), stops.c.environment == environment),
            or_(stops.c.service.is_(None), stops.c.service == service),
        )
        .order_by(stops.c.id)
    ).all()
    found += [StopFact(f"STOP-{r.id}", r.holder, r.reason, scope(r.environment, r.service), r.raised_at) for r in rows]
    if source.state == "raised" and not any(row.source == "file" for row in rows):
        found.append(StopFact("file", "the stop file", source.reason, "everything", now))
    return tuple(found)


def to_stderr(line: str) -> None:
    """Where the line of a blocked action goes, unless the caller has another way there."""
    with suppress(OSError, ValueError, AttributeError):  # a reader that went away stops nothing
        print(line, file=sys.stderr, flush=True)


def scope(environment: str | None, service: str | None) -> str:
    """The scope of a stop in words."""
    return " in ".join(part for part in (service, environment) if part) or "everything"


def report(
    incident: str, action: str, facts: tuple[StopFact, ...], at: str, tell: Callable[[str], None] = to_stderr
) -> Stopped:
    """Tell the one JSON line of a blocked action, and give the error to raise."""
    reason = "; ".join(f"{fact.id} by {fact.holder}: {fact.reason}" for fact in facts)
    line = {"timestamp": at, "incident_id": incident, "action_blocked": action, "reason": reason, "outcome": "blocked"}
    tell(json.dumps(line))
    return Stopped(f"emergency stop: {reason}.", cure=facts[0].cleared_with)
