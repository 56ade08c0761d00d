"""Alertmanager's webhook: read as data, cut at stated lengths, and refused with the place that is wrong."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sre_responder.errors import InputError
from sre_responder.incident.alert import BYTES_LIMIT, TITLE_LIMIT, Alert, parse

PAYLOAD = Path(__file__).with_name("alertmanager-v4.json").read_text()


def alert(**changes: Any) -> Alert:
    return Alert.model_validate({"status": "firing", "labels": {"alertname": "Errors"}, **changes})


def payload(*alerts: Any, **changes: Any) -> str:
    return json.dumps({"version": "4", "alerts": list(alerts), **changes})


FIRING = {"status": "firing", "labels": {}}


def test_a_payload_of_alertmanager_is_read() -> None:
    one, other = parse(PAYLOAD).alerts
    assert (one.status, other.status) == ("firing", "resolved")
    assert (one.label("service"), one.label("environment"), one.label("severity")) == (
        "checkout",
        "production",
        "critical",
    )
    assert one.title == "checkout answers with errors"
    assert one.starts_at == datetime(2026, 1, 2, 3, 4, 5, 678000, UTC)
    assert one.as_jmespath()["labels"]["alertname"] == "ServiceErrors"
    assert one.fingerprint != other.fingerprint


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("", "line 1, column 1"),
        ('{"alerts":\n nothing}', "line 2, column 2"),
        ("[]", "payload: Input should be a valid dictionary"),
        ("{}", "alerts: Field required"),
        (payload(), "alerts: Tuple should have at least 1 item"),
        (payload(*[FIRING] * 1001), "alerts: Tuple should have at most 1000 items"),
        (payload(FIRING, version="3"), "version: Input should be '4'"),
        (payload(FIRING, "text"), "alerts.1"),
        (payload({"status": "burning", "labels": {}}), "alerts.0.status: Input should be 'firing' or 'resolved'"),
        (payload({"status": "firing"}), "alerts.0.labels: Field required"),
        (payload({"status": "firing", "labels": {"service": 7}}), "alerts.0.labels.service: Input should be a valid string"),
        (payload({**FIRING, "annotations": []}), "alerts.0.annotations: Input should be a valid dictionary"),
        (payload({**FIRING, "startsAt": "yesterday"}), "alerts.0.startsAt: Input should be a valid datetime"),
        ("[" * 100_000, "nested too deeply"),
        ('{"alerts": ' + "9" * 5000 + "}", "alert"),
    ],
)  # fmt: skip
def test_a_wrong_payload_is_refused_with_its_place(text: str, place: str) -> None:
    with pytest.raises(InputError) as raised:
        parse(text)
    assert place in raised.value.message
    assert raised.value.message.isprintable()
    assert raised.value.cure


def test_what_is_wrong_is_shown_escaped_and_cut() -> None:
    with pytest.raises(InputError) as raised:
        parse(payload(*[{"status": "\x1b[2J", "labels": {"\x1b[31m" * 99: 1}}] * 9))
    assert raised.value.message.isprintable()
    assert len(raised.value.message) < 3000


@pytest.mark.parametrize(("size", "accepted"), [(BYTES_LIMIT, True), (BYTES_LIMIT + 1, False)])
@pytest.mark.parametrize("letter", ["x", "é"])
def test_a_payload_of_more_than_one_mebibyte_is_refused(size: int, accepted: bool, letter: str) -> None:
    empty = json.dumps({"alerts": [FIRING], "filler": ""}, ensure_ascii=False)
    room = size - len(empty.encode())
    text = empty.replace(
        '""', '"' + letter * (room // len(letter.encode())) + "x" * (room % len(letter.encode())) + '"'
    )
    assert len(text.encode()) == size
    if accepted:
        assert len(parse(text).alerts) == 1
    else:
        with pytest.raises(InputError, match="larger than 1 MiB"):
            parse(text)


@pytest.mark.parametrize(
    ("annotations", "labels", "title"),
    [
        ({"summary": "bad"}, {"alertname": "Errors"}, "bad"),
        ({}, {"alertname": "Errors"}, "Errors"),
        ({"summary": ""}, {"alertname": "Errors"}, "Errors"),
        ({}, {}, "alert without a name"),
        ({"summary": "\x1b[31mred\n"}, {}, "\\x1b[31mred\\n"),
        ({"summary": "{{ lookup('pipe', 'touch /tmp/x') }}"}, {}, "{{ lookup('pipe', 'touch /tmp/x') }}"),
        ({"summary": "x" * 201}, {}, "x" * 200 + "… (201 characters, cut at 200)"),
    ],
)
def test_title_is_the_summary_else_the_name_escaped_and_cut(
    annotations: dict[str, str], labels: dict[str, str], title: str
) -> None:
    assert alert(annotations=annotations, labels=labels).title == title


@given(st.text(st.characters()))
def test_title_is_printable_and_short_whatever_the_alert_says(summary: str) -> None:
    title = alert(annotations={"summary": summary}).title
    assert title.isprintable()
    assert len(title) <= TITLE_LIMIT * len("\\U00000000") + len(f"… ({len(summary)} characters, cut at {TITLE_LIMIT})")


@pytest.mark.parametrize("labels", [{}, {"service": ""}])
def test_a_label_that_must_be_there_is_named(labels: dict[str, str]) -> None:
    with pytest.raises(InputError, match="no label 'service'"):
        alert(labels=labels).label("service")


LABELS = st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=5)


@given(LABELS, st.randoms())
def test_fingerprint_does_not_change_with_the_order_of_labels(labels: dict[str, str], random: Any) -> None:
    shuffled = list(labels.items())
    random.shuffle(shuffled)
    assert alert(labels=dict(shuffled)).fingerprint == alert(labels=labels).fingerprint


@given(LABELS, LABELS)
def test_fingerprints_are_equal_exactly_where_labels_are(one: dict[str, str], other: dict[str, str]) -> None:
    assert (alert(labels=one).fingerprint == alert(labels=other).fingerprint) == (one == other)


def test_fingerprint_is_not_changed_by_what_moves_between_deliveries() -> None:
    later = alert(status="resolved", annotations={"summary": "now 84 %"}, startsAt="2026-01-01T00:00:00Z")
    assert later.fingerprint == alert().fingerprint


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["alerts", "version"]), inner),
)


@given(st.text() | JSON.map(json.dumps))
def test_what_is_no_webhook_is_bad_input_and_never_a_crash(text: str) -> None:
    with pytest.raises(InputError):
        parse(text)
