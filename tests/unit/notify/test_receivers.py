"""Each kind of receiver is sent what its vendor documents, and what it answers is told as what it is."""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword
from pydantic import TypeAdapter, ValidationError
from support.listening import listening

from sre_responder.notify.channel import Channel
from sre_responder.notify.channels import KINDS, AnyChannel
from sre_responder.notify.deliver import deliver
from sre_responder.notify.message import Delivery, Message

MESSAGE = Message(
    id=7, at="2026-01-01T00:00:00+00:00", incident="INC-1234", type="gate.blocked", summary="refused: <stop> & wait",
    data={"gates": ["stop"]}, audience="incident_commander",
)  # fmt: skip
SECRET = "T0PS3CR3T"


@dataclass
class Receiver:
    """A server that answers every POST with one answer and keeps what it was sent."""

    answer: str = ""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    asked: list[tuple[str, dict[str, str], Any]] = field(default_factory=list)
    url: str = ""

    @property
    def body(self) -> Any:
        [(_, _, body)] = self.asked
        return body


@pytest.fixture
def receive() -> Iterator[Callable[..., Receiver]]:
    def start(status: int = 200, answer: str = "", **headers: str) -> Receiver:
        receiver = Receiver(answer, status, headers)

        class Answer(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.asked.append((self.path, dict(self.headers), json.loads(body)))
                self.send_response(receiver.status)
                for name, value in receiver.headers.items():
                    self.send_header(name.replace("_", "-"), value)
                self.end_headers()
                self.wfile.write(receiver.answer.encode())

            def log_message(self, *_: object) -> None:
                """Quiet."""

        receiver.url = f"{listen(Answer)}/{SECRET}"
        return receiver

    with listening() as listen:
        yield start


SETTINGS: dict[str, dict[str, Any]] = {
    "slack": {}, "msteams": {}, "webhook": {}, "pagerduty": {"routing_key": SECRET}, "opsgenie": {"api_key": SECRET},
}  # fmt: skip
HTTP_KINDS = [*SETTINGS]


def channel(kind: str, **settings: Any) -> Channel:
    found: Channel = TypeAdapter(AnyChannel).validate_python({"kind": kind, **SETTINGS.get(kind, {}), **settings})
    return found


def told(channel: Channel, **changes: Any) -> Delivery:
    [delivery] = deliver([MESSAGE.model_copy(update=changes)], [channel])
    return delivery


def test_every_file_of_the_folder_is_a_kind() -> None:
    assert sorted(KINDS) == sorted([*HTTP_KINDS, "file", "mail", "terminal"])


def test_slack_gets_text_with_its_three_letters_escaped(receive: Callable[..., Receiver]) -> None:
    slack = receive(answer="ok")
    assert told(channel("slack", url=slack.url)) == Delivery(7, "slack", True, "ok")
    text = "[INC-1234] refused: &lt;stop&gt; &amp; wait\nresponder incident show INC-1234"
    assert slack.body == {"text": text}


@pytest.mark.parametrize(
    ("kind", "status", "answer", "reason", "rejected"),
    [
        # https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks#handling_errors
        ("slack", 400, "no_text", "slack answered 400 no_text", True),
        ("slack", 400, "invalid_payload", "slack answered 400 invalid_payload", True),
        ("slack", 403, "action_prohibited", "slack answered 403 action_prohibited", True),
        ("slack", 404, "channel_not_found", "slack answered 404 channel_not_found", True),
        ("slack", 410, "channel_is_archived", "slack answered 410 channel_is_archived", True),
        ("slack", 429, "rate_limited", "slack answered 429 rate_limited", False),
        ("slack", 500, "rollup_error", "slack answered 500 rollup_error", False),
        ("slack", 200, '{"ok": false, "error": "x"}', 'slack answered 200 {"ok": false, "error": "x"}', True),
        ("msteams", 400, '{"error":{"code":"InvalidRequestContent","message":"No body."}}', "msteams answered 400 No body.", True),
        ("msteams", 401, "", "msteams answered 401", True),
        ("pagerduty", 400, '{"status":"invalid event","message":"Event object is invalid","errors":["Length of \'routing_key\' is incorrect"]}',
         "pagerduty answered 400 Event object is invalid; Length of 'routing_key' is incorrect", True),
        ("pagerduty", 429, "", "pagerduty answered 429", False),
        ("pagerduty", 503, "", "pagerduty answered 503", False),
        ("opsgenie", 422, '{"message":"Request body is not processable.","took":0.1}', "opsgenie answered 422 Request body is not processable.", True),
        ("opsgenie", 429, '{"message":"slow down"}', "opsgenie answered 429 slow down", False),
        ("webhook", 302, "", "webhook answered 302", True),
        ("webhook", 408, "", "webhook answered 408", False),
    ],
)  # fmt: skip
def test_an_answer_is_told_as_what_it_is(
    receive: Callable[..., Receiver], kind: str, status: int, answer: str, reason: str, rejected: bool
) -> None:
    receiver = receive(status, answer, Location="/elsewhere")
    assert told(channel(kind, url=receiver.url)) == Delivery(7, kind, False, reason, rejected)
    assert len(receiver.asked) == 1


@pytest.mark.parametrize(
    ("asks", "seconds"), [("30", 30), ("0", 0), ("soon", 0), ("-5", 0), ("\u00b2", 0), ("1e9", 0), ("999999", 0)]
)
def test_how_long_slack_asks_to_be_left_alone_is_kept(
    receive: Callable[..., Receiver], asks: str, seconds: float
) -> None:
    assert told(channel("slack", url=receive(429, Retry_After=asks).url)).after_s == seconds


def test_a_teams_workflow_gets_an_adaptive_card(receive: Callable[..., Receiver]) -> None:
    teams = receive(202)
    assert told(channel("msteams", url=teams.url)).delivered
    [card] = teams.body["attachments"]
    assert (teams.body["type"], card["contentType"]) == ("message", "application/vnd.microsoft.card.adaptive")
    assert card["content"]["body"][0]["text"] == "[INC-1234] refused: <stop> & wait"


EVENTS = [
    ("incident.opened", "trigger"), ("gate.blocked", "trigger"), ("approval.granted", "acknowledge"),
    ("approval.denied", "acknowledge"), ("approval.break_glass", "acknowledge"), ("incident.closed", "resolve"),
]  # fmt: skip


@pytest.mark.parametrize(("event", "action"), EVENTS)
def test_pagerduty_has_one_incident_for_one_of_ours(receive: Callable[..., Receiver], event: str, action: str) -> None:
    pager = receive(202, '{"status":"success","message":"Event processed","dedup_key":"INC-1234"}')
    assert told(channel("pagerduty", url=pager.url), type=event).delivered
    assert (pager.body["event_action"], pager.body["dedup_key"], pager.body["routing_key"]) == (
        action,
        "INC-1234",
        SECRET,
    )
    assert ("payload" in pager.body) == (action == "trigger")
    if action == "trigger":
        assert pager.body["payload"].keys() >= {"summary", "source", "severity"}


@pytest.mark.parametrize(("event", "action"), EVENTS)
def test_opsgenie_has_one_alert_for_one_incident(receive: Callable[..., Receiver], event: str, action: str) -> None:
    pager = receive(202, '{"result":"Request will be processed","took":0.1,"requestId":"r"}')
    assert told(channel("opsgenie", url=pager.url), type=event).delivered
    [(path, headers, body)] = pager.asked
    at = {
        "trigger": "",
        "acknowledge": "/INC-1234/acknowledge?identifierType=alias",
        "resolve": "/INC-1234/close?identifierType=alias",
    }[action]
    assert path == f"/{SECRET}/v2/alerts{at}"
    assert headers["Authorization"] == f"GenieKey {SECRET}"
    assert action != "trigger" or (body["alias"] == "INC-1234" and body["priority"] == "P1")


@pytest.mark.parametrize(("event", "action"), [("stop.raised", "trigger"), ("stop.lifted", "resolve")])
def test_a_stop_is_paged_and_resolved_under_its_own_name(
    receive: Callable[..., Receiver], event: str, action: str
) -> None:
    pager = receive(202)
    assert told(channel("pagerduty", url=pager.url), type=event, incident=None, data={"stop": "STOP-4"}).delivered
    assert (pager.body["event_action"], pager.body["dedup_key"]) == (action, "STOP-4")


@pytest.mark.parametrize("summary", ["x" * 5000, "\x1b" * 5000])
def test_no_summary_is_longer_than_a_pager_takes(receive: Callable[..., Receiver], summary: str) -> None:
    pager, other = receive(202), receive(202)
    told(channel("pagerduty", url=pager.url), summary=summary)
    told(channel("opsgenie", url=other.url), summary=summary)
    assert len(pager.body["payload"]["summary"]) <= 1024
    assert len(other.body["message"]) <= 130


def test_a_webhook_sends_its_headers_and_the_body_that_its_expression_makes(
    receive: Callable[..., Receiver], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOOK_TOKEN", f"Bearer {SECRET}\n")
    hook = receive(204)
    headers = {"Authorization": {"env": "HOOK_TOKEN"}, "X-Team": "payments"}
    assert told(
        channel("webhook", url=hook.url, headers=headers, body="{text: summary, where: data.gates[0]}")
    ).delivered
    [(_, sent, body)] = hook.asked
    assert (sent["Authorization"], sent["X-Team"]) == (f"Bearer {SECRET}", "payments")
    assert body == {"text": MESSAGE.summary, "where": "stop"}


@pytest.mark.parametrize("kind", HTTP_KINDS)
def test_an_address_may_be_kept_in_the_environment_or_in_a_file(
    receive: Callable[..., Receiver], kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    receiver = receive()
    monkeypatch.setenv("WHERE", receiver.url)
    (tmp_path / "where").write_text(f"{receiver.url}\n")
    assert told(channel(kind, url={"env": "WHERE"})).delivered
    assert told(channel(kind, url={"file": str(tmp_path / "where")})).delivered
    assert len(receiver.asked) == 2


@pytest.mark.parametrize("kind", HTTP_KINDS)
def test_a_missing_secret_is_named_and_disables_only_its_channel(
    receive: Callable[..., Receiver], kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WHERE", raising=False)
    receiver, absent = receive(), tmp_path / "absent"
    channels = [channel(kind, name="a", url={"env": "WHERE"}), channel(kind, name="b", url={"file": str(absent)})]
    found = deliver([MESSAGE], [*channels, channel("slack", url=receiver.url)])
    assert [one.delivered for one in found] == [False, False, True]
    assert found[0].reason == "the environment variable WHERE holds no secret"
    assert str(absent) in found[1].reason
    assert not any(one.rejected for one in found), "it may be put right"


@pytest.mark.parametrize("kind", HTTP_KINDS)
@pytest.mark.parametrize("what", ["refuses", "closed", "not valid", "no scheme", "control"])
def test_no_error_shows_an_address_or_a_key(
    receive: Callable[..., Receiver], kind: str, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    urls = {
        "refuses": receive(404).url, "closed": f"http://127.0.0.1:1/{SECRET}", "not valid": f"http://[{SECRET}",
        "no scheme": f"{SECRET}.example.org", "control": f"http://127.0.0.1:1/{SECRET}\x07",
    }  # fmt: skip
    monkeypatch.setenv("WHERE", urls[what])
    delivery = told(channel(kind, url={"env": "WHERE"}))
    assert not delivery.delivered and delivery.reason
    assert SECRET not in delivery.reason


@pytest.mark.parametrize("value", ["a\x00b", "a\nb", "gr\u00fc\u00df", "\u20ac"])
def test_a_header_that_cannot_be_sent_does_not_show_its_secret(
    receive: Callable[..., Receiver], value: str, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text(f"{SECRET}{value}{SECRET}")
    delivery = told(channel("webhook", url=receive(400).url, headers={"X": {"file": str(tmp_path / "token")}}))
    assert (delivery.delivered, SECRET in delivery.reason) == (False, False)


@pytest.mark.parametrize(
    "settings",
    [
        {"kind": "slack", "url": "hooks.slack.com/x"}, {"kind": "slack"}, {"kind": "slack", "url": {}},
        {"kind": "slack", "url": {"env": "A", "file": "b"}}, {"kind": "pagerduty"}, {"kind": "opsgenie"},
        {"kind": "webhook", "url": "http://a", "body": "{text:"}, {"kind": "slack", "url": "http://a", "colour": "red"},
        {"kind": "mail", "host": "h", "sender": "a@b", "recipients": []},
        {"kind": "mail", "host": "h", "sender": "a@b", "recipients": ["c@d"], "username": "u", "tls": "starttls"},
        {"kind": "mail", "host": "h", "sender": "a@b", "recipients": ["c@d"], "username": "u", "password": "p"},
    ],
)  # fmt: skip
def test_a_channel_that_cannot_work_is_refused_with_the_policy(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(AnyChannel).validate_python(settings)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


class Relay:
    """A relay that takes mail of one login only, over TLS only."""

    def __init__(self, folder: Path) -> None:
        self.certificate, key = folder / "relay.pem", folder / "relay.key"
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", key, "-out", self.certificate, "-days", "1",
             "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"],
            check=True, capture_output=True,
        )  # fmt: skip
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.tls.load_cert_chain(self.certificate, key)
        self.mails: list[Any] = []

    def authenticate(self, _server: Any, _session: Any, _envelope: Any, _mechanism: str, login: Any) -> AuthResult:
        assert isinstance(login, LoginPassword)
        return AuthResult(success=(login.login, login.password) == (b"responder", SECRET.encode()), handled=False)

    async def handle_DATA(self, _server: object, _session: object, envelope: Any) -> str:
        self.mails.append(envelope)
        return "250 OK"


@pytest.fixture
def relay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], tuple[Relay, Channel]]]:
    running: list[Controller] = []
    found = Relay(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(found.certificate))

    def start(tls: str, password: str = SECRET) -> tuple[Relay, Channel]:
        implicit = {"ssl_context": found.tls} if tls == "implicit" else {}
        starttls = {"tls_context": found.tls, "require_starttls": True} if tls == "starttls" else {}
        controller = Controller(
            found, hostname="127.0.0.1", port=free_port(), authenticator=found.authenticate, auth_required=True,
            auth_require_tls=tls == "starttls", **implicit, **starttls,
        )  # fmt: skip
        controller.start()
        running.append(controller)
        (tmp_path / "password").write_text(password)
        return found, channel(
            "mail", host="127.0.0.1", port=controller.port, tls=tls, username="responder", password={"file": str(tmp_path / "password")},
            sender="responder@example.org", recipients=["dana@example.org"],
        )  # fmt: skip

    yield start
    for controller in running:
        controller.stop()


@pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")  # aiosmtpd knows only STARTTLS as TLS
@pytest.mark.parametrize("tls", ["starttls", "implicit"])
def test_a_mail_goes_over_tls_with_a_login(relay: Callable[..., tuple[Relay, Channel]], tls: str) -> None:
    taken, mail = relay(tls)
    assert told(mail) == Delivery(7, "mail", True, "127.0.0.1 took it")
    assert [envelope.rcpt_tos for envelope in taken.mails] == [["dana@example.org"]]


def test_a_login_that_a_relay_refuses_is_told_as_that(relay: Callable[..., tuple[Relay, Channel]]) -> None:
    taken, mail = relay("starttls", "wrong")
    delivery = told(mail)
    assert (delivery.delivered, delivery.rejected, taken.mails) == (False, True, [])
    assert delivery.reason.startswith("mail answered 535")


def test_a_relay_whose_certificate_nobody_vouches_for_gets_no_password(
    relay: Callable[..., tuple[Relay, Channel]], monkeypatch: pytest.MonkeyPatch
) -> None:
    taken, mail = relay("starttls")
    monkeypatch.delenv("SSL_CERT_FILE")
    delivery = told(mail)
    assert (delivery.delivered, taken.mails) == (False, [])
    assert "certificate" in delivery.reason.lower()
