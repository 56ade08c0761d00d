"""The policy: its defaults are the specification's numbers, its profiles soften it openly, its errors say what is allowed."""

from __future__ import annotations

import signal
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import reduce
from itertools import pairwise, takewhile
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from sre_responder.errors import InputError
from sre_responder.home import policy
from sre_responder.home.policy import PROFILES, Policy, Profile
from sre_responder.home.section import MOST
from sre_responder.model.actions import ACTIONS
from sre_responder.model.names import SEVERITIES
from sre_responder.notify.channels import KINDS

PROFILE_NAMES: tuple[Profile, ...] = get_args(Profile)
Load = Callable[[str], Policy]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    def of(text: str) -> Policy:
        path = tmp_path / "policy.yml"
        path.write_text(text)
        return policy.load(path)

    return of


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("profile", "production"),
        ("stop.file", Path("/etc/incident-response/EMERGENCY_STOP")),
        ("loop.attempts", 2),
        ("loop.window_minutes", 15),
        ("rollbacks.failed_in_a_row", 2),
        ("rollbacks.within_window", 3),
        ("rollbacks.window_minutes", 30),
        ("rollbacks.deadline_seconds", 5 * 60),
        ("approvals.standing", {}),
    ],
)
def test_number_of_the_specification_is_the_default(load: Load, key: str, value: object) -> None:
    assert reduce(getattr, key.split("."), load("")) == value


@pytest.mark.parametrize(
    ("severity", "services", "actions", "approval_after", "production_rollbacks"),
    [
        ("SEV1", None, 3, 3, False),
        ("SEV2", 5, 2, 2, False),
        ("SEV3", 1, 3, None, True),
        ("SEV4", 1, None, None, False),
    ],
)
def test_severity_table_of_the_specification_is_the_default(
    load: Load, severity: Any, services: int | None, actions: int | None, approval_after: int | None, production_rollbacks: bool
) -> None:  # fmt: skip
    row = load("").severities[severity]
    assert (row.services, row.automatic_actions, row.approval_after_failures, row.approve_production_rollbacks) == (
        services,
        actions,
        approval_after,
        production_rollbacks,
    )


@pytest.mark.parametrize(
    ("profile", "absent"),
    [
        (
            "homelab",
            {"tickets", "approvals", "tested_procedures", "identified_scope", "measured_criterion", "commander_lifts_stop"},
        ),
        ("team", {"tested_procedures"}),
        ("production", set()),
    ],
)  # fmt: skip
def test_profile_says_which_safeguards_its_environment_cannot_offer(load: Load, profile: str, absent: set[str]) -> None:
    requires = load(f"profile: {profile}").requires.model_dump()
    assert {name for name, offered in requires.items() if not offered} == absent


def test_profile_changes_nothing_but_the_safeguards() -> None:
    assert {section for values in PROFILES.values() for section in values} == {"requires"}


def test_a_line_of_the_file_wins_over_its_profile_and_leaves_the_rest_of_it(load: Load) -> None:
    requires = load("profile: homelab\nrequires: {approvals: true}").requires
    assert (requires.approvals, requires.tickets) == (True, False)


def test_a_severity_written_in_part_keeps_its_other_limits(load: Load) -> None:
    row = load("severities: {SEV2: {automatic_actions: 1}}").severities["SEV2"]
    assert (row.automatic_actions, row.services, row.approval_after_failures) == (1, 5, 2)


MESH = "{kind: istio, connection: mesh}"


