"""Every ending, from the facts that lead to it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sre_responder.engine.ending import Ending, Facts, StepFact, judge


def did(result: str, action: str = "supervisor_restart") -> StepFact:
    """A remediation that was carried out and measured."""
    return StepFact(action, result)


def contained(result: str = "improved", *, already: bool = False) -> StepFact:
    return StepFact("haproxy_drain", result, contains=True, already=already)


def skipped(reason: str, measured: str | None = None) -> StepFact:
    return StepFact("supervisor_restart", reason, measured=measured)


HEALTHY = skipped("healthy", "healthy")
TRIED = skipped("tried", "unhealthy")
ALREADY = StepFact("release_rollback", "not_applicable", measured="unhealthy", already=True)
REFUSED = StepFact("release_rollback", "refused")

CASES: dict[str, tuple[Ending, Facts]] = {
    "a signal before anything was done": (Ending.INTERRUPTED, Facts((), how="interrupted", rc=None)),
    "a signal after a refusal": (Ending.INTERRUPTED, Facts((REFUSED,), how="interrupted", rc=None)),
    "a signal in the middle of an act": (Ending.UNKNOWN, Facts((), how="interrupted", rc=None, unknown=True)),
    "a remediation that improved": (Ending.HEALED, Facts((did("improved"),))),
    "one that helped after one that did not": (Ending.HEALED, Facts((did("not_improved"), did("improved")))),
    "one that helped, and higher rungs that found it healthy": (Ending.HEALED, Facts((did("improved"), HEALTHY))),
    "one that helped, and steps left out after it": (Ending.HEALED, Facts((did("improved"),), silent=("x",))),
    "a service that was healthy from the start": (Ending.HEALTHY, Facts((HEALTHY, HEALTHY))),
    "a rung that does not apply to a healthy service": (Ending.HEALTHY, Facts((skipped("not_applicable"), HEALTHY))),
    "a service that flapped: healthy, then no remediation helped": (
        Ending.EXHAUSTED, Facts((HEALTHY, did("not_improved")))
    ),
    "one that helped for a moment, and the next that did not": (
        Ending.EXHAUSTED, Facts((did("improved"), did("not_improved")))
    ),
    "a recovery after the remediation was judged": (Ending.LATE, Facts((did("not_improved"), HEALTHY))),
    "a late recovery that did not last": (Ending.EXHAUSTED, Facts((did("not_improved"), HEALTHY, TRIED))),
    "a late recovery, and unhealthy at a rung that is as wanted already": (
        Ending.EXHAUSTED, Facts((did("not_improved"), HEALTHY, ALREADY))
    ),
    "improved, and unhealthy at a rung that is as wanted already": (Ending.EXHAUSTED, Facts((did("improved"), ALREADY))),
    "no remediation helped": (Ending.EXHAUSTED, Facts((did("not_improved"), did("not_improved")))),
    "what helped in no earlier run": (Ending.EXHAUSTED, Facts((TRIED, TRIED))),
    "no rung applies": (Ending.INAPPLICABLE, Facts((skipped("not_applicable"), ALREADY))),
    "health that cannot be measured heals nothing": (
        Ending.INAPPLICABLE, Facts((skipped("not_applicable", "unknown"),))
    ),
    "containment alone": (Ending.CONTAINED, Facts((contained(),), contains_only=True)),
    "containment that was there already": (
        Ending.CONTAINED, Facts((contained("not_applicable", already=True),), contains_only=True)
    ),
    "containment declared not applicable": (
        Ending.INAPPLICABLE, Facts((contained("not_applicable"),), contains_only=True)
    ),
    "containment after a remediation that did not help": (Ending.EXHAUSTED, Facts((did("not_improved"), contained()))),
    "containment, and a criterion that is met while it lasts": (Ending.CONTAINED, Facts((contained(), HEALTHY))),
    "containment, a remediation without effect, and health": (
        Ending.CONTAINED, Facts((contained(), did("not_improved"), HEALTHY))
    ),
    "containment, and a remediation that helped": (Ending.HEALED, Facts((contained(), did("improved")))),
    "containment, and rungs that do not apply": (Ending.INAPPLICABLE, Facts((contained(), skipped("not_applicable")))),
    "a refusal": (Ending.REFUSED, Facts((REFUSED,), rc=2)),
    "a refusal after a remediation that helped": (Ending.REFUSED, Facts((did("improved"), REFUSED), rc=2)),
    "a refusal that the play ignored": (Ending.REFUSED, Facts((REFUSED, did("improved")), how="halted", rc=None)),
    "a refusal by a stop": (Ending.STOPPED, Facts((StepFact("x", "refused", stopped=True),), rc=2)),
    "a target that moved before the act": (Ending.REFUSED, Facts((did("not_improved"), did("not_done")), rc=2)),
    "a stop in the middle": (Ending.STOPPED, Facts((did("unknown"),), how="stopped", rc=None, unknown=True)),
    "an unknown outcome": (Ending.UNKNOWN, Facts((did("unknown"),), rc=2, unknown=True)),
    "an unknown outcome, and a later step that was refused": (
        Ending.UNKNOWN, Facts((did("unknown"), REFUSED), rc=2, unknown=True)
    ),
    "a deadline": (Ending.DEADLINE, Facts((did("improved"),), how="deadline", rc=None)),
    "a full disk": (Ending.UNWRITABLE, Facts((did("improved"),), how="unwritable", rc=None)),
    "a return code that nobody knows": (Ending.FAILED, Facts((did("improved"),), rc=None)),
    "an act that the platform refused": (Ending.FAILED, Facts((did("not_improved"),), rc=2)),
    "a run that was ended by a word that is not known here": (Ending.FAILED, Facts((), how="other", rc=0)),
    "no measurement after an act that was undone": (
        Ending.TAKEN_BACK, Facts((did("unknown"),), rc=2, unknown=True, undone=True)
    ),
    "no measurement after an act whose undo failed": (
        Ending.UNKNOWN, Facts((did("unknown"),), rc=2, unknown=True, undone=False)
    ),
    "what did not help was undone": (Ending.EXHAUSTED, Facts((did("not_improved"),), undone=True)),
    "what did not help and could not be undone": (
        Ending.NOT_UNDONE, Facts((did("not_improved"),), rc=2, undone=False)
    ),
    "a task that wants a person if it does not help": (
        Ending.HANDED_OVER, Facts((did("not_improved"), skipped("handed_over")))
    ),
    "a dry run": (Ending.PREVIEWED, Facts((HEALTHY,), check=True)),
    "a dry run that failed": (Ending.FAILED, Facts((), check=True, rc=4)),
    "no host, no step": (Ending.CUT_SHORT, Facts((), silent=("supervisor_restart",))),
    "a ladder that ended before its last rung": (Ending.CUT_SHORT, Facts((did("not_improved"),), silent=("x",))),
    "a runbook without actions": (Ending.DONE, Facts((), declared=False)),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_the_ending_follows_from_the_facts(case: str) -> None:
    ending, facts = CASES[case]
    assert judge(facts) is ending


def test_every_ending_has_a_case() -> None:
    assert {ending for ending, _ in CASES.values()} == set(Ending)


STEPS = st.lists(
    st.one_of(
        st.sampled_from(["improved", "not_improved"]).map(did),
        st.sampled_from(["improved", "not_applicable"]).map(contained),
        st.sampled_from([HEALTHY, TRIED, ALREADY, skipped("not_applicable"), REFUSED]),
    ),
    max_size=8,
)


@given(STEPS, st.booleans())
def test_nothing_is_healed_whose_last_measurement_is_not_good(steps: list[StepFact], unknown: bool) -> None:
    ending = judge(Facts(tuple(steps), unknown=unknown))
    measured = [step.healthy for step in steps if step.healthy is not None]
    if ending.word == "healed":
        assert measured[-1] is True and not unknown and REFUSED not in steps
