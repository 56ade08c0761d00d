"""Messages to people, written with the decision and delivered apart from it, at least once."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from sre_responder.ledger.connection import Ledger
from sre_responder.ledger.schema import outbox
from sre_responder.model.plan import canonical
from sre_responder.notify.channel import Channel
from sre_responder.notify.message import Delivery, Message

_FIRST_RETRY_SECONDS = 15
_LAST_RETRY_SECONDS = 3600
REJECTED_TRIES = 8
"""A receiver that answered and does not take a message is tried so often, over about half an hour, and then given up."""
_SHOWN_DAYS = 7


@dataclass(frozen=True)
class Trouble:
    """What a channel did not take: how many messages, since when, why the last of them, and whether it was given up."""

    channel: str
    messages: int
    since: float
    reason: str
    given_up: bool

    @property
    def text(self) -> str:
        count = f"{self.messages} message{'s' if self.messages > 1 else ''}"
        return f"{count} to {self.channel} {'given up' if self.given_up else 'waiting'}: {self.reason}"


def put(connection: Connection, now: float, **message: Any) -> None:
    """Leave a message in the caller's transaction."""
    connection.execute(
        insert(outbox).values(message=canonical(message), made_at=now, tries=0, next_at=now, delivered_to="[]")
    )


def deliver(
    ledger: Ledger,
    channels: Sequence[Channel],
    send: Callable[[Sequence[Message], Sequence[Channel]], Sequence[Delivery]],
) -> int:
    """Try what is due; a message stays until every channel took it or gave it up. Returns the number still waiting."""
    with ledger.transaction(reading=True) as connection:
        now = ledger.now(connection)
        due = connection.execute(
            select(outbox).where(outbox.c.done_at.is_(None), outbox.c.next_at <= now).order_by(outbox.c.id).limit(100)
        ).all()
    for row in due:
        message, settled = Message.model_validate(json.loads(row.message)), set(json.loads(row.delivered_to))
        if row.tries and _over_since(ledger, row.id, message.subject):
            settled |= {channel.name for channel in channels if channel.pages}
        deliveries = send([message], [channel for channel in channels if channel.name not in settled])
        given_up = row.tries + 1 >= REJECTED_TRIES
        failed = [one for one in deliveries if not one.delivered]
        left = [one for one in failed if not (one.rejected and given_up)]
        asked = max((one.after_s for one in left), default=0)
        settled |= {one.channel for one in deliveries} - {one.channel for one in left}
        kept = {name: why for name, why in json.loads(row.problems).items() if name in json.loads(row.delivered_to)}
        with ledger.transaction() as connection:
            now = ledger.now(connection)
            connection.execute(
                update(outbox)
                .where(outbox.c.id == row.id)
                .values(
                    delivered_to=canonical(sorted(settled)),
                    problems=canonical(kept | {one.channel: one.reason[:300] for one in failed}),
                    tries=row.tries + 1,
                    next_at=now + min(max(_FIRST_RETRY_SECONDS * 2**row.tries, asked), _LAST_RETRY_SECONDS),
                    done_at=None if left else now,
                )
            )
    return waiting(ledger)


def _over_since(ledger: Ledger, id: int, subject: str) -> bool:
    """Whether a later message says that the matter is over."""
    with ledger.transaction(reading=True) as connection:
        later = connection.execute(select(outbox.c.message).where(outbox.c.id > id)).scalars()
        messages = (Message.model_validate(json.loads(text)) for text in later)
        return any(message.over and message.subject == subject for message in messages)


def overdue(ledger: Ledger, seconds: float) -> bool:
    """Whether a message has been due for so long that whoever left it is not delivering it."""
    with ledger.transaction(reading=True) as connection:
        late = outbox.c.next_at <= ledger.now(connection) - seconds
        query = select(outbox.c.id).where(outbox.c.done_at.is_(None), late).limit(1)
        return connection.execute(query).first() is not None


def waiting(ledger: Ledger) -> int:
    """How many messages are not delivered everywhere."""
    with ledger.transaction(reading=True) as connection:
        return len(connection.execute(select(outbox.c.id).where(outbox.c.done_at.is_(None))).all())


def troubles(connection: Connection, now: float) -> list[Trouble]:
    """What each channel has not taken: all that waits, and what was given up within a week."""
    recent = outbox.c.done_at.is_(None) | (outbox.c.done_at >= now - _SHOWN_DAYS * 86400)
    rows = connection.execute(select(outbox).where(recent, outbox.c.problems != "{}"))
    by_channel: dict[tuple[str, bool], list[Row[Any]]] = {}
    for row in sorted(rows, key=lambda row: int(row.id)):  # a database that sorts would read the whole table
        for channel in json.loads(row.problems):
            by_channel.setdefault((channel, channel in json.loads(row.delivered_to)), []).append(row)
    return [
        Trouble(channel, len(found), found[0].made_at, json.loads(found[-1].problems)[channel], given_up)
        for (channel, given_up), found in by_channel.items()
    ]
