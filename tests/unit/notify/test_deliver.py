"""Messages reach people by file, webhook, mail and terminal; a dead channel is told and blocks no other."""

from __future__ import annotations

import email
import email.policy
import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from hypothesis import given
from hypothesis import strategies as st

from sre_responder.notify.channel import Channel
from sre_responder.notify.channels.file import File
from sre_responder.notify.channels.mail import Mail
from sre_responder.notify.channels.terminal import Terminal
from sre_responder.notify.channels.webhook import Webhook
from sre_responder.notify.deliver import deliver
from sre_responder.notify.message import Delivery, Message

Serve = Callable[..., str]
MESSAGE = Message(
    id=7, at="2026-01-01T00:00:00Z", incident="INC-1234", type="gate.blocked", summary="release_rollback refused: stop",
    data={"gates": ["stop"]}, audience="incident_commander",
)  # fmt: skip
TERMINAL = Terminal(kind="terminal")


class Mailbox:
    """An SMTP relay that keeps what it is given."""

    def __init__(self, answer: str = "250 OK") -> None:
        self.answer, self.mails = answer, list[Any]()

    async def handle_DATA(self, server: object, session: object, envelope: Any) -> str:
        self.mails.append(envelope)
        return self.answer


@pytest.fixture
def relay() -> Iterator[Callable[..., Mail]]:
    """`relay(MAILBOX)` is the channel to a relay that fills the mailbox."""
    running: list[Controller] = []

    def start(mailbox: Mailbox, **changes: Any) -> Mail:
        controller = Controller(mailbox, hostname="127.0.0.1", port=closed_port())
        controller.start()
        running.append(controller)
        values: dict[str, Any] = {
            "sender": "responder@example.org",
            "recipients": ["dana@example.org", "iris@example.org"],
        }
        return Mail.model_validate({"kind": "mail", "host": "127.0.0.1", "port": controller.port, **values, **changes})

    yield start
    for controller in running:
        controller.stop()


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def webhook(url: str, **changes: Any) -> Webhook:
    return Webhook.model_validate({"kind": "webhook", "url": url, **changes})


def told(channel: Channel, message: Message = MESSAGE) -> Delivery:
    [delivery] = deliver([message], [channel])
    assert (delivery.message, delivery.channel) == (message.id, channel.name)
    return delivery


def test_a_file_gets_one_line_of_json_a_message_behind_what_it_holds(tmp_path: Path) -> None:
    channel = File(kind="file", path=tmp_path / "messages.jsonl")
    assert [told(channel, MESSAGE.model_copy(update={"id": id})).delivered for id in (1, 2)] == [True, True]
    lines = [json.loads(line) for line in channel.path.read_text().splitlines()]
    assert lines == [{**MESSAGE.model_dump(), "id": 1}, {**MESSAGE.model_dump(), "id": 2}]


@given(summary=st.text(), word=st.text())
def test_a_message_is_one_line_of_a_file_whatever_it_says(
    tmp_path_factory: pytest.TempPathFactory, summary: str, word: str
) -> None:
    path = tmp_path_factory.mktemp("any") / "messages.jsonl"
    message = MESSAGE.model_copy(update={"summary": summary, "data": {word: word}})
    assert told(File(kind="file", path=path), message).delivered
    assert [json.loads(line) for line in path.read_bytes().split(b"\n")[:-1]] == [message.model_dump()]


def test_a_webhook_gets_the_message_as_json(serve: Serve) -> None:
    seen: list[bytes] = []
    assert told(webhook(serve(status=204, seen=seen))).delivered
    assert [json.loads(body) for body in seen] == [MESSAGE.model_dump()]


@pytest.mark.parametrize("status", [302, 400, 404, 500, 503])
def test_a_webhook_that_answers_otherwise_than_with_success_was_not_reached(serve: Serve, status: int) -> None:
    followed: list[bytes] = []
    address = serve(status=status, headers={"Location": serve(seen=followed)})
    delivery = told(webhook(address))
    assert (delivery.delivered, str(status) in delivery.reason, followed) == (False, True, [])


def test_a_mail_names_incident_and_summary_and_carries_the_facts(relay: Callable[..., Mail]) -> None:
    mailbox = Mailbox()
    assert told(relay(mailbox)).delivered
    [envelope] = mailbox.mails
    mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
    assert envelope.rcpt_tos == ["dana@example.org", "iris@example.org"]
    assert mail["Subject"] == "[INC-1234] release_rollback refused: stop"
    assert '"gates"' in mail.get_content()


@pytest.mark.parametrize(
    "summary", ["one\r\nBcc: eve@example.org", "\n\nbody", "\x1b[31mred", "x" * 5000, "gr\u00fc\u00df", "\ud800"]
)
def test_no_summary_can_add_a_header_or_hinder_a_mail(relay: Callable[..., Mail], summary: str) -> None:
    mailbox = Mailbox()
    assert told(relay(mailbox), MESSAGE.model_copy(update={"summary": summary})).delivered
    [envelope] = mailbox.mails
    mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
    assert envelope.rcpt_tos == ["dana@example.org", "iris@example.org"]
    assert mail["Bcc"] is None
    assert len(mail["Subject"]) < 250


def test_a_relay_that_refuses_was_not_reached(relay: Callable[..., Mail]) -> None:
    delivery = told(relay(Mailbox("554 no")))
    assert (delivery.delivered, "554" in delivery.reason) == (False, True)


def test_the_terminal_is_standard_error_and_shows_text_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    assert told(TERMINAL, MESSAGE.model_copy(update={"summary": "\x1b[31mred\n"})).delivered
    assert capsys.readouterr() == ("", "to incident commander: INC-1234 \\x1b[31mred\\n\n")


def dead_channels(tmp_path: Path) -> dict[str, Channel]:
    port = closed_port()
    return {
        "a refused connection": webhook(f"http://127.0.0.1:{port}/"),
        "no address": webhook("http://["),
        "no relay": Mail(kind="mail", host="127.0.0.1", port=port, sender="a@b", recipients=("c@d",)),
        "a sender that is none": Mail(kind="mail", host="127.0.0.1", port=port, sender="a\nb", recipients=("c@d",)),
        "a missing folder": File(kind="file", path=tmp_path / "none" / "x"),
        "a folder": File(kind="file", path=tmp_path),
    }


@pytest.mark.parametrize("case", dead_channels(Path()))
def test_a_dead_channel_is_told_with_its_reason(tmp_path: Path, case: str) -> None:
    delivery = told(dead_channels(tmp_path)[case])
    assert (delivery.delivered, bool(delivery.reason)) == (False, True)


@pytest.mark.parametrize("case", dead_channels(Path()))
def test_a_dead_channel_blocks_no_other(tmp_path: Path, case: str) -> None:
    good = File(kind="file", path=tmp_path / "messages.jsonl", name="good")
    messages = [MESSAGE, MESSAGE.model_copy(update={"id": 8})]
    found = deliver(messages, [dead_channels(tmp_path)[case], good])
    assert [delivery.delivered for delivery in found] == [False, True, False, True]
    assert len(good.path.read_text().splitlines()) == 2


def test_a_webhook_that_never_answers_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        delivery = told(webhook(f"http://127.0.0.1:{silent.getsockname()[1]}/", timeout_s=0.1))
    assert (delivery.delivered, delivery.reason) == (False, "webhook did not answer within 0.1 s")
