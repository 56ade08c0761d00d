"""Delivery of messages, each channel apart: a dead one is told in the result and blocks no other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sre_responder.model.names import shown
from sre_responder.notify.channel import Channel
from sre_responder.notify.message import Delivery, Message, Rejected, Unreachable


def deliver(messages: Iterable[Message], channels: Sequence[Channel]) -> list[Delivery]:
    """Send every message to every channel; an error is a delivery that failed, never an exception."""
    return [_deliver(message, channel) for message in messages for channel in channels]


def _deliver(message: Message, channel: Channel) -> Delivery:
    try:
        said = channel.send(message)
    except Rejected as error:
        return Delivery(message.id, channel.name, False, str(error), rejected=True)
    except Unreachable as error:
        return Delivery(message.id, channel.name, False, str(error), after_s=error.after_s)
    except Exception as error:  # a fault of one channel must not keep a decision, or another channel, waiting
        # Its text is left out: nobody knows whether it holds an address or a key.
        return Delivery(message.id, channel.name, False, f"{channel.name} failed: {type(error).__name__}")
    return Delivery(message.id, channel.name, True, shown(said, 200))
