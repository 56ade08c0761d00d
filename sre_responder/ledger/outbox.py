"""Messages to people, written with the decision and delivered apart from it, at least once."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import Connection, insert, select, update

from sre_responder.ledger.connection import Ledger
from sre_responder.ledger.schema import outbox
from sre_responder.notify.channels import Channel
from sre_responder.notify.deliver import Delivery, Message
from sre_responder.plan import canonical

_FIRST_RETRY_SECONDS = 15
_LAST_RETRY_SECONDS = 3600


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
    """Try what is due; a message stays until every channel took it. Gives the number still waiting."""
    with ledger.transaction(reading=True) as connection:
        now = ledger.now(connection)
        due = connection.execute(
            select(outbox).where(outbox.c.done_at.is_(None), outbox.c.next_at <= now).order_by(outbox.c.id).limit(100)
        ).all()
    for row in due:
        taken: list[str] = json.loads(row.delivered_to)
        open_channels = [channel for channel in channels if channel.name not in taken]
        message = Message.model_validate(json.loads(row.message))
        taken += [d.channel for d in send([message], open_channels) if d.delivered]
        done = all(channel.name in taken for channel in channels)
        wait = min(_FIRST_RETRY_SECONDS * 2**row.tries, _LAST_RETRY_SECONDS)
        with ledger.transaction() as connection:
            now = ledger.now(connection)
            connection.execute(
                update(outbox)
                .where(outbox.c.id == row.id)
                .values(
                    delivered_to=canonical(taken),
                    tries=row.tries + 1,
                    next_at=now + wait,
                    done_at=now if done else None,
                )
            )
    return waiting(ledger)


def waiting(ledger: Ledger) -> int:
    """How many messages are not delivered everywhere."""
    with ledger.transaction(reading=True) as connection:
        return len(connection.execute(select(outbox.c.id).where(outbox.c.done_at.is_(None))).all())
