"""What is locked out, by the very names that `responder reset` takes."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from support.history import EPOCH, History, lock

from sre_responder.errors import Refused
from sre_responder.guard.breakers import locked_out

PURGES, RESTARTS = lock("http_cache_purge"), lock("supervisor_restart")
ROLLBACKS = "rollbacks:staging"


def closed(h: History, minute: float) -> dict[str, float]:
    """Each locked-out breaker and the minute since when."""
    h.minute = minute
    with h.ledger.transaction(reading=True) as connection:
        found = locked_out(connection, h.ledger.now(connection), h.home.policy)
    return {name: round((since - EPOCH) / 60, 3) for name, since in found.items()}


CASES: dict[str, tuple[dict[str, float], Callable[[History], History]]] = {
    "nothing was tried": ({}, lambda h: h),
    "one attempt": ({}, lambda h: h.tried(0)),
    "two within the window, since the second": ({PURGES: 7}, lambda h: h.tried(0).tried(7)),
    "two more than fifteen minutes apart": ({}, lambda h: h.tried(0).tried(16)),
    "two of which one never acted": ({}, lambda h: h.tried(0).tried(1, outcome="not_done")),
    "two remedies": ({PURGES: 1, RESTARTS: 3}, lambda h: h.tried(0).tried(1).tried(2, "restart").tried(3, "restart")),
    "a recovery": ({}, lambda h: h.tried(0).tried(1).healthy(2, 3)),
    "a recovery of another service": ({PURGES: 1}, lambda h: h.tried(0).tried(1).healthy(2, 3, service="search")),
    "a trial that was allowed": ({PURGES: 1}, lambda h: h.tried(0).tried(1).reset(2, PURGES)),
    "a trial that failed": ({PURGES: 1}, lambda h: h.tried(0).tried(1).reset(2, PURGES).tried(3)),
    "another environment": (
        {lock("http_cache_purge", environment="canary"): 1},
        lambda h: h.tried(0, environment="canary").tried(1, environment="canary"),
    ),
    "another symptom": (
        {lock("http_cache_purge", failure="slowness"): 1}, lambda h: h.tried(0, "purge-slow").tried(1, "purge-slow")
    ),
    "two failed rollbacks": ({ROLLBACKS: 5}, lambda h: h.tried(0, "roll-back").tried(5, "roll-back", service="search")),
    "one failed rollback and one that helped": (
        {}, lambda h: h.tried(0, "roll-back").tried(5, "roll-back", "improved", service="search")
    ),
    "two failed rollbacks for one symptom": (
        {ROLLBACKS: 5, lock("release_rollback"): 5},
        lambda h: h.tried(0, "roll-back").tried(5, "roll-back"),
    ),
    "two failed rollbacks of another environment": (
        {"rollbacks:canary": 5},
        lambda h: (h.tried(0, "roll-back", environment="canary")
            .tried(5, "roll-back", service="search", environment="canary")),
    ),
    "a trial of rollbacks that helped": (
        {},
        lambda h: (h.tried(0, "roll-back").tried(5, "roll-back", service="search").reset(6, ROLLBACKS)
            .tried(40, "roll-back", "improved", service="mail")),
    ),
    "an undo that failed twice": (
        {lock("undo", failure="undo-1"): 2}, lambda h: h.tried(0).tried(1, "undo", undoes=1).tried(2, "undo", undoes=1)
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_locked_out(history: History, case: str) -> None:
    expected, told = CASES[case]
    assert closed(told(history), 50) == expected


@pytest.mark.parametrize(("minute", "expected"), [(29, {ROLLBACKS: 2}), (31, {})])
def test_three_rollbacks_that_helped_are_locked_out_for_thirty_minutes(
    history: History, minute: float, expected: dict[str, float]
) -> None:
    for at, service in enumerate(("checkout", "search", "mail")):
        history.tried(at, "roll-back", "improved", service=service)
    assert closed(history, minute) == expected


def test_each_name_is_what_the_refusal_says_and_what_acknowledge_takes(history: History) -> None:
    history.tried(0, "roll-back").tried(1, "roll-back")
    names = closed(history, 2)
    gates = history.asks(3, "roll-back")
    refused = {gates[name].command for name in ("loop", "rollback") if gates[name].status == "failed"}
    assert refused == {f"responder reset {name}" for name in names}
    for name in names:
        history.reset(4, name)
    gates = history.asks(5, "roll-back")
    assert [gates[name].status for name in ("loop", "rollback")] == ["passed", "passed"]


def test_only_an_incident_commander_opens_it(history: History) -> None:
    history.tried(0).tried(1)
    with pytest.raises(Refused, match="only an incident commander"):
        history.reset(2, PURGES, "dana")
    assert history.asks(3)["loop"].status == "failed"


def test_the_command_that_status_prints_opens_it_for_one_trial(
    tmp_path: Path, component: Callable[[str, str], Path]
) -> None:
    component("ssh-keygen", "openssh-client")
    history = History(tmp_path / "told", epoch=time.time() - 600)
    history.tried(0).tried(1)
    environ = {"HOME": str(tmp_path), "LANG": "C.UTF-8", "RESPONDER_HOME": str(history.home.folder)}
    environ |= {"RESPONDER_LEDGER": history.home.ledger_url}
    environ |= {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}

    def typed(line: str) -> str:
        words = shlex.split(line)
        return subprocess.run(words, env=environ, capture_output=True, text=True, timeout=60, check=True).stdout

    [row] = json.loads(typed("responder status --json"))["locked_out"]
    assert row["what"] == PURGES
    typed(f"{row['command']} --as iris --key {history.key('iris')}")
    assert history.asks(10)["loop"].status == "passed"
