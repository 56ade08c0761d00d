"""Who acknowledged a page is read back from the receivers that can say; the answers are written after the examples they publish."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter
from support.listening import listening

from sre_responder.notify.channel import Channel
from sre_responder.notify.channels import AnyChannel
from sre_responder.notify.message import Acknowledged, Rejected, Unreachable

HERE = Path(__file__).parent
PAGERDUTY = json.loads((HERE / "pagerduty-incidents.json").read_text())
OPSGENIE = json.loads((HERE / "opsgenie-alert.json").read_text())


@dataclass
class Api:
    """A receiver that answers every GET with one document."""

    document: Any
    status: int = 200
    url: str = ""
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)


@pytest.fixture
def api() -> Iterator[Callable[..., Api]]:
    def start(document: Any, status: int = 200) -> Api:
        here = Api(document, status)

        class Answer(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                here.asked.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
                self.send_response(here.status)
                self.end_headers()
                self.wfile.write(json.dumps(here.document).encode())

            def log_message(self, *_: object) -> None:
                """Quiet."""

        here.url = listen(Answer)
        return here

    with listening() as listen:
        yield start


def pagerduty(url: str, **changes: Any) -> Channel:
    return channel(kind="pagerduty", routing_key="r", api_token="t0ken", api_url=url, **changes)


def opsgenie(url: str) -> Channel:
    return channel(kind="opsgenie", api_key="k3y", url=url)


def channel(**written: Any) -> Channel:
    made: Channel = TypeAdapter(AnyChannel).validate_python(written)
    return made


def seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def test_pagerduty_is_asked_by_the_incidents_key_and_says_which_person_was_first(api: Callable[..., Api]) -> None:
    here = api(PAGERDUTY)
    found = pagerduty(here.url).acknowledged("INC-1234")
    assert found == Acknowledged("Earline Greenholt", seconds("2026-01-01T12:04:10Z"))
    [(path, headers)] = here.asked
    assert path == "/incidents?incident_key=INC-1234&date_range=all"
    assert headers["authorization"] == "Token token=t0ken"
    assert headers["accept"] == "application/vnd.pagerduty+json;version=2"


def test_an_acknowledgement_by_an_integration_is_no_persons(api: Callable[..., Api]) -> None:
    [incident] = PAGERDUTY["incidents"]
    ours = {**incident, "acknowledgements": incident["acknowledgements"][:1]}
    assert pagerduty(api({"incidents": [ours]}).url).acknowledged("INC-1234") is None


@pytest.mark.parametrize("incidents", [[], [{"id": "P1", "status": "triggered"}]])
def test_pagerduty_that_nobody_acknowledged_says_so(api: Callable[..., Api], incidents: list[Any]) -> None:
    assert pagerduty(api({"incidents": incidents}).url).acknowledged("INC-1234") is None


def test_without_a_token_pagerduty_is_not_asked(api: Callable[..., Api]) -> None:
    here = api(PAGERDUTY)
    assert channel(kind="pagerduty", routing_key="r", api_url=here.url).acknowledged("INC-1234") is None
    assert here.asked == []


def test_opsgenie_is_asked_by_the_alias_and_says_who_and_when(api: Callable[..., Api]) -> None:
    here = api(OPSGENIE)
    found = opsgenie(here.url).acknowledged("INC-1234")
    assert found == Acknowledged("earline@example.org", seconds("2026-01-01T12:04:10.283Z"))
    [(path, headers)] = here.asked
    assert (path, headers["authorization"]) == ("/v2/alerts/INC-1234?identifierType=alias", "GenieKey k3y")


@pytest.mark.parametrize("changes", [{"acknowledged": False}, {"report": None}, {"report": {"ackTime": 1}}])
def test_opsgenie_that_nobody_acknowledged_says_so(api: Callable[..., Api], changes: dict[str, Any]) -> None:
    document = {"data": {**OPSGENIE["data"], **changes}}
    assert opsgenie(api(document).url).acknowledged("INC-1234") is None


@pytest.mark.parametrize("document", [[], {}, {"incidents": [{"acknowledgements": [{}]}], "data": {"report": 1}}, "x"])
@pytest.mark.parametrize("made", [pagerduty, opsgenie])
def test_an_answer_that_the_api_does_not_describe_is_not_known(
    api: Callable[..., Api], made: Callable[[str], Channel], document: Any
) -> None:
    with pytest.raises(Unreachable, match="what its API does not describe"):
        made(api(document).url).acknowledged("INC-1234")


@pytest.mark.parametrize("made", [pagerduty, opsgenie])
def test_a_refusal_is_told_without_the_token(api: Callable[..., Api], made: Callable[[str], Channel]) -> None:
    with pytest.raises(Rejected, match="answered 401") as refused:
        made(api({"message": "no"}, 401).url).acknowledged("INC-1234")
    assert "t0ken" not in str(refused.value) and "k3y" not in str(refused.value)


def test_other_channels_cannot_say() -> None:
    assert channel(kind="terminal").acknowledged("INC-1234") is None
