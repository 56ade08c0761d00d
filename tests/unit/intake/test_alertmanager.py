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
from sre_responder.intake.alert import BYTES_LIMIT, TITLE_LIMIT, Alert
from sre_responder.intake.sources import parse

PAYLOAD = Path(__file__).with_name("alertmanager-v4.json").read_text()


def alert(**changes: Any) -> Alert:
    return Alert.model_validate({"status": "firing", "labels": {"alertname": "Errors"}, **changes})


def payload(*alerts: Any, **changes: Any) -> str:
    return json.dumps({"version": "4", "alerts": list(alerts), **changes})


FIRING = {"status": "firing", "labels": {}}


def test_a_payload_of_alertmanager_is_read() -> None:
    webhook = parse(PAYLOAD)
    one, other = webhook.alerts[1], webhook.alerts[2]
    assert (one.status, other.status) == ("firing", "resolved")
    assert (one.labels["service"], one.labels["environment"], one.labels["severity"]) == (
        "checkout",
        "production",
        "critical",
    )
    assert one.title == "checkout answers with errors"
    assert one.starts_at == datetime(2026, 1, 2, 3, 4, 5, 678000, UTC)
    assert one.as_jmespath()["labels"]["alertname"] == "ServiceErrors"
    assert (webhook.problems, webhook.truncated) == ((), 0)


def test_annotations_that_are_null_are_none() -> None:
    assert alert(annotations=None).annotations == {}
    assert parse(payload({**FIRING, "annotations": None})).alerts[1].title == "alert without a name"


@pytest.mark.parametrize(
    ("starts_at", "began"),
    [
        ("0001-01-01T00:00:00Z", None),
        ("0001-01-01T00:00:00+14:00", None),
        (None, None),
        ("2026-11-26T00:50:00", datetime(2026, 11, 26, 0, 50, tzinfo=UTC)),
        ("2026-11-26T00:50:00+05:30", datetime(2026, 11, 25, 19, 20, tzinfo=UTC)),
        ("2026-11-26T00:50:00.123456789Z", datetime(2026, 11, 26, 0, 50, 0, 123456, UTC)),
    ],
)
def test_a_zero_date_is_unknown_and_one_without_zone_is_utc(starts_at: str | None, began: datetime | None) -> None:
    assert alert(startsAt=starts_at).starts_at == began


def test_the_alerts_that_alertmanager_left_out_are_counted() -> None:
    assert parse(payload(FIRING, truncatedAlerts=37)).truncated == 37


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("", "line 1, column 1"),
        ('{"alerts":\n nothing}', "line 2, column 2"),
        ("[]", "not a payload of alertmanager"),
        ("{}", "not a payload of alertmanager"),
        (payload(), "alerts: Tuple should have at least 1 item"),
        (payload(FIRING, version="3"), "version: Input should be '4'"),
        (payload(FIRING, truncatedAlerts="many"), "truncatedAlerts: Input should be a valid integer"),
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


@pytest.mark.parametrize(
    ("wrong", "place"),
    [
        ("text", "Alert 2 (no labels): not an alert: payload"),
        (None, "Alert 2 (no labels)"),
        ({"status": "burning", "labels": {}}, "status: Input should be 'firing' or 'resolved'"),
        ({"status": "firing"}, "labels: Field required"),
        ({"status": "firing", "labels": {"alertname": "A", "service": 7}}, "Alert 2 (A service=7): not an alert: labels.service"),
        ({**FIRING, "annotations": []}, "annotations: Input should be a valid dictionary"),
        ({**FIRING, "startsAt": "yesterday"}, "startsAt: Input should be a valid datetime"),
        ({"status": "\x1b[2J", "labels": {"\x1b[31m" * 99: 1}}, "status: Input should be"),
    ],
)  # fmt: skip
def test_one_wrong_alert_is_named_by_its_place_and_the_others_are_read(wrong: Any, place: str) -> None:
    webhook = parse(payload(FIRING, wrong, FIRING))
    [problem] = webhook.problems
    assert [*webhook.alerts] == [1, 3]
    assert place in str(problem)
    assert str(problem).isprintable() and len(str(problem)) < 1500


def test_a_group_of_thousands_of_alerts_is_read_whole() -> None:
    assert len(parse(payload(*[FIRING] * 5000)).alerts) == 5000


@pytest.mark.parametrize(("size", "accepted"), [(BYTES_LIMIT, True), (BYTES_LIMIT + 1, False)])
@pytest.mark.parametrize("letter", ["x", "é"])
def test_a_payload_that_is_too_large_is_refused(size: int, accepted: bool, letter: str) -> None:
    empty = json.dumps({"alerts": [FIRING], "filler": ""}, ensure_ascii=False)
    room = size - len(empty.encode())
    text = empty.replace(
        '""', '"' + letter * (room // len(letter.encode())) + "x" * (room % len(letter.encode())) + '"'
    )
    assert len(text.encode()) == size
    if accepted:
        assert len(parse(text).alerts) == 1
    else:
        with pytest.raises(InputError, match="larger than 8 MiB"):
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


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["alerts", "version"]), inner),
)


@given(st.text() | JSON.map(json.dumps))
def test_what_is_not_a_webhook_is_bad_input_and_never_a_crash(text: str) -> None:
    try:
        assert parse(text).alerts == {}  # nothing in it is an alert
    except InputError as error:
        assert error.cure
