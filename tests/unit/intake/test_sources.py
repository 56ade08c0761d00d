"""Each source claims its own payloads alone, and reads them as data."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sre_responder.errors import InputError
from sre_responder.home.serving import PlainJson
from sre_responder.intake import plain
from sre_responder.intake.alert import Alert
from sre_responder.intake.sources import SOURCES, parse

ALERT = {
    "status": "firing",
    "labels": {"alertname": "HelloErrors", "service": "hello"},
    "annotations": {"summary": "hello answers badly"},
    "startsAt": "2026-11-26T00:50:00Z",
    "endsAt": "0001-01-01T00:00:00Z",
}
EVENT = {"specversion": "1.0", "id": "1", "source": "/x", "type": "org.example.alert", "time": "2026-11-26T00:51:00Z"}
PAGERDUTY = {
    "id": "01", "event_type": "incident.triggered", "resource_type": "incident", "occurred_at": "2026-11-26T00:50:03Z",
    "data": {
        "id": "Q1", "type": "incident", "title": "hello answers badly", "created_at": "2026-11-26T00:50:00Z", "urgency": "high",
        "service": {"id": "P1", "summary": "hello"}, "priority": None,
    },
}  # fmt: skip
PAYLOADS: dict[str, Any] = {
    "alertmanager": {"version": "4", "alerts": [ALERT]},
    "grafana": {"version": "1", "orgId": 1, "alerts": [{**ALERT, "values": {"B": 97.3}, "fingerprint": "ab"}]},
    "cloudevents": {**EVENT, "data": ALERT},
    "pagerduty": {"event": PAGERDUTY},
}


def one(payload: Any, **headers: str) -> Alert:
    [alert] = parse(json.dumps(payload), headers).alerts.values()
    return alert


def test_every_source_has_a_payload_here() -> None:
    assert PAYLOADS.keys() == SOURCES.keys()


@pytest.mark.parametrize("name", PAYLOADS)
def test_a_payload_is_claimed_by_its_own_source_alone(name: str) -> None:
    assert [source for source, module in SOURCES.items() if module.claims(PAYLOADS[name], {})] == [name]
    webhook = parse(json.dumps(PAYLOADS[name]))
    assert (webhook.source, webhook.received, webhook.problems) == (name, 1, ())
    assert webhook.alerts[1].labels["service"] == "hello"
    assert webhook.alerts[1].title == "hello answers badly"


def test_an_event_in_binary_mode_and_a_batch_are_read() -> None:
    assert one(ALERT, **{"ce-specversion": "1.0", "ce-type": "t"}).labels["alertname"] == "HelloErrors"
    webhook = parse(json.dumps([PAYLOADS["cloudevents"], {**EVENT, "data": PAYLOADS["alertmanager"]}]))
    assert len(webhook.alerts) == 2


def test_an_event_lends_its_type_and_time_to_an_alert_without_them() -> None:
    bare = {"status": "firing", "labels": {"service": "hello"}}
    alert = one({**EVENT, "data": bare})
    assert alert.labels["alertname"] == "org.example.alert"
    assert alert.starts_at and alert.starts_at.minute == 51
    over = one({**EVENT, "data": {**bare, "status": "resolved", "startsAt": "2026-11-26T00:50:00Z"}})
    assert over.ends_at and over.ends_at.minute == 51


@pytest.mark.parametrize("data", [None, "text", 5, [], {}, {"labels": None}, {"alerts": []}])
def test_an_event_whose_data_are_no_alert_is_one_problem(data: Any) -> None:
    webhook = parse(json.dumps({**EVENT, "data": data}))
    assert (len(webhook.alerts), webhook.received) == (0, 1)
    assert "not an alert" in webhook.problems[0].reason


@pytest.mark.parametrize(
    ("event", "status"),
    [("incident.triggered", "firing"), ("incident.reopened", "firing"), ("incident.resolved", "resolved")],
)
def test_what_happened_to_an_incident_of_pagerduty_is_the_alerts_status(event: str, status: str) -> None:
    alert = one({"event": {**PAGERDUTY, "event_type": event}})
    assert (alert.status, alert.labels["severity"], alert.labels["pagerduty_incident"]) == (status, "high", "Q1")
    assert (alert.ends_at is not None) == (status == "resolved")


@pytest.mark.parametrize("event", ["pagey.ping", "incident.acknowledged", "\u202e", 5])
def test_another_event_of_pagerduty_is_received_and_ignored(event: Any) -> None:
    webhook = parse(json.dumps({"event": {"event_type": event, "data": None}}))
    assert (webhook.received, len(webhook.ignored), len(webhook.alerts)) == (1, 1, 0)
    assert webhook.ignored[0].isprintable()


def test_other_json_is_read_by_the_mapping_of_the_policy() -> None:
    mapping = PlainJson.model_validate(
        {
            "alerts": "checks", "labels": {"service": "app", "alertname": "'Zabbix'", "value": "n", "absent": "no"},
            "annotations": {"summary": "text"}, "resolved": "state == 'OK'", "starts_at": "since",
        }
    )  # fmt: skip
    checks = [
        {"app": "hello", "text": "bad", "n": 5, "state": s, "since": "2026-11-26T00:50:00Z"} for s in ("OK", "BAD")
    ]
    webhook = parse(json.dumps({"checks": checks}), plain=partial(plain.read, mapping))
    assert [alert.status for alert in webhook.alerts.values()] == ["resolved", "firing"]
    assert webhook.alerts[1].labels == {"service": "hello", "alertname": "Zabbix", "value": "5"}
    assert webhook.alerts[2].starts_at is not None


@pytest.mark.parametrize("payload", [{}, [], "x", 5, None, {"event": 5}, {"checks": []}])
def test_what_no_source_claims_is_refused_with_their_names(payload: Any) -> None:
    with pytest.raises(InputError, match="alertmanager, cloudevents, grafana, pagerduty"):
        parse(json.dumps(payload))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda below: (
        st.lists(below, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["alerts", "orgId", "event", "event_type", "data", "specversion", "labels", "status", "service"]
            ),
            below,
            max_size=4,
        )
    ),
    max_leaves=15,
)


@given(JSON)
def test_any_json_is_alerts_problems_or_bad_input(payload: Any) -> None:
    try:
        webhook = parse(json.dumps(payload))
    except InputError as error:
        assert error.cure
    else:
        assert webhook.received > 0