@pytest.mark.parametrize(
    ("text", "line", "key", "allowed"),
    [
        ("profile: big\n", 1, "profile", "'homelab', 'team' or 'production'"),
        ("profile: [homelab]\n", 1, "profile", "'homelab', 'team' or 'production'"),
        ("profile: team\nloop:\n  attempts: 0\n", 3, "loop.attempts", "greater than or equal to 1"),
        ("loop: {attempts: two}\n", 1, "loop.attempts", "valid integer"),
        (
            "graph: {sources: [{kind: istoi, connection: mesh}]}\n",
            1,
            "graph.sources.0.kind",
            "'istoi' is not known; use one of istio",
        ),
        (f"graph: {{sources: [{MESH}, {MESH}]}}\n", 1, "graph.sources", "istio@mesh is named twice"),
        ("severities: {SEV2: {traffic: 1.5}}\n", 1, "severities.SEV2.traffic", "less than or equal to 1"),
        ("radius:\n\n  capacity_left: 2\n", 3, "radius.capacity_left", "less than or equal to 1"),
        ("requires: {tickets: maybe}\n", 1, "requires.tickets", "valid boolean"),
        ("radius: {capacity_left_for: {kubernetes_isolat: 0}}\n", 1, "radius.capacity_left_for", "no action is called"),
        ("radius: {capacity_left_for: {kubernetes_isolate: 2}}\n", 1, "radius.capacity_left_for", "less than or equal"),
        ("approvals: {needed_for: {rollback: 2}}\n", 1, "approvals.needed_for", "no action is called rollback"),
        ("severities:\n  SEV9: {services: 1}\n", 2, "severities.SEV9", "'SEV1', 'SEV2', 'SEV3' or 'SEV4'"),
        ("severities:\n  SEV2: 5\n", 2, "severities.SEV2", "valid dictionary"),
        ("severity_aliases:\n  urgent: SEV9\n", 2, "severity_aliases.urgent", "'SEV1', 'SEV2', 'SEV3' or 'SEV4'"),
        ("approvals:\n  standing:\n    abc: [7]\n", 3, "approvals.standing.abc.0", "0, 1, 2, 3 or 4"),
        ("notifications:\n  - kind: pigeon\n", 2, "notifications.0", "'pagerduty', 'slack'"),
        ("profile: team\nlop: {attempts: 2}\n", 2, "lop", "loop"),
        ("loop:\n  attempt: 2\n", 2, "loop.attempt", "window_minutes"),
        ("loop: {attempts: 1}\nloop: {attempts: 9}\n", 2, "'loop'", "given twice"),
        ("loop:\n  attempts: 1\n  attempts: 9\n", 3, "'attempts'", "given twice"),
    ],
)
def test_an_error_names_file_line_key_and_what_is_allowed(
    load: Load, tmp_path: Path, text: str, line: int, key: str, allowed: str
) -> None:
    with pytest.raises(InputError) as raised:
        load(text)
    first = raised.value.message.splitlines()[0]
    assert first.startswith(f"{tmp_path / 'policy.yml'}:{line}: ")
    assert key in first
    assert allowed in str(raised.value)


@pytest.mark.parametrize("text", ["- profile\n", "just words\n", "profile: team\n---\nprofile: homelab\n"])
def test_what_is_not_one_mapping_is_refused(load: Load, text: str) -> None:
    with pytest.raises(InputError, match="is not one mapping"):
        load(text)


def test_two_channels_of_one_name_are_refused_because_a_delivery_is_remembered_by_name(load: Load) -> None:
    with pytest.raises(InputError, match="webhook"):
        load("notifications: [{kind: webhook, url: http://a/}, {kind: webhook, url: http://b/}]")


def test_the_commented_channels_of_an_example_are_valid_when_the_comment_is_taken_away(load: Load) -> None:
    lines = policy.example("team").splitlines()
    first = lines.index("# notifications:")
    block = takewhile(lambda line: line.startswith("#"), lines[first:])
    channels = load("\n".join(line.removeprefix("# ") for line in block)).notifications
    assert {channel.kind for channel in channels} == set(KINDS)


@pytest.mark.parametrize(
    ("word", "severity"),
    [
        ("SEV1", "SEV1"),
        ("sev2", "SEV2"),
        ("critical", "SEV1"),
        ("High", "SEV2"),
        ("medium", "SEV3"),
        ("LOW", "SEV4"),
    ],
)
def test_severity_is_known_by_its_name_and_by_its_alias(load: Load, word: str, severity: str) -> None:
    assert load("").severity(word) == severity


@pytest.mark.parametrize("alias", ["p1", "P1", "Page-Now"])
def test_alias_of_the_file_is_known_however_it_is_written(load: Load, alias: str) -> None:
    mine = load(f"severity_aliases: {{{alias}: SEV1}}")
    assert {mine.severity(word) for word in (alias, alias.upper(), alias.lower())} == {"SEV1"}


@pytest.mark.parametrize("word", ["SEV5", "SEV1\n", "SEV1; reboot", "\u017fev1", "SEV\uff11", "", "urgent"])
def test_what_only_looks_like_a_severity_is_refused(load: Load, word: str) -> None:
    with pytest.raises(InputError, match="is not known"):
        load("").severity(word)


