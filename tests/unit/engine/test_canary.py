"""After an action: what it healed and what depends on that must stay good, or it did not help."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.light import PLAY, Light, home_with, take

from sre_responder.errors import OutcomeUnknown, Refused
from sre_responder.home import Home, find
from sre_responder.ledger import Ledger, audit, incidents, schema
from sre_responder.model.look import Sample


@dataclass
class Shop:
    """Services that answer 200 while they are up, each at its own path; `home` knows them, and that all need checkout."""

    root: Path
    url: str
    up: set[str] = field(default_factory=lambda: {"web", "app"})
    home: Home = field(init=False)

    def __post_init__(self) -> None:
        play = PLAY.replace('url: "http://127.0.0.1:1/"', "source: http")
        play += "    - {name: Purge again, sre.responder.http_cache_purge: {url: again}}\n"
        self.home = home_with(self.root, f"sqlite:///{self.root / 'state' / 'ledger.db'}", play)
        self.catalogue(web=["checkout"], app=["checkout"])

    def catalogue(self, **needs: list[str]) -> None:
        folder = self.home.folder
        names = {"checkout": [], **needs}
        services = [
            {
                "kind": "Component",
                "metadata": {
                    "name": name,
                    "annotations": {"responder/environments": "dev", "responder/probe-url": f"{self.url}/{name}"},
                },
                "spec": {"dependsOn": needed},
            }
            for name, needed in names.items()
        ]
        (folder / "catalogue.yml").write_text(yaml.safe_dump_all(services))
        self.policy()

    def policy(self, **changes: Any) -> None:
        file = {"file": str(self.root / "stop" / "EMERGENCY_STOP")}
        policy = {"profile": "homelab", "stop": file, "order": {"canary_seconds": 0.05}, **changes}
        (self.home.folder / "policy.yml").write_text(yaml.safe_dump(policy))
        environ = {"HOME": str(self.root), "RESPONDER_HOME": str(self.home.folder)}
        self.home = find({**environ, "RESPONDER_LEDGER": self.home.ledger_url})

    def act(
        self, *, heals: bool = True, breaks: tuple[str, ...] = (), number: int = 0, **changes: Any
    ) -> dict[str, Any]:
        """Take the step; the service is up afterwards, and what it breaks is down."""

        def then() -> None:
            self.up = (self.up | ({"checkout"} if heals else set())) - {*breaks}

        return take(self.home, Light(then, f"light-{number}"), number, **changes)

    def entries(self, type: str) -> list[audit.Entry]:
        with Ledger(self.home.ledger_url).transaction(reading=True) as connection:
            return list(audit.entries(connection, type=type))


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path.strip("/") in here.up else 500)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    here = Shop(tmp_path, f"http://127.0.0.1:{server.server_port}")
    yield here
    server.shutdown()
    server.server_close()


def test_the_plan_on_the_record_says_how_each_service_downstream_was(shop: Shop) -> None:
    shop.up = {"web"}
    shop.act()
    assert shop.entries("action.started")[0].data["evidence"]["downstream"] == {"app": "unhealthy", "web": "healthy"}


def test_what_improves_and_breaks_nothing_has_passed_its_canary(shop: Shop) -> None:
    assert shop.act()["outcome"] == "improved"
    [passed] = shop.entries("canary.passed")
    assert (passed.data["attempt"], passed.data["lost"]) == (1, {})


def test_what_heals_a_service_and_breaks_one_that_depends_on_it_did_not_help(shop: Shop) -> None:
    assert shop.act(breaks=("web",))["outcome"] == "not_improved"
    [failed] = shop.entries("canary.failed")
    assert (failed.data["broken"], failed.data["lost"]) == (["web"], {"web": "unhealthy"})
    assert "but in its canary: web unhealthy" in shop.entries("action.ended")[0].summary


def test_what_was_broken_before_is_not_blamed_on_the_action(shop: Shop) -> None:
    shop.up = set()
    assert shop.act()["outcome"] == "improved"
    assert shop.entries("canary.failed") == []


def test_what_heals_nothing_and_breaks_something_is_on_the_record_too(shop: Shop) -> None:
    assert shop.act(heals=False, breaks=("web",))["outcome"] == "not_improved"
    assert shop.entries("canary.failed")[0].data["broken"] == ["web"]


def test_a_service_that_falls_ill_again_in_its_canary_did_not_improve(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    def falls(*_: object) -> dict[str, Any]:
        shop.up.discard("checkout")
        return {}

    monkeypatch.setattr("sre_responder.engine.downstream.lost", falls)
    assert shop.act()["outcome"] == "not_improved"
    assert shop.entries("canary.failed")[0].data["lost"] == {"checkout": "unhealthy"}


def test_a_service_downstream_that_cannot_be_measured_any_more_makes_the_outcome_unknown(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.policy(requires={"measured_criterion": True})
    monkeypatch.setattr("sre_responder.engine.downstream.lost", lambda *_: {"web": Sample(0, None, "no answer")})
    with pytest.raises(OutcomeUnknown, match="in its canary: web no answer"):
        shop.act()


def test_after_it_broke_something_the_next_step_is_refused(shop: Shop) -> None:
    shop.act(breaks=("web",))
    shop.up.discard("checkout")
    with pytest.raises(Refused, match="healthy before this outage's first action and unhealthy now: web"):
        shop.act(number=1)


def test_without_anything_related_there_is_no_canary(shop: Shop) -> None:
    shop.catalogue()
    assert shop.act()["outcome"] == "improved"
    assert shop.entries("canary.passed") == []


def opened(shop: Shop, service: str) -> None:
    ledger = Ledger(shop.home.ledger_url)
    with ledger.transaction() as connection:
        incidents.open_(
            connection, ledger.now(connection), id="INC-2000", service=service, environment="dev", severity="SEV4",
            title="x", actor="x",
        )  # fmt: skip


@pytest.fixture
def healed(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Shop:
    """Checkout was healed without a canary, and web fails too."""
    with monkeypatch.context() as patched:
        patched.setattr("sre_responder.engine.step.canary.after", lambda step, attempt, verdict, interrupted: verdict)
        assert shop.act()["outcome"] == "improved"
    opened(shop, "web")
    return shop


def test_a_canary_that_is_owed_is_made_up_for_before_the_next_service(healed: Shop) -> None:
    healed.up.discard("web")
    with_web = {"service": "web", "incident": "INC-2000"}
    assert healed.act(number=1, **with_web)["outcome"] == "not_improved"
    assert [entry.data["attempt"] for entry in healed.entries("canary.passed")] == [1]


def test_one_that_fails_refuses_the_next_service(healed: Shop) -> None:
    healed.up = set()
    with pytest.raises(Refused, match=r"checkout, acted on before this .attempt 1., has not been proven stable"):
        healed.act(number=1, service="web", incident="INC-2000")


def test_one_whose_runbook_is_gone_cannot_be_made_up_for(healed: Shop) -> None:
    healed.up.discard("web")
    with Ledger(healed.home.ledger_url).transaction() as connection:
        connection.execute(schema.attempts.update().values(runbook="gone"))
    with pytest.raises(Refused, match="has not been proven stable"):
        healed.act(number=1, service="web", incident="INC-2000")
