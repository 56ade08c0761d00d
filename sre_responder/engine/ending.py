"""How a run ended, judged from facts alone: the exit code that was promised and one sentence."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

ACTED = ("improved", "not_improved")


class Ending(Enum):
    """A word for the record, the exit code, and what people read. Two endings may share a word."""

    HEALED = ("healed", 0, "the success criterion is met")
    HEALTHY = ("healed", 0, "the success criterion is met; this run took no remediation")
    LATE = ("healed", 0, "the success criterion is met now; the last remediation had been measured as no improvement")
    CONTAINED = ("contained", 0, "the target is contained, which is not a remediation; see `responder contained`")
    PREVIEWED = ("previewed", 0, "nothing was changed")
    DONE = ("done", 0, "every task ran; this runbook has no action")
    REFUSED = ("refused", 3, "a gate refused")
    STOPPED = ("stopped", 4, "an emergency stop ended the run")
    UNKNOWN = ("unknown", 5, "the outcome of the last action is not known; its target is frozen")
    TAKEN_BACK = ("unknown", 5, "the service could not be measured after the last action, which was undone")
    EXHAUSTED = ("exhausted", 6, "every rung was tried and the service is still unhealthy; handed over to a person")
    INAPPLICABLE = ("exhausted", 6, "no rung of this runbook applies; handed over to a person")
    NOT_UNDONE = ("exhausted", 6, "an action made nothing better and could not be undone; handed over to a person")
    HANDED_OVER = ("exhausted", 6, "an action made nothing better; handed over to a person, as its task says")
    DEADLINE = ("deadline", 1, "the run, or a rollback in it, took longer than the policy allows and was ended")
    UNWRITABLE = ("failed", 1, "the folder of the run could not be written any more")
    FAILED = ("failed", 1, "Ansible ended the run")
    INTERRUPTED = ("interrupted", 1, "a signal ended the run before it was over")
    CUT_SHORT = ("cut_short", 1, "steps that should have run left no record")

    def __init__(self, word: str, exit_code: int, sentence: str) -> None:
        self.word, self.exit_code, self.sentence = word, exit_code, sentence


@dataclass(frozen=True)
class StepFact:
    """What the record says of one step of the run.

    `result` is the outcome of an attempt, the reason of a skip, or `refused`. `measured` is what the success criterion said
    before a step that was skipped. `already`: the target was in the wanted state before.
    """

    action: str
    result: str
    contains: bool = False
    measured: str | None = None
    already: bool = False
    stopped: bool = False

    @property
    def healthy(self) -> bool | None:
        """What was last measured here; None where nothing was. That containment was read back measures nothing."""
        if self.result in ACTED:
            return None if self.contains else self.result == "improved"
        return {"healthy": True, "unhealthy": False}.get(self.measured or "")


@dataclass(frozen=True)
class Facts:
    """All that an ending depends on: `how` is the driver's word, `rc` Ansible's, `unknown` whether any attempt of the run has an
    unknown outcome, `undone` whether what made nothing better was undone, where that was to be, `silent` the declared steps without a record, `contains_only` whether the runbook has no remediation."""

    steps: tuple[StepFact, ...]
    how: str = "finished"
    rc: int | None = 0
    check: bool = False
    unknown: bool = False
    undone: bool | None = None
    declared: bool = True
    contains_only: bool = False
    silent: tuple[str, ...] = ()


def judge(facts: Facts) -> Ending:
    """The ending. Healed only when the last thing that was measured is the criterion, met; and not by containment."""
    refused = [step for step in facts.steps if step.result == "refused"]
    if facts.how == "stopped":
        return Ending.STOPPED
    if facts.unknown:
        return Ending.TAKEN_BACK if facts.undone else Ending.UNKNOWN
    if facts.how == "interrupted":
        return Ending.INTERRUPTED
    if refused:
        return Ending.STOPPED if refused[-1].stopped else Ending.REFUSED
    if facts.how == "deadline":
        return Ending.DEADLINE
    if facts.steps and facts.steps[-1].result == "not_done":
        return Ending.REFUSED
    if facts.how == "unwritable":
        return Ending.UNWRITABLE
    if facts.how != "finished" or facts.rc != 0:
        return Ending.NOT_UNDONE if facts.undone is False else Ending.FAILED
    if facts.check:
        return Ending.PREVIEWED
    return _climbed(facts) if facts.declared else Ending.DONE


def _climbed(facts: Facts) -> Ending:
    """The ending of a run that nothing ended before its time.

    A remediation that was measured as no improvement and a criterion that is met afterwards is a late recovery: the same
    criterion says so, and nothing is left to do. While something is contained, that explains it better than a remediation would.
    """
    remediations = [step for step in facts.steps if not step.contains]
    acted = [step for step in remediations if step.result in ACTED]
    contained = any(step.contains and (step.result == "improved" or step.already) for step in facts.steps)
    measured = [step.healthy for step in facts.steps if step.healthy is not None]
    if measured and measured[-1]:
        if acted and acted[-1].result == "improved":
            return Ending.HEALED
        if contained:
            return Ending.CONTAINED
        return Ending.LATE if acted else Ending.HEALTHY
    if facts.silent:
        return Ending.CUT_SHORT
    if any(step.result == "handed_over" for step in facts.steps):
        return Ending.HANDED_OVER
    if contained and facts.contains_only:
        return Ending.CONTAINED
    return Ending.EXHAUSTED if acted or any(step.result == "tried" for step in remediations) else Ending.INAPPLICABLE
