"""What follows a remediation after which things are no better: what its task says of it in `if_worse` (spec section 6)."""

from __future__ import annotations

import json
import subprocess
import sys

from sre_responder.engine.step.call import Step
from sre_responder.errors import EffectFailed, OutcomeUnknown, Refused, ResponderError
from sre_responder.evidence.verdict import Verdict
from sre_responder.ledger import Ledger, attempts, audit, plans, runs


def undone(step: Step, attempt: int, verdict: Verdict) -> bool:
    """Undo an attempt after which the evidence is no better, where its task wants that and its plan can be undone.

    That what could be measured before cannot be measured after it is no better either. The undo is a `responder undo` like any
    other, behind the same guard. Where it does not succeed the run is halted and the error says what a person types.
    """
    unmeasurable = verdict.state == "unknown" and step.state == "unhealthy"
    if not verdict.samples or not (verdict.state == "not_improved" or unmeasurable):
        return False
    if not wanted(step.ledger, attempt):
        return False
    who = step.request.requester
    note(step.ledger, who, attempt, "undo.started", f"attempt {attempt} made nothing better, and is undone")
    if error := _undo(step, attempt):
        note(step.ledger, who, attempt, "undo.failed", f"attempt {attempt} is not undone: {error.message}")
        with step.ledger.transaction() as connection:
            runs.halt(connection, step.ledger.now(connection), step.request.run, f"attempt {attempt} is not undone")
        raise error
    return True


def wanted(ledger: Ledger, attempt: int) -> bool:
    """Whether an attempt is to be undone if it made nothing better: it can be, and its task says nothing else."""
    with ledger.transaction(reading=True) as connection:
        planned = [plans.of(plans.find(connection, row.plan)) for row in attempts.effects_of(connection, attempt)]
    return any(plan.undo for plan in planned) and all(plan.if_worse == "undo" for plan in planned)


def _undo(step: Step, attempt: int) -> ResponderError | None:
    """`responder undo`, as a process of its own: it drives Ansible, and this one is Ansible's."""
    confirmed = ["--confirm-production"] if step.request.confirm_production else []
    done = subprocess.run(
        [sys.executable, "-m", "sre_responder.cli", "undo", str(attempt), "--json", *confirmed],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode == 0:
        return None
    try:
        why = " ".join(str(json.loads(done.stdout)["message"]).split())
    except (ValueError, KeyError, TypeError):
        why = (done.stderr.strip() or f"it ended with {done.returncode}").splitlines()[-1]
    kinds = {3: Refused, 4: Refused, 5: OutcomeUnknown}
    kind = kinds.get(done.returncode, EffectFailed)
    words = f"attempt {attempt} at {step.request.action} made nothing better, and could not be undone: {why}"
    return kind(words, cure=f"See `responder status`, then: responder undo {attempt}")


def passed_over(step: Step) -> tuple[str, str] | None:
    """Why this step is left out, in a word and a sentence, after a task of this run that wants a person or a rollback next."""
    assert step.spec is not None
    with step.ledger.transaction(reading=True) as connection:
        last = attempts.last_of_run(connection, step.request.run)
        if last is None or last.outcome != "not_improved" or last.task == step.request.task:
            return None
        wanted = plans.of(plans.find(connection, last.plan)).if_worse
    because = f"attempt {last.id} at {last.action} made nothing better"
    if wanted == "hand_over":
        return "handed_over", f"{because}, and its task wants a person next"
    if wanted == "rollback" and not step.spec.rollback:
        return "not_applicable", f"{because}, and its task wants a rollback next"
    return None


def note(ledger: Ledger, requester: str, attempt: int, type: str, summary: str) -> None:
    """Put on the record what becomes of an attempt that made nothing better."""
    with ledger.transaction() as connection:
        made = attempts.get(connection, attempt)
        audit.append(
            connection, ledger.now(connection), type, requester, summary, incident=made.incident, notify="incident_commander",
            run=made.run, attempt=attempt, action=made.action,
        )  # fmt: skip