@given(st.text())
def test_any_word_is_a_severity_or_bad_input_that_names_what_is_allowed(word: str) -> None:
    try:
        assert Policy().severity(word) in SEVERITIES
    except InputError as error:
        assert all(name in error.cure for name in (*SEVERITIES, "critical"))


@pytest.mark.parametrize("profile", PROFILE_NAMES)
def test_example_of_a_profile_loads_back_to_the_same_policy(load: Load, profile: Profile) -> None:
    assert load(policy.example(profile)) == load(f"profile: {profile}")


@pytest.mark.parametrize("profile", PROFILE_NAMES)
def test_example_of_a_profile_writes_out_and_explains_every_section(profile: Profile) -> None:
    text = policy.example(profile)
    assert set(yaml.safe_load(text)) == set(Policy.model_fields)
    lines = text.splitlines()
    unexplained = [
        name for name in Policy.model_fields
        if not any(line.startswith(f"{name}:") and before.startswith("#") for before, line in pairwise(lines))
    ]  # fmt: skip
    assert unexplained == []


@pytest.mark.parametrize("profile", PROFILE_NAMES)
def test_schema_is_json_schema_and_accepts_the_example(profile: Profile) -> None:
    validator = _validator()
    assert list(validator.iter_errors(yaml.safe_load(policy.example(profile)))) == []


@pytest.mark.parametrize(
    ("text", "accepted"),
    [
        ("profile: team", True),
        ("severities: {SEV2: {automatic_actions: 1}}", True),
        ("profile: big", False),
        ("lop: {}", False),
        ("loop: {attempts: 0}", False),
    ],
)
def test_schema_says_of_a_file_what_loading_it_says(load: Load, text: str, accepted: bool) -> None:
    assert _validator().is_valid(yaml.safe_load(text)) is accepted
    if accepted:
        load(text)
    else:
        with pytest.raises(InputError):
            load(text)


def _validator() -> Any:
    from jsonschema import Draft202012Validator

    Draft202012Validator.check_schema(policy.schema())
    return Draft202012Validator(policy.schema())


def test_gitops_is_held_off_by_no_runbook_unless_the_policy_says_so() -> None:
    assert [name for name in ACTIONS if Policy().leaves_out(name)] == ["kubernetes_hold"]
    assert Policy.model_validate({"gitops": "hold"}).leaves_out("kubernetes_hold") is None


def numbers() -> list[tuple[str, str]]:
    """Every number of the policy that stands in a section of its own."""
    sections = {name: field.annotation for name, field in Policy.model_fields.items()}
    found = [("", name) for name, kind in sections.items() if kind in (int, float)]
    for section, kind in sections.items():
        for name, field in getattr(kind, "model_fields", {}).items():
            if {int, float} & {field.annotation, *get_args(field.annotation)}:
                found.append((section, name))
    return found


@pytest.mark.parametrize("value", [".inf", "1.0e+400", ".nan", "1.0e+12", "99999999999999999999999"])
@pytest.mark.parametrize(("section", "name"), numbers())
def test_a_number_that_no_timer_and_no_calendar_takes_is_refused(
    load: Load, section: str, name: str, value: str
) -> None:
    with pytest.raises(InputError, match=rf"policy.yml:\d+: .*{name}"):
        load(f"{section}:\n  {name}: {value}\n" if section else f"{name}: {value}\n")


def test_the_largest_number_is_one_that_timers_and_calendars_take(load: Load) -> None:
    assert ("deadlines", "plan_seconds") in numbers() and ("", "run_deadline_minutes") in numbers()
    assert signal.setitimer(signal.ITIMER_REAL, MOST * 60) == (0.0, 0.0)
    signal.setitimer(signal.ITIMER_REAL, 0)
    assert datetime.now(UTC) + timedelta(days=MOST)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("approvals: {needed: {SEV1: 0}}", "approvals.needed.SEV1: Input should be greater than or equal to 1"),
        ("approvals: {needed_for: {release_rollback: -3}}", "greater than or equal to 1"),
        (
            "alerts: {environment: {expression: labels.env, values: {prod: productoin}}}",
            "values lead to productoin; environments: dev",
        ),
        ("ansible: {environment: [OPENSSL_CONF]}", "it decides which code is loaded"),
    ],
)
def test_what_would_ask_nobody_or_lead_nowhere_is_refused(load: Load, text: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        load(text)
