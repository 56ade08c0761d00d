"""What alerts mean in a home, and which of them are one incident."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from support import ledgers

from sre_responder.errors import InputError
from sre_responder.home import Home
from sre_responder.home.policy import Policy
from sre_responder.intake.alert import Alert, Webhook
from sre_responder.intake.groups import Group, Meaning, reader, understood
from sre_responder.ledger import Ledger, audit, incidents
from sre_responder.model import names


class Catalogue:
    def service(self, name: str) -> Any:
        if name not in ("hello", "other"):
            raise InputError(f"service '{name}' is not in the catalogue.", cure="Add it.")
        return SimpleNamespace(name=name)

    def environment(self, name: str, wanted: str) -> str:
        return names.environment(wanted)


class Runbooks:
    def for_alert(self, alert: dict[str, Any]) -> Any:
        return SimpleNamespace(metadata=SimpleNamespace(id="r", failure_class=alert["labels"]["alertname"].lower()))


def home(**alerts: Any) -> Home:
    policy = Policy.model_validate({"alerts": alerts})
    return cast(Home, SimpleNamespace(catalogue=Catalogue(), policy=policy, runbooks=Runbooks()))


def firing(severity: str = "warning", **labels: str) -> dict[str, Any]:
    named = {"alertname": "Errors", "service": "hello", "environment": "dev", "severity": severity, **labels}
    return {"status": "firing", "labels": {key: value for key, value in named.items() if value}}


def read(*alerts: dict[str, Any], here: Home | None = None, confirmed: bool = False) -> Any:
    webhook = Webhook({position: Alert.model_validate(one) for position, one in enumerate(alerts, 1)})
    return understood(webhook, reader(here or home()), confirmed=confirmed)


def test_a_group_is_as_severe_as_its_worst_alert_and_has_its_title() -> None:
    mild, bad = firing("warning", zone="a"), firing("critical", zone="b")
    for alerts in ([mild, bad], [bad, mild]):
        bad["annotations"] = {"summary": "nothing works in zone b"}
        [group], problems = read(*alerts)
        assert (group.worst.severity, group.worst.alert.title) == ("SEV1", "nothing works in zone b")
        assert len(group.meanings) == 2 and problems == ()


def test_alerts_of_other_services_environments_and_failures_are_groups_of_their_own() -> None:
    groups, _ = read(
        firing(), firing(service="other"), firing(environment="staging"), firing(alertname="Slow"), firing()
    )
    assert [len(group.meanings) for group in groups] == [2, 1, 1, 1]


def test_one_alert_without_a_service_stops_no_other_and_is_named() -> None:
    [group], [problem] = read(firing(pod="a"), firing(service="", pod="b"), firing(pod="c"))
    assert [one.position for one in group.meanings] == [1, 3]
    assert problem.position == 2
    assert "Alert 2 (Errors environment=dev, severity=warning, pod=b): it has no service" in str(problem)


def test_an_alert_of_production_needs_confirmation_and_stops_no_other() -> None:
    [group], [problem] = read(firing(environment="production"), firing())
    assert group.worst.environment == "dev" and "--confirm-production" in problem.cure
    assert len(read(firing(environment="production"), firing(), confirmed=True)[0]) == 2


def test_resolved_alerts_are_no_group_and_no_problem() -> None:
    assert read({"status": "resolved", "labels": {}}) == ((), ())


def test_a_group_began_with_its_first_alert_whose_beginning_is_known() -> None:
    [group], _ = read(
        {**firing(), "startsAt": "0001-01-01T00:00:00Z"},
        {**firing(), "startsAt": "2026-11-26T00:52:00Z"},
        {**firing(), "startsAt": "2026-11-26T00:50:00"},
    )
    assert group.started_at is not None and group.started_at.minute == 50
    assert Group((cast(Meaning, SimpleNamespace(alert=Alert.model_validate(firing()))),)).started_at is None


def test_a_home_that_cannot_be_read_is_one_error_and_not_one_an_alert() -> None:
    class Broken:
        @property
        def policy(self) -> Policy:
            raise InputError("policy.yml:3: loop: not known.")

    with pytest.raises(InputError, match=r"policy\.yml:3"):
        reader(cast(Home, Broken()))


MAPPED = {
    "service": {"expression": "labels.job"},
    "environment": {"expression": "labels.cluster || 'dev'", "values": {"prod-eu": "production"}},
    "severity": {"expression": "annotations.priority", "values": {"P1": "SEV1"}},
}


@pytest.mark.parametrize(
    ("cluster", "priority", "expected"),
    [("prod-eu", "P1", ("production", "SEV1")), ("staging", "high", ("staging", "SEV2")), ("", "P1", ("dev", "SEV1"))],
)
def test_the_policy_says_which_labels_name_what(cluster: str, priority: str, expected: tuple[str, str]) -> None:
    labels = {"alertname": "Errors", "job": "hello", **({"cluster": cluster} if cluster else {})}
    alert = {"status": "firing", "labels": labels, "annotations": {"priority": priority}}
    [group], problems = read(alert, here=home(**MAPPED), confirmed=True)
    assert problems == ()
    assert (group.worst.service, group.worst.environment, group.worst.severity) == ("hello", *expected)


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("labels.job", "it has no service: labels.job is not set"),
        ("labels", "it has no service"),
        ("length(labels.job)", "cannot be read from it"),
        ("labels.service == 'hello'", "it has no service"),
    ],
)
def test_an_expression_that_gives_no_text_is_a_problem_of_that_alert(expression: str, said: str) -> None:
    groups, [problem] = read(firing(), here=home(service={"expression": expression}))
    assert groups == () and said in problem.reason and "alerts.service" in problem.cure


def test_an_expression_that_is_not_jmespath_is_refused_with_the_policy() -> None:
    with pytest.raises(ValueError, match="not JMESPath"):
        home(service={"expression": "labels."})


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return ledgers.make(Ledger(f"sqlite:///{tmp_path / 'ledger.db'}"))


def opened(ledger: Ledger, severity: str = "SEV3", title: str = "t", **more: Any) -> tuple[str, bool]:
    with ledger.transaction() as connection:
        return incidents.open_(
            connection, ledger.now(connection), service="hello", environment="dev", severity=severity, title=title,
            actor="alert", **more,
        )  # fmt: skip


def test_an_incident_is_joined_by_its_symptom_whichever_pod_alerts(ledger: Ledger) -> None:
    assert opened(ledger, failure_class="errors") == ("INC-00001", True)
    assert opened(ledger, failure_class="errors") == ("INC-00001", False)
    assert opened(ledger, failure_class="slow") == ("INC-00002", True)


def test_a_worse_alert_raises_severity_and_title_and_a_milder_one_changes_nothing(ledger: Ledger) -> None:
    opened(ledger, "SEV3", "some errors", failure_class="errors")
    opened(ledger, "SEV1", "all errors", failure_class="errors")
    opened(ledger, "SEV4", "a few errors", failure_class="errors")
    with ledger.transaction(reading=True) as connection:
        row = incidents.get(connection, "INC-00001")
        raised = list(audit.entries(connection, type="incident.severity_raised"))
    assert row is not None and (row.severity, row.title) == ("SEV1", "all errors")
    assert [entry.data["before"] for entry in raised] == ["SEV3"]


@pytest.mark.parametrize("by_hand", ["INC-99999", "INC-00001", "INC-00002", "INC-99999999", "INC-0001"])
def test_a_number_given_by_hand_never_collides_with_later_ones(ledger: Ledger, by_hand: str) -> None:
    numbers = [opened(ledger, id=by_hand)[0], *(opened(ledger)[0] for _ in range(4))]
    assert len({*numbers}) == 5
    assert all(len(number) == 9 for number in numbers[1:])


def test_a_closed_incident_is_not_opened_again_under_its_number(ledger: Ledger) -> None:
    opened(ledger, id="INC-1234")
    with ledger.transaction() as connection:
        incidents.close(connection, ledger.now(connection), "INC-1234", "dana")
    with pytest.raises(InputError, match="INC-1234 is closed"):
        opened(ledger, id="INC-1234")


@pytest.mark.parametrize(("ahead", "known"), [(-3600, True), (5, True), (86400, False)])
def test_an_alert_that_begins_tomorrow_has_no_known_beginning(ledger: Ledger, ahead: float, known: bool) -> None:
    opened(ledger, started_at=ledger.clock() + ahead)
    with ledger.transaction(reading=True) as connection:
        row = incidents.get(connection, "INC-00001")
    assert row is not None and (row.started_at is not None) == known
    assert row.started_at is None or row.started_at <= row.opened_at
