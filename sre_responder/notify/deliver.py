"""Delivery of messages, each channel apart: a dead one is told in the result and blocks no other."""

from __future__ import annotations

import json
import smtplib
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from email.message import EmailMessage
from typing import Any

from pydantic import BaseModel, ConfigDict

from sre_responder.names import shown
from sre_responder.notify.channels import Channel, File, Mail, Terminal, Webhook


class Message(BaseModel):
    """One message to people."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    id: int
    at: str
    incident: str | None
    type: str
    summary: str
    data: dict[str, Any]
    audience: str


@dataclass(frozen=True)
class Delivery:
    """What became of one message on one channel."""

    message: int
    channel: str
    delivered: bool
    reason: str = ""


def deliver(messages: Iterable[Message], channels: Sequence[Channel]) -> list[Delivery]:
    """Send every message to every channel; an error is a delivery that failed, never an exception."""
    return [_deliver(message, channel) for message in messages for channel in channels]


def _deliver(message: Message, channel: Channel) -> Delivery:
    try:
        _send(message, channel)
    except (OSError, ValueError, smtplib.SMTPException) as error:
        return Delivery(message.id, channel.name, False, f"{type(error).__name__}: {error}")
    return Delivery(message.id, channel.name, True)


def _send(message: Message, channel: Channel) -> None:
    match channel:
        case Terminal():
            who = message.audience.replace("_", " ")
            print(f"to {who}: {message.incident or ''} {shown(message.summary, 400)}", file=sys.stderr, flush=True)
        case File():
            with open(channel.path, "a", encoding="utf-8") as file:
                file.write(message.model_dump_json() + "\n")
        case Webhook():
            _post(message, channel)
        case Mail():
            mail = EmailMessage()
            mail["From"], mail["To"] = channel.sender, ", ".join(channel.recipients)
            mail["Subject"] = shown(f"[{message.incident or 'responder'}] {message.summary}", 120)
            mail.set_content(f"{shown(message.summary, 2000)}\n\n{json.dumps(message.data, indent=2)}\n")
            with smtplib.SMTP(channel.host, channel.port, timeout=channel.timeout_s) as server:
                server.send_message(mail)


def _post(message: Message, channel: Webhook) -> None:
    import httpx  # here, for it is slow to import, and every run delivers while few have a webhook

    try:
        answer = httpx.post(channel.url, json=message.model_dump(), timeout=channel.timeout_s, follow_redirects=False)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise ConnectionError(f"{type(error).__name__}: {error}") from error
    if not answer.is_success:
        raise ConnectionError(f"{channel.url} answered {answer.status_code}")
