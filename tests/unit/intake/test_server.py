"""The receiver over HTTP: 200 once it is committed, 4xx for what can never succeed, 503 for what may later; all of it counted."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import httpx
import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import alerting
from support.alerting import TOKEN, alert, webhook

from sre_responder.home import Home
from sre_responder.intake.credentials import revealed
from sre_responder.intake.homes import Homes
from sre_responder.intake.openapi import document
from sre_responder.intake.rate import Rate
from sre_responder.intake.server import Receiver, TurnedAway
from sre_responder.ledger import Ledger, alerts

AUTHORIZED = {"Authorization": f"Bearer {TOKEN}"}


class Server:
    def __init__(self, folder: Path, per_minute: int = 600, body_bytes: int = 1 << 20) -> None:
        self.home = alerting.home(folder, f"sqlite:///{folder}/state/ledger.db")
        self.ledger = Ledger(self.home.ledger_url, busy_seconds=0.2)
        self.commits = 0
        keys = revealed(self.home.policy.serve.credentials, certificates=False)
        self.turned_away = TurnedAway()
        homes = Homes(lambda: Home(self.home.folder, self.home.ledger_url, self.home.state))
        receiver = Receiver(
            homes,
            self.ledger,
            keys,
            self.turned_away,
            Rate(per_minute, lambda: 0.0),
            body_bytes,
            on_receipt=self.committed,
            metrics=lambda: b"responder_up 1.0\n",
        )
        self.receiver = receiver

    def committed(self) -> None:
        self.commits += 1

    def request(self, method: str, path: str, **more: Any) -> httpx.Response:
        async def answer() -> httpx.Response:
            transport = httpx.ASGITransport(self.receiver.application(), raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
                return await client.request(method, path, **more)

        return anyio.run(answer)

    def get(self, path: str) -> httpx.Response:
        return self.request("GET", path)

    def post(self, content: Any, path: str = "/alerts", headers: dict[str, str] = AUTHORIZED) -> httpx.Response:
        return self.request("POST", path, content=content, headers=headers)

    def counted(self) -> dict[str, int]:
        self.turned_away.write(self.ledger)
        with self.ledger.transaction(reading=True) as connection:
            return {row.name: row.count for row in alerts.counts(connection)}


@pytest.fixture
def server(tmp_path: Path) -> Server:
    return Server(tmp_path)


@pytest.mark.parametrize("path", ["/", "/alerts", "/api/v1/webhook/x?y=1", "/%2e%2e/x"])
def test_any_path_with_a_credential_takes_alerts(server: Server, path: str) -> None:
    answer = server.post(webhook(alert()), path)
    assert (answer.status_code, answer.json()["received"], server.commits) == (200, 1, 1)


def test_metrics_are_for_whoever_proves_a_credential(server: Server) -> None:
    assert server.get("/metrics").status_code == 401
    answer = server.request("GET", "/metrics", headers=AUTHORIZED)
    assert (answer.status_code, answer.text) == (200, "responder_up 1.0\n")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert server.counted() == {"401": 1}


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic eDp5"}])
def test_without_a_credential_nothing_is_read(server: Server, headers: dict[str, str]) -> None:
    answer = server.post(webhook(alert()), headers=headers)
    assert (answer.status_code, answer.headers["WWW-Authenticate"], server.commits) == (401, "Bearer", 0)
    assert server.counted() == {"401": 1}
    assert server.counted() == {"401": 1}  # written once


@pytest.mark.parametrize(
    ("content", "status"),
    [(b"", 400), (b"nonsense", 400), (b"{}", 400), (b"\xff\xfe", 400), (b'{"alerts": []}', 400), (b"[" * 50_000, 400), (b"x" * (1 << 21), 413)],
)  # fmt: skip
def test_what_can_never_succeed_is_a_4xx_that_says_why(server: Server, content: bytes, status: int) -> None:
    answer = server.post(content)
    assert answer.status_code == status and answer.json()["error"]
    assert server.counted() == {str(status): 1}


def test_a_payload_that_grows_beyond_the_limit_without_a_length_is_refused(server: Server) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(5):
            yield b"x" * (1 << 19)

    assert server.post(chunks()).status_code == 413


def test_a_compressed_payload_is_refused(server: Server) -> None:
    assert server.post(b"x", headers={**AUTHORIZED, "Content-Encoding": "gzip"}).status_code == 415


def test_a_ledger_that_cannot_be_written_is_503_and_its_alert_is_taken_later(server: Server) -> None:
    place = Path(server.ledger.path or "")
    place.rename(place.with_suffix(".away"))
    answer = server.post(webhook(alert()))
    assert (answer.status_code, answer.headers["Retry-After"], server.commits) == (503, "15", 0)
    assert server.get("/healthz").status_code == 503
    place.with_suffix(".away").rename(place)
    assert server.post(webhook(alert())).json()["started"] == 1
    assert server.get("/healthz").json() == {"ok": True, "problem": None}


@pytest.mark.parametrize("file", ["policy.yml", "catalogue.yml"])
def test_a_home_that_cannot_be_read_is_503_that_names_the_line(
    server: Server, file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sre_responder.intake.homes._LOOK_SECONDS", 0.0)
    path = server.home.folder / file
    good = path.read_text()
    path.write_text("x: [")
    answer = server.post(webhook(alert()))
    assert answer.status_code == 503 and file in answer.json()["error"]
    path.write_text(good)
    assert server.post(webhook(alert())).status_code == 200


def test_a_rule_that_is_added_while_the_server_runs_holds(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sre_responder.intake.homes._LOOK_SECONDS", 0.0)
    path = server.home.folder / "policy.yml"
    path.write_text(path.read_text() + "severity_aliases: {purple: SEV2}\n")
    assert server.post(webhook(alert(severity="purple"))).json().get("started") == 1


def test_too_many_requests_of_one_credential_are_503_until_later(tmp_path: Path) -> None:
    server = Server(tmp_path, per_minute=2)
    statuses = [server.post(webhook(alert())).status_code for _ in range(3)]
    assert statuses == [200, 200, 503]
    assert server.post(webhook(alert()), headers={}).status_code == 401


def test_an_error_of_ours_is_500_and_never_shows_what_it_was(
    server: Server, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("a secret detail")

    monkeypatch.setattr("sre_responder.intake.server.receive", broken)
    answer = server.post(webhook(alert()))
    assert (answer.status_code, answer.json()) == (500, {"error": "internal error"})
    assert "a secret detail" in capfd.readouterr().err


@pytest.mark.parametrize(("method", "path"), [("GET", "/alerts"), ("PUT", "/"), ("DELETE", "/x")])
def test_other_methods_are_refused(server: Server, method: str, path: str) -> None:
    assert server.request(method, path, headers=AUTHORIZED).status_code == 405


def test_the_document_names_every_status_and_its_schema_holds(server: Server) -> None:
    answer = server.get("/openapi.json").json()
    assert answer == json.loads(json.dumps(document())) and answer["openapi"].startswith("3.1")
    responses = answer["paths"]["/alerts"]["post"]["responses"]
    for content, headers in ((webhook(alert(), alert(service="x")), AUTHORIZED), ("{}", AUTHORIZED), ("{}", {})):
        found = server.post(content, headers=headers)
        schema = responses[str(found.status_code)]["content"]["application/json"]["schema"]
        jsonschema.Draft202012Validator(schema).validate(found.json())


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.one_of(st.binary(max_size=200), st.recursive(st.none() | st.text() | st.integers(), st.lists, max_leaves=5).map(lambda v: json.dumps(v).encode()),
                 st.dictionaries(st.sampled_from(["version", "alerts", "event", "orgId", "specversion"]), st.lists(st.dictionaries(st.sampled_from(["labels", "status", "startsAt"]), st.text()), max_size=3) | st.text()).map(lambda v: json.dumps(v).encode())))  # fmt: skip
def test_no_payload_is_our_error(server: Server, content: bytes) -> None:
    assert server.post(content).status_code in (200, 400, 503)  # 503: of the rate


def test_every_commit_wakes_the_dispatcher(server: Server) -> None:
    assert server.commits == 0
    server.post(webhook(alert(service="nowhere")))
    assert server.commits == 1
