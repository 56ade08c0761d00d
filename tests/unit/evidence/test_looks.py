"""Several looks as one sample: the worst counts, what is missing is never good, and users come before the workload."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from pydantic import ValidationError

from sre_responder.evidence.fetch import Answer
from sre_responder.evidence.looks import ELSEWHERE, by_look, probe, together
from sre_responder.evidence.sources.http import Http
from sre_responder.evidence.sources.kubernetes import Kubernetes
from sre_responder.model.criterion import Criterion
from sre_responder.model.look import Look, Part, Place, Sample

USERS, WORKLOAD = Http(), Kubernetes()
BOTH = Criterion(must=(Http(required=False), WORKLOAD))


def sampled(*oks: bool | None, looks: Sequence[Look] = (USERS, WORKLOAD)) -> Sample:
    return together([
        Part("must", look, Sample(1.0, ok, f"{look.source} is {ok}")) for look, ok in zip(looks, oks, strict=True)
    ])  # fmt: skip


SHOP = Place("checkout", "dev", {"backstage.io/kubernetes-namespace": "shop"})


@pytest.mark.parametrize(
    ("users", "workload", "expected"),
    [
        (True, True, True),
        (True, False, False),
        (False, True, False),
        (False, False, False),
        (None, True, None),
        (True, None, None),
        (None, None, None),
        (None, False, False),
        (False, None, False),
    ],
)
def test_the_worst_of_several_looks_counts(users: bool | None, workload: bool | None, expected: bool | None) -> None:
    assert sampled(users, workload).ok is expected


def test_a_workload_in_order_whose_users_are_not_served_has_its_cause_elsewhere() -> None:
    assert sampled(False, True).reason == f"{ELSEWHERE}: http is False"


@pytest.mark.parametrize("workload", [False, None])
def test_a_workload_that_is_not_in_order_is_not_called_a_cause_elsewhere(workload: bool | None) -> None:
    assert ELSEWHERE not in sampled(False, workload).reason


def test_users_alone_say_nothing_of_where_the_cause_is() -> None:
    assert sampled(False, looks=[USERS]).reason == "http is False"


def test_only_what_decided_is_told() -> None:
    assert sampled(True, False).reason == "kubernetes is False"


def test_a_look_that_is_not_required_is_left_out_where_the_catalogue_does_not_say_where() -> None:
    taken = probe(BOTH, SHOP)
    assert not isinstance(taken, str)


def test_a_look_that_is_required_and_nowhere_makes_all_unknown() -> None:
    required = Criterion(must=(USERS, WORKLOAD))
    assert probe(required, SHOP) == ("no probe: neither success.url nor the annotation responder/probe-url is set")


def test_where_no_look_can_be_taken_nothing_is_healthy() -> None:
    told = probe(Criterion(must=(Http(required=False),)), Place("checkout", "dev"))
    assert isinstance(told, str) and "no probe" in told


def test_a_service_without_a_namespace_has_no_workload_to_look_at() -> None:
    told = probe(BOTH, Place("checkout", "dev", {"responder/probe-url": "http://127.0.0.1:9/"}))
    assert told == "no workload: the annotation backstage.io/kubernetes-namespace is not set"


def test_a_criterion_says_where_to_look_once() -> None:
    with pytest.raises(ValidationError, match="expect: say so in each entry of must"):
        Criterion.model_validate({"expect": "ok", "must": [{"source": "kubernetes"}]})


def answered(body: bytes, **headers: str) -> Answer:
    return Answer(
        "http://probe.test/", 200, body, 0.01, {name.replace("_", "-"): value for name, value in headers.items()}
    )


PLAIN = Http(expect="success_rate == null || success_rate >= `0.98`", json_required=False)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (answered(b"ok"), True),
        (answered(b""), True),
        (answered(b'{"success_rate": 1.0}'), True),
        (answered(b'{"up": true}'), True),
        (answered(b'{"success_rate": 0.5}'), False),
        (answered(b'{"success_rate": "none"}'), None),
        (answered(b'{"success_rate": 0.'), None),
        (answered(b"no JSON", content_type="application/json"), None),
    ],
)
def test_an_answer_without_json_counts_by_its_status_and_one_that_was_cut_short_does_not(
    answer: Answer, expected: bool | None
) -> None:  # fmt: skip
    assert PLAIN.judge(answer).ok is expected


def test_an_answer_without_json_is_not_measured_where_json_is_required() -> None:
    assert Http(expect="ok").judge(answered(b"ok")).ok is None


def test_what_is_kept_of_many_samples_loses_no_bad_one_among_good() -> None:
    samples = [
        replace(together([Part("must", USERS, Sample(float(n), n != 77, "", value=n / 10))]), at=float(n))
        for n in range(200)
    ]
    [row] = by_look(samples)
    assert len(row["points"]) <= 60
    assert [(at, value) for at, value, ok in row["points"] if ok is False] == [(77 - 199, 7.7)]
