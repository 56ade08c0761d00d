"""Named cases of history: what happened, at which minute, and what one gate then says. The name is the rule."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.history import DAY, LADDER, Gates, History, Outcome, lock

from sre_responder.engine.health import Health

Case = tuple[str, Callable[[History], Gates]]
PURGES, RESTARTS, ROLLBACKS = lock("http_cache_purge"), lock("supervisor_restart"), "rollbacks:staging"
SECOND = 1 / 60
TWO_HOSTS = {"hosts": ("a", "b")}
OTHER = {"service": "search"}
CONTAINMENT, FIRST_RUNG, SECOND_RUNG, THIRD_RUNG, FOURTH_RUNG = (
    {"book": "ladder", "action": action} for action in LADDER
)  # fmt: skip


def locked_out(h: History) -> History:
    """The purge of checkout's cache in staging did not help twice within a minute."""
    return h.tried(0).tried(1)


def used_up(h: History) -> History:
    """Both actions of a SEV2 did not help."""
    return h.opened(0, "SEV2").tried(1).tried(2, "restart")


def rolled_back(h: History, *minutes: float, outcome: Outcome = "improved", environment: str = "staging") -> History:
    """Rollbacks at these minutes, each for a service of its own, so that no loop is locked out."""
    for minute, service in zip(minutes, ("search", "basket", "login", "mail"), strict=False):
        h.tried(minute, "roll-back", outcome, service=service, environment=environment)
    return h


def one_failed(h: History) -> History:
    return rolled_back(h, 0, outcome="not_improved")


def two_failed(h: History, environment: str = "staging") -> History:
    return rolled_back(h, 0, 1, outcome="not_improved", environment=environment)


LOOP: dict[str, Case] = {
    "the first attempt is free": ("passed", lambda h: h.asks(0)),
    "a second attempt within the window is allowed": ("passed", lambda h: h.tried(0).asks(1)),
    "a third attempt within the window is refused": ("failed", lambda h: h.tried(0).tried(5).asks(10)),
    "two attempts just inside fifteen minutes close it off": (
        "failed", lambda h: h.tried(0).tried(15 - SECOND).asks(20)
    ),
    "two attempts just outside fifteen minutes do not": ("passed", lambda h: h.tried(0).tried(15 + SECOND).asks(16)),
    "attempts spread out never close it off": ("passed", lambda h: h.tried(0).tried(20).tried(40).tried(60).asks(80)),
    "what is locked out stays so just outside the window": ("failed", lambda h: locked_out(h).asks(16 + SECOND)),
    "what is locked out stays so for ten days": ("failed", lambda h: locked_out(h).asks(10 * DAY)),
    "an attempt that helped counts until the symptom is measured healthy": (
        "failed", lambda h: h.tried(0, outcome="improved").tried(5, outcome="improved").asks(6)
    ),
    "an attempt of unknown outcome counts": (
        "failed", lambda h: h.tried(0, outcome="unknown").settled(0.5, "done").tried(1, outcome="unknown").asks(2)
    ),
    "an attempt that still runs counts": ("failed", lambda h: h.tried(0).tried(1, outcome="running").asks(2)),
    "an attempt that never acted counts for nothing": (
        "passed",
        lambda h: h.tried(0, outcome="not_done").tried(1, outcome="not_done").tried(2, outcome="not_done").asks(3),
    ),
    "one attempt that acted and one that did not are one": (
        "passed", lambda h: h.tried(0).tried(1, outcome="not_done").asks(2)
    ),
    "an unknown outcome settled as not done counts no more": (
        "passed", lambda h: h.tried(0).tried(1, outcome="unknown").settled(2, "not_done").asks(3)
    ),
    "an unknown outcome settled as done counts": (
        "failed", lambda h: h.tried(0).tried(1, outcome="unknown").settled(2, "done").asks(3)
    ),
    "a refused attempt counts for nothing": ("passed", lambda h: h.refused(0).refused(1).asks(2)),
    "another service counts for itself": ("passed", lambda h: locked_out(h).asks(2, **OTHER)),
    "another environment counts for itself": ("passed", lambda h: locked_out(h).asks(2, environment="canary")),
    "another class of failure counts for itself": ("passed", lambda h: locked_out(h).asks(2, "purge-slow")),
    "another remedy counts for itself": ("passed", lambda h: locked_out(h).asks(2, "restart")),
    "another target counts for itself": ("passed", lambda h: locked_out(h).asks(2, target="other")),
    "attempts at two targets do not add up": (
        "passed", lambda h: h.tried(0, target="a").tried(1, target="b").asks(2, target="a")
    ),
    "one of several hosts is counted wherever it is acted on": (
        "failed", lambda h: h.tried(0, **TWO_HOSTS).tried(1, hosts=("a",)).asks(2, hosts=("a",))
    ),
    "the other host of those is not": (
        "passed", lambda h: h.tried(0, **TWO_HOSTS).tried(1, hosts=("a",)).asks(2, hosts=("b",))
    ),
    "attempts follow the symptom through another runbook": ("failed", lambda h: locked_out(h).asks(2, "purge-too")),
    "attempts by two runbooks for one symptom add up": ("failed", lambda h: h.tried(0).tried(1, "purge-too").asks(2)),
    "an edited runbook starts no new count": ("failed", lambda h: locked_out(h).edited().asks(2)),
    "a new incident number starts no new count": ("failed", lambda h: locked_out(h).opened(2).asks(3)),
    "a worse severity starts no new count": ("failed", lambda h: locked_out(h).opened(2, "SEV1").asks(3)),
    "a renamed alert starts no new count": (
        "failed", lambda h: h.opened(0, alert="a").tried(1).tried(2).opened(3, alert="b").asks(4)
    ),
    "attempts under two incident numbers add up": ("failed", lambda h: h.tried(0).opened(1).tried(2).asks(3)),
    "several hosts of one task are one attempt": ("passed", lambda h: h.tried(0, **TWO_HOSTS).asks(1)),
    "two tasks over several hosts are two": ("failed", lambda h: h.tried(0, **TWO_HOSTS).tried(1, **TWO_HOSTS).asks(2, **TWO_HOSTS)),
    "the next host of an attempt under way is no further attempt": (
        "passed",
        lambda h: h.tried(0).tried(1, outcome="half", run="r", **TWO_HOSTS).asks(2, host="b", run="r", **TWO_HOSTS),
    ),
    "an undo is no further attempt": ("passed", lambda h: h.tried(0).tried(1, "undo", undoes=1).asks(2)),
    "an undo that did not help twice is locked out as any remedy": (
        "failed",
        lambda h: (h.tried(0, "roll-back").tried(1, "undo", undoes=1).tried(2, "undo", undoes=1)
            .asks(3, "undo", undoes=1)),
    ),
    "the undo of one attempt counts nothing for the undo of another": (
        "passed",
        lambda h: (h.tried(0, "roll-back").tried(1, "undo", undoes=1).tried(2, "undo", undoes=1).tried(3, "fail-over")
            .asks(4, "undo", undoes=4)),
    ),
    "a measured healthy period starts the count anew": ("passed", lambda h: locked_out(h).healthy(2, 3).asks(4)),
    "a period just long enough does": ("passed", lambda h: locked_out(h).healthy(2, 2.5, 3).asks(4)),
    "a period a second too short does not": ("failed", lambda h: locked_out(h).healthy(2, 3 - SECOND).asks(4)),
    "one healthy moment does not": ("failed", lambda h: locked_out(h).healthy(2).asks(4)),
    "two healthy moments with nobody looking between do not": (
        "failed", lambda h: locked_out(h).healthy(2, 62).asks(63)
    ),
    "a relapse breaks the period": (
        "failed", lambda h: locked_out(h).healthy(2, 2.5).healthy(2.7, ok=False).healthy(2.9, 3.4).asks(4)
    ),
    "a relapse after the period does not take it back": (
        "passed", lambda h: locked_out(h).healthy(2, 3).healthy(4, ok=False).asks(5)
    ),
    "the health of another service starts nothing anew": (
        "failed", lambda h: locked_out(h).healthy(2, 3, **OTHER).asks(4)
    ),
    "the health of another environment does not": (
        "failed", lambda h: locked_out(h).healthy(2, 3, environment="canary").asks(4)
    ),
    "the health of another symptom does not": (
        "failed", lambda h: locked_out(h).healthy(2, 3, failure="slowness").asks(4)
    ),
    "an attempt before the healthy period and one after are not two": (
        "passed", lambda h: h.tried(0).healthy(1, 2).tried(3).asks(4)
    ),
    "after the healthy period two attempts close it off again": (
        "failed", lambda h: locked_out(h).healthy(2, 3).tried(4).tried(5).asks(6)
    ),
    "the policy's own healthy period counts": (
        "failed", lambda h: locked_out(h.policy(loop={"healthy_seconds": 90})).healthy(2, 3).asks(4)
    ),
    "the policy's own window counts": (
        "passed", lambda h: h.policy(loop={"window_minutes": 5}).tried(0).tried(6).asks(7)
    ),
    "the policy's own number of attempts counts": (
        "passed", lambda h: locked_out(h.policy(loop={"attempts": 3})).asks(2)
    ),
    "a person allows one trial": ("passed", lambda h: locked_out(h).reset(2, PURGES).asks(3)),
    "a trial that fails closes it off again": (
        "failed", lambda h: locked_out(h).reset(2, PURGES).tried(3).asks(4)
    ),
    "a trial of unknown outcome closes it off again": (
        "failed", lambda h: locked_out(h).reset(2, PURGES).tried(3, outcome="unknown").asks(4)
    ),
    "a trial that helps is still no healthy period": (
        "failed", lambda h: locked_out(h).reset(2, PURGES).tried(3, outcome="improved").asks(4)
    ),
    "a trial that helps and lasts opens it": (
        "passed", lambda h: locked_out(h).reset(2, PURGES).tried(3, outcome="improved").healthy(4, 5).asks(6)
    ),
    "a trial that never acted is still to be had": (
        "passed", lambda h: locked_out(h).reset(2, PURGES).tried(3, outcome="not_done").asks(4)
    ),
    "a trial under way is the one trial": (
        "failed", lambda h: locked_out(h).reset(2, PURGES).tried(3, outcome="running").asks(4)
    ),
    "several hosts share one trial": (
        "passed",
        lambda h: (locked_out(h).reset(2, PURGES).tried(3, outcome="half", run="r", **TWO_HOSTS)
            .asks(4, host="b", run="r", **TWO_HOSTS)),
    ),
    "a second reset allows a second trial": (
        "passed", lambda h: locked_out(h).reset(2, PURGES).tried(3).reset(4, PURGES).asks(5)
    ),
    "two resets at once allow one trial": (
        "failed", lambda h: locked_out(h).reset(2, PURGES).reset(3, PURGES).tried(4).asks(5)
    ),
    "a reset in advance is used up by what comes before the closing": (
        "failed", lambda h: h.reset(0, PURGES).tried(1).tried(2).asks(3)
    ),
    "a reset waits for as long as it takes": (
        "passed", lambda h: locked_out(h).reset(2, PURGES).asks(30 * DAY)
    ),
    "a reset ends after a year": ("failed", lambda h: locked_out(h).reset(2, PURGES).asks(366 * DAY)),
    "a reset holds under a new incident number": (
        "passed", lambda h: locked_out(h).reset(2, PURGES).opened(3).asks(4)
    ),
    "a reset of another remedy opens nothing": (
        "failed", lambda h: locked_out(h).reset(2, RESTARTS).asks(3)
    ),
    "a reset of another service opens nothing": (
        "failed", lambda h: locked_out(h).reset(2, lock("http_cache_purge", "search")).asks(3)
    ),
    "a reset of another environment opens nothing": (
        "failed", lambda h: locked_out(h).reset(2, lock("http_cache_purge", environment="canary")).asks(3)
    ),
    "a reset of rollbacks opens no purge": (
        "failed", lambda h: locked_out(h).reset(2, ROLLBACKS).asks(3)
    ),
    "a clock set back reopens nothing": ("failed", lambda h: h.tried(100).tried(101).asks(0)),
    "a clock set back between attempts does not part them": ("failed", lambda h: h.tried(100).tried(0).asks(1)),
    "a clock set back after a recovery hides no later attempt": (
        "failed", lambda h: locked_out(h).healthy(100, 101).tried(2).tried(3).asks(4)
    ),
    "a clock set back does not take a trial away": (
        "passed", lambda h: h.tried(100).tried(101).reset(2, PURGES).asks(3)
    ),
    "a clock set back gives no second trial": (
        "failed", lambda h: h.tried(100).tried(101).reset(102, PURGES).tried(2).asks(3)
    ),
    "a clock that jumps ahead is no healthy period": (
        "failed", lambda h: locked_out(h).healthy(2).healthy(10 * DAY).asks(10 * DAY + 1)
    ),
    "a clock set back makes no healthy period of two moments": (
        "failed", lambda h: locked_out(h).healthy(100, 2, 100.5).asks(101)
    ),
}  # fmt: skip

BUDGET: dict[str, Case] = {
    "two of three actions at SEV1": (
        "passed", lambda h: h.opened(0, "SEV1").tried(1).tried(2, "restart").asks(3, "fail-over")
    ),
    "three actions use up SEV1": (
        "failed", lambda h: h.opened(0, "SEV1").tried(1).tried(2, "restart").tried(3, "roll-back").asks(4, "fail-over")
    ),
    "one of two actions at SEV2": ("passed", lambda h: h.opened(0, "SEV2").tried(1).asks(2, "restart")),
    "two actions use up SEV2": ("failed", lambda h: used_up(h).asks(3, "roll-back")),
    "two of three actions at SEV3": (
        "passed", lambda h: h.opened(0, "SEV3").tried(1).tried(2, "restart").asks(3, "roll-back")
    ),
    "three actions use up SEV3": (
        "failed", lambda h: h.opened(0, "SEV3").tried(1).tried(2, "restart").tried(3, "roll-back").asks(4, "fail-over")
    ),
    "nothing uses up SEV4": (
        "passed",
        lambda h: (h.tried(0).tried(1, "restart").tried(2, "roll-back").tried(3, "fail-over").tried(20)
            .asks(21, "restart")),
    ),
    "an action that helped is used as well": (
        "failed",
        lambda h: h.opened(0, "SEV2").tried(1, outcome="improved").tried(2, "restart", "improved").asks(3, "roll-back"),
    ),
    "an action of unknown outcome is used as well": (
        "failed",
        lambda h: h.opened(0, "SEV2").tried(1, outcome="unknown").tried(2, "restart", "unknown").asks(3, "roll-back"),
    ),
    "an action under way is used as well": (
        "failed",
        lambda h: h.opened(0, "SEV2").tried(1, outcome="running").tried(2, "restart", "running").asks(3, "roll-back"),
    ),
    "an action that never acted is not used": (
        "passed", lambda h: h.opened(0, "SEV2").tried(1).tried(2, "restart", "not_done").asks(3, "restart")
    ),
    "a refused action is not used": (
        "passed", lambda h: h.opened(0, "SEV2").tried(1).refused(2, "restart").asks(3, "restart")
    ),
    "an action that a person approved is not automatic": (
        "passed",
        lambda h: (h.opened(0, "SEV2").tried(1).tried(2, "restart", approved_by=["dana"], measured=False)
            .asks(3, "roll-back")),
    ),
    "a person's approval of the plan goes on after the last": (
        "passed",
        lambda h: used_up(h).refused(3, "roll-back", target="t").signs(4, "dana").asks(5, "roll-back", target="t"),
    ),
    "the approval of another plan does not": (
        "failed",
        lambda h: used_up(h).refused(3, "roll-back", target="t").signs(4, "dana").asks(5, "roll-back", target="u"),
    ),
    "a denial does not": (
        "failed",
        lambda h: (used_up(h).refused(3, "roll-back", target="t").signs(4, "dana", "deny")
            .asks(5, "roll-back", target="t")),
    ),
    "a new incident number gives no new actions for the symptom": (
        "failed", lambda h: used_up(h).opened(3, "SEV2").asks(4, "roll-back")
    ),
    "actions under two incident numbers add up": (
        "failed", lambda h: h.opened(0, "SEV2").tried(1).opened(2, "SEV2").tried(3, "restart").asks(4, "roll-back")
    ),
    "a renamed alert gives no new actions": (
        "failed",
        lambda h: (h.opened(0, "SEV2", alert="a").tried(1).tried(2, "restart").opened(3, "SEV2", alert="b")
            .asks(4, "roll-back")),
    ),
    "a worse severity allows what it allows": ("passed", lambda h: used_up(h).opened(3, "SEV1").asks(4, "roll-back")),
    "a lesser severity allows no more than it allows": (
        "failed", lambda h: h.opened(0, "SEV1").tried(1).tried(2, "restart").opened(3, "SEV2").asks(4, "roll-back")
    ),
    "a lesser severity allows no more than the worse one did": (
        "failed", lambda h: used_up(h).opened(3, "SEV4").asks(4, "roll-back")
    ),
    "a lesser severity after a recovery allows what it allows": (
        "passed", lambda h: used_up(h).healthy(3, 4).opened(5, "SEV4").tried(6).tried(7, "restart").asks(8, "roll-back")
    ),
    "actions on several services of one incident add up": (
        "failed",
        lambda h: (h.opened(0, "SEV2").tried(1).healthy(2, 3, 4).tried(5, incident_of="checkout", **OTHER)
            .asks(6, "restart")),
    ),
    "actions for several symptoms of one incident add up": (
        "failed", lambda h: h.opened(0, "SEV2").tried(1).tried(2, "purge-slow").asks(3, "restart")
    ),
    "another incident of another service has its own": (
        "passed", lambda h: used_up(h).opened(3, "SEV2", **OTHER).asks(4, **OTHER)
    ),
    "another incident of another environment has its own": (
        "passed", lambda h: used_up(h).opened(3, "SEV2", environment="canary").asks(4, environment="canary")
    ),
    "a new incident after a recovery has its own": (
        "passed", lambda h: used_up(h).healthy(3, 4).opened(5, "SEV2").asks(6)
    ),
    "a new incident after a healthy moment has not": (
        "failed", lambda h: used_up(h).healthy(3).opened(5, "SEV2").asks(6)
    ),
    "a recovery gives the same incident nothing back": ("failed", lambda h: used_up(h).healthy(3, 4).asks(5)),
    "time gives nothing back": ("failed", lambda h: used_up(h).asks(10 * DAY)),
    "a clock set back gives nothing back": (
        "failed", lambda h: h.opened(0, "SEV2").tried(100).tried(101, "restart").asks(0)
    ),
    "several hosts of one task use one action": (
        "passed", lambda h: h.opened(0, "SEV2").tried(1, **TWO_HOSTS).asks(2, "restart")
    ),
    "containment uses an action": (
        "failed", lambda h: h.opened(0, "SEV2").tried(1, "drain").tried(2).asks(3, "restart")
    ),
    "an undo uses none": (
        "passed", lambda h: h.opened(0, "SEV2").tried(1).tried(2, "undo", undoes=1).asks(3, "restart")
    ),
    "an undo is allowed after the last": ("passed", lambda h: used_up(h).asks(3, "undo", undoes=1)),
    "a reset of the loop gives no action": (
        "failed", lambda h: h.opened(0, "SEV2").tried(1).tried(2).reset(3, PURGES).asks(4)
    ),
    "the policy's own number counts": (
        "failed", lambda h: h.policy(severities={"SEV4": {"automatic_actions": 1}}).tried(0).asks(1, "restart")
    ),
}  # fmt: skip

ROLLBACK: dict[str, Case] = {
    "one failed rollback is allowed": ("passed", lambda h: h.tried(0, "roll-back").asks(1, "roll-back")),
    "two failed in a row close rollbacks off": (
        "failed", lambda h: rolled_back(h, 0, 60, outcome="not_improved").asks(120, "roll-back")
    ),
    "two failed in a row stay so for ten days": ("failed", lambda h: two_failed(h).asks(10 * DAY, "roll-back")),
    "one that helped between two that failed parts them": (
        "passed",
        lambda h: one_failed(h).tried(20, "roll-back", "improved").tried(40, "roll-back").asks(60, "roll-back"),
    ),
    "the second of two in a row may be of unknown outcome": (
        "failed", lambda h: one_failed(h).tried(60, "roll-back", "unknown").asks(61, "roll-back")
    ),
    "a rollback under way is none that helped": (
        "failed", lambda h: one_failed(h).tried(60, "roll-back", "running").asks(61, "roll-back")
    ),
    "one that never acted is none": (
        "passed", lambda h: one_failed(h).tried(1, "roll-back", "not_done").asks(2, "roll-back")
    ),
    "two that helped are allowed": ("passed", lambda h: rolled_back(h, 0, 1).asks(2, "roll-back")),
    "three in thirty minutes close rollbacks off, though they helped": (
        "failed", lambda h: rolled_back(h, 0, 10, 20).asks(25, "roll-back")
    ),
    "the first of three is just inside thirty minutes": (
        "failed", lambda h: rolled_back(h, 0, 10, 20).asks(30 - SECOND, "roll-back")
    ),
    "the first of three is just outside thirty minutes": (
        "passed", lambda h: rolled_back(h, 0, 10, 20).asks(30 + SECOND, "roll-back")
    ),
    "the window slides": ("failed", lambda h: rolled_back(h, 0, 10, 20, 30).asks(35, "roll-back")),
    "failed rollbacks of another environment count there": (
        "passed", lambda h: two_failed(h, "canary").asks(2, "roll-back")
    ),
    "three rollbacks of another environment count there": (
        "passed", lambda h: rolled_back(h, 0, 1, 2, environment="canary").asks(3, "roll-back")
    ),
    "a new incident number changes nothing": ("failed", lambda h: two_failed(h).opened(2).asks(3, "roll-back")),
    "locked-out rollbacks hinder no restart": ("passed", lambda h: two_failed(h).asks(2, "restart")),
    "locked-out rollbacks hinder no failover": ("passed", lambda h: two_failed(h).asks(2, "fail-over")),
    "locked-out rollbacks hinder no undo of one": (
        "passed", lambda h: two_failed(h).asks(2, "undo", undoes=1, **OTHER)
    ),
    "failed restarts close no rollbacks off": (
        "passed",
        lambda h: (h.tried(0, "restart").tried(1, "restart", **OTHER).tried(2, "restart", service="mail")
            .asks(3, "roll-back")),
    ),
    "an undo is no rollback": (
        "passed",
        lambda h: h.tried(0, "roll-back").tried(1, "undo", undoes=1).tried(20, "undo", undoes=1).asks(21, "roll-back"),
    ),
    "several hosts of one task are one rollback": (
        "passed", lambda h: h.tried(0, "roll-back", **TWO_HOSTS).asks(1, "roll-back")
    ),
    "the next host of a rollback under way is no further one": (
        "passed",
        lambda h: (one_failed(h).tried(1, "roll-back", "half", run="r", **TWO_HOSTS)
            .asks(2, "roll-back", host="b", run="r", **TWO_HOSTS)),
    ),
    "a person allows one trial": ("passed", lambda h: two_failed(h).reset(2, ROLLBACKS).asks(3, "roll-back")),
    "a trial after three in thirty minutes": (
        "passed", lambda h: rolled_back(h, 0, 1, 2).reset(3, ROLLBACKS).asks(4, "roll-back")
    ),
    "a trial that fails closes rollbacks off again": (
        "failed", lambda h: two_failed(h).reset(2, ROLLBACKS).tried(3, "roll-back").asks(60, "roll-back")
    ),
    "a trial that helps opens rollbacks": (
        "passed",
        lambda h: two_failed(h).reset(40, ROLLBACKS).tried(41, "roll-back", "improved").asks(42, "roll-back"),
    ),
    "a trial that helps is one of three in thirty minutes": (
        "failed",
        lambda h: two_failed(h).reset(2, ROLLBACKS).tried(3, "roll-back", "improved").asks(4, "roll-back"),
    ),
    "a trial that never acted is still to be had": (
        "passed",
        lambda h: two_failed(h).reset(2, ROLLBACKS).tried(3, "roll-back", "not_done").asks(4, "roll-back"),
    ),
    "a trial of one service is the trial of all": (
        "failed",
        lambda h: two_failed(h).reset(2, ROLLBACKS).tried(3, "roll-back", service="mail").asks(60, "roll-back"),
    ),
    "a reset of another environment opens nothing": (
        "failed", lambda h: two_failed(h).reset(2, "rollbacks:canary").asks(3, "roll-back")
    ),
    "a clock set back reopens nothing": ("failed", lambda h: rolled_back(h, 100, 101, 102).asks(0, "roll-back")),
    "a clock set back does not take a trial away": (
        "passed",
        lambda h: rolled_back(h, 100, 101, outcome="not_improved").reset(2, ROLLBACKS).asks(3, "roll-back"),
    ),
}  # fmt: skip

PROGRESSION: dict[str, Case] = {
    "the first rung needs nothing": ("passed", lambda h: h.asks(0, **FIRST_RUNG)),
    "the second rung needs the first": ("failed", lambda h: h.asks(0, **SECOND_RUNG)),
    "the first rung did not help": ("passed", lambda h: h.tried(0).asks(1, **SECOND_RUNG)),
    "the first rung helped, and the symptom is back": (
        "passed", lambda h: h.tried(0, outcome="improved").asks(1, **SECOND_RUNG)
    ),
    "the first rung is of unknown outcome": ("failed", lambda h: h.tried(0, outcome="unknown").asks(1, **SECOND_RUNG)),
    "the first rung was settled as done": (
        "passed", lambda h: h.tried(0, outcome="unknown").settled(1, "done").asks(2, **SECOND_RUNG)
    ),
    "the first rung never acted": ("failed", lambda h: h.tried(0, outcome="not_done").asks(1, **SECOND_RUNG)),
    "the first rung is under way": ("failed", lambda h: h.tried(0, outcome="running").asks(1, **SECOND_RUNG)),
    "the first rung was refused": ("failed", lambda h: h.refused(0).asks(1, **SECOND_RUNG)),
    "the first rung does not apply": ("passed", lambda h: h.declined(0, "http_cache_purge").asks(1, **SECOND_RUNG)),
    "the first rung did not apply to an earlier incident": (
        "failed", lambda h: h.declined(0, "http_cache_purge").opened(1).asks(2, **SECOND_RUNG)
    ),
    "the first rung was tried under an earlier incident number": (
        "passed", lambda h: h.tried(0).opened(1).asks(2, **SECOND_RUNG)
    ),
    "the first rung was tried by another runbook": ("passed", lambda h: h.tried(0, "purge-too").asks(1, **SECOND_RUNG)),
    "the first rung was tried for another service": ("failed", lambda h: h.tried(0, **OTHER).asks(1, **SECOND_RUNG)),
    "the first rung was tried in another environment": (
        "failed", lambda h: h.tried(0, environment="canary").asks(1, **SECOND_RUNG)
    ),
    "the first rung was tried for another symptom": (
        "failed", lambda h: h.tried(0, "purge-slow").asks(1, **SECOND_RUNG)
    ),
    "the first rung was tried before a recovery": ("failed", lambda h: h.tried(0).healthy(1, 2).asks(3, **SECOND_RUNG)),
    "the first rung was tried before a healthy moment": (
        "passed", lambda h: h.tried(0).healthy(1).asks(3, **SECOND_RUNG)
    ),
    "time does not make a rung untried": ("passed", lambda h: h.tried(0).asks(10 * DAY, **SECOND_RUNG)),
    "the fourth rung needs the third": ("failed", lambda h: h.tried(0).tried(1, "restart").asks(2, **FOURTH_RUNG)),
    "the fourth rung after all others": (
        "passed", lambda h: h.tried(0).tried(1, "restart").tried(2, "roll-back").asks(3, **FOURTH_RUNG)
    ),
    "a higher rung stands for no lower one": ("failed", lambda h: h.tried(0, "restart").asks(1, **THIRD_RUNG)),
    "an undone rung was tried": ("passed", lambda h: h.tried(0).tried(1, "undo", undoes=1).asks(2, **SECOND_RUNG)),
    "containment stands beside the ladder": ("passed", lambda h: h.asks(0, **CONTAINMENT)),
    "an undo stands beside the ladder": ("passed", lambda h: h.tried(0, "fail-over").asks(1, "undo", undoes=1)),
    "a clock set back does not make a rung untried": (
        "passed", lambda h: h.healthy(99, 100).tried(101).asks(0, **SECOND_RUNG)
    ),
}  # fmt: skip

PRODUCTION = {"environment": "production"}
TESTED: dict[str, Case] = {
    "staging is where one tests": ("passed", lambda h: h.asks(0)),
    "never tried": ("failed", lambda h: h.asks(0, **PRODUCTION)),
    "helped in staging": ("passed", lambda h: h.tried(0, outcome="improved").asks(1, **PRODUCTION)),
    "helped in canary": (
        "passed", lambda h: h.tried(0, outcome="improved", environment="canary").asks(1, **PRODUCTION)
    ),
    "helped another service": ("passed", lambda h: h.tried(0, outcome="improved", **OTHER).asks(1, **PRODUCTION)),
    "helped under another incident number": (
        "passed", lambda h: h.tried(0, outcome="improved").opened(1, **PRODUCTION).asks(2, **PRODUCTION)
    ),
    "did not help in staging": ("failed", lambda h: h.tried(0).asks(1, **PRODUCTION)),
    "of unknown outcome in staging": ("failed", lambda h: h.tried(0, outcome="unknown").asks(1, **PRODUCTION)),
    "settled as done is not measured as improved": (
        "failed", lambda h: h.tried(0, outcome="unknown").settled(1, "done").asks(2, **PRODUCTION)
    ),
    "never acted in staging": ("failed", lambda h: h.tried(0, outcome="not_done").asks(1, **PRODUCTION)),
    "under way in staging": ("failed", lambda h: h.tried(0, outcome="running").asks(1, **PRODUCTION)),
    "done on one of two hosts in staging": (
        "failed", lambda h: h.tried(0, outcome="half", **TWO_HOSTS).asks(1, **PRODUCTION)
    ),
    "helped once and failed later": ("passed", lambda h: h.tried(0, outcome="improved").tried(1).asks(2, **PRODUCTION)),
    "another runbook with the same steps helped": (
        "failed", lambda h: h.tried(0, "purge-too", "improved").asks(1, **PRODUCTION)
    ),
    "the same steps helped against another class of failure": (
        "failed", lambda h: h.tried(0, "purge-slow", "improved").asks(1, **PRODUCTION)
    ),
    "another step of the same runbook helped": (
        "passed", lambda h: h.tried(0, outcome="improved", **FIRST_RUNG).asks(1, **SECOND_RUNG, **PRODUCTION)
    ),
    "its containment was done, which proves no remedy": (
        "failed", lambda h: h.tried(0, outcome="improved", **CONTAINMENT).asks(1, **FIRST_RUNG, **PRODUCTION)
    ),
    "its undo was done, which proves no remedy": (
        "failed", lambda h: h.tried(0).tried(1, "undo", "improved", undoes=1).asks(2, **PRODUCTION)
    ),
    "edited since": ("failed", lambda h: h.tried(0, outcome="improved").edited().asks(1, **PRODUCTION)),
    "edited since, and helped again": (
        "passed", lambda h: h.tried(0, outcome="improved").edited().tried(1, outcome="improved").asks(2, **PRODUCTION)
    ),
    "edited since, and the edit taken back": (
        "passed", lambda h: h.tried(0, outcome="improved").edited().edited(text="").asks(1, **PRODUCTION)
    ),
    "another runbook was edited since": (
        "passed", lambda h: h.tried(0, outcome="improved").edited("restart").asks(1, **PRODUCTION)
    ),
    "helped just within the greatest age": (
        "passed", lambda h: h.tried(0, outcome="improved").asks(180 * DAY - SECOND, **PRODUCTION)
    ),
    "helped a second before that": (
        "failed", lambda h: h.tried(0, outcome="improved").asks(180 * DAY + SECOND, **PRODUCTION)
    ),
    "helped long ago and again lately": (
        "passed",
        lambda h: h.tried(0, outcome="improved").tried(170 * DAY, outcome="improved").asks(200 * DAY, **PRODUCTION),
    ),
    "helped long ago and failed lately": (
        "failed", lambda h: h.tried(0, outcome="improved").tried(170 * DAY).asks(200 * DAY, **PRODUCTION)
    ),
    "the policy's own age counts": (
        "failed",
        lambda h: h.policy(tested={"max_age_days": 7}).tried(0, outcome="improved").asks(8 * DAY, **PRODUCTION),
    ),
    "a clock set back makes no old proof young": (
        "failed", lambda h: h.tried(0, outcome="improved").refused(200 * DAY).asks(1, **PRODUCTION)
    ),
    "a person attested it": ("passed", lambda h: h.attested(0).asks(1, **PRODUCTION)),
    "a person attested another runbook": ("failed", lambda h: h.attested(0, "restart").asks(1, **PRODUCTION)),
    "attested, and edited since": ("failed", lambda h: h.attested(0).edited().asks(1, **PRODUCTION)),
    "attested just within a year": ("passed", lambda h: h.attested(0).asks(365 * DAY - SECOND, **PRODUCTION)),
    "attested a year ago": ("failed", lambda h: h.attested(0).asks(365 * DAY + SECOND, **PRODUCTION)),
    "the undo of what was never tested": (
        "passed", lambda h: h.tried(0, "roll-back").asks(1, "undo", undoes=1, **PRODUCTION)
    ),
}  # fmt: skip

TARGET: dict[str, Case] = {
    "a free target": ("passed", lambda h: h.asks(0, target="t")),
    "held by an attempt under way": ("failed", lambda h: h.tried(0, outcome="running", target="t").asks(1, target="t")),
    "held for longer than its lease": (
        "failed", lambda h: h.tried(0, outcome="running", target="t").asks(DAY, target="t")
    ),
    "held, and the clock set back": (
        "failed", lambda h: h.tried(100, outcome="running", target="t").asks(0, target="t")
    ),
    "held for another service's incident": (
        "failed", lambda h: h.tried(0, outcome="running", target="t", **OTHER).asks(1, target="t")
    ),
    "held, and another target is asked for": (
        "passed", lambda h: h.tried(0, outcome="running", target="t").asks(1, target="u")
    ),
    "held while the evidence of the first host is awaited": (
        "failed",
        lambda h: h.tried(0, outcome="half", target="t", **TWO_HOSTS).asks(1, host="a", target="t", **TWO_HOSTS),
    ),
    "the other host of the same task": (
        "passed",
        lambda h: (h.tried(0, outcome="half", target="t", run="r", **TWO_HOSTS)
            .asks(1, host="b", target="t", run="r", **TWO_HOSTS)),
    ),
    "free after an attempt that helped": (
        "passed", lambda h: h.tried(0, outcome="improved", target="t").asks(1, target="t")
    ),
    "free after an attempt that did not help": ("passed", lambda h: h.tried(0, target="t").asks(1, target="t")),
    "free after an attempt that never acted": (
        "passed", lambda h: h.tried(0, outcome="not_done", target="t").asks(1, target="t")
    ),
    "frozen by an unknown outcome": ("failed", lambda h: h.tried(0, outcome="unknown", target="t").asks(1, target="t")),
    "frozen for ten days": ("failed", lambda h: h.tried(0, outcome="unknown", target="t").asks(10 * DAY, target="t")),
    "frozen under a new incident number": (
        "failed", lambda h: h.tried(0, outcome="unknown", target="t").opened(1).asks(2, target="t")
    ),
    "frozen for every action": (
        "failed", lambda h: h.tried(0, outcome="unknown", target="t").asks(1, "restart", target="t")
    ),
    "frozen, though the symptom is healthy": (
        "failed", lambda h: h.tried(0, outcome="unknown", target="t").healthy(1, 2).asks(3, target="t")
    ),
    "frozen, and the clock set back": (
        "failed", lambda h: h.tried(100, outcome="unknown", target="t").asks(0, target="t")
    ),
    "frozen, and another target is asked for": (
        "passed", lambda h: h.tried(0, outcome="unknown", target="t").asks(1, target="u")
    ),
    "settled as done": (
        "passed", lambda h: h.tried(0, outcome="unknown", target="t").settled(1, "done").asks(2, target="t")
    ),
    "settled as not done": (
        "passed", lambda h: h.tried(0, outcome="unknown", target="t").settled(1, "not_done").asks(2, target="t")
    ),
    "frozen for all but its own undo": (
        "passed", lambda h: h.tried(0, "roll-back", "unknown", target="t").asks(1, "undo", undoes=1, target="t")
    ),
    "frozen for the undo of another attempt": (
        "failed",
        lambda h: (h.tried(0, "roll-back").tried(1, "roll-back", "unknown", target="t")
            .asks(2, "undo", undoes=1, target="t")),
    ),
    "frozen by its own undo, whose outcome is unknown too": (
        "failed",
        lambda h: (h.tried(0, "roll-back", "unknown", target="t").tried(1, "undo", "unknown", undoes=1, target="t")
            .asks(2, "undo", undoes=1, target="t")),
    ),
    "somebody else is at work there": ("failed", lambda h: h.asks(0, busy="a rollout is in progress")),
}  # fmt: skip

HELD = {**PRODUCTION, "arguments": {"minutes": 30}}


def held(h: History, minute: float = 0) -> History:
    """GitOps is held off for half an hour, as a person approved."""
    return h.attested(minute, "hold").tried(minute, "hold", "improved", approved_by=["dana"], **HELD)


def failed_over(h: History, outcome: Outcome = "not_improved", **ask: Any) -> History:
    """A person approved a failover in production, and it came to this."""
    asked = {**PRODUCTION, **ask}
    return h.attested(0, "fail-over").tried(0, "fail-over", outcome, approved_by=["iris"], **asked)


APPROVAL: dict[str, Case] = {
    "an undo of what made nothing better was approved with it": (
        "passed", lambda h: failed_over(h).asks(1, "undo", undoes=1, **PRODUCTION)
    ),
    "an undo of what helped is another": (
        "failed", lambda h: failed_over(h, "improved").asks(1, "undo", undoes=1, **PRODUCTION)
    ),
    "an undo of what was cut off in its act is another": (
        "failed", lambda h: failed_over(h, "unknown").asks(1, "undo", undoes=1, **PRODUCTION)
    ),
    "an undo that the plan did not foresee is another": (
        "failed", lambda h: failed_over(h, if_worse="hand_over").asks(1, "undo", undoes=1, **PRODUCTION)
    ),
    "a hold in production is approved by a person": ("failed", lambda h: h.attested(0, "hold").asks(0, "hold", **HELD)),
    "its end before its time is another": ("failed", lambda h: held(h).asks(29, "undo", undoes=1, **PRODUCTION)),
    "its end in time was approved with it": ("passed", lambda h: held(h).asks(30.1, "undo", undoes=1, **PRODUCTION)),
    "what was contained for no time never ends by itself": (
        "failed",
        lambda h: h.attested(0, "drain").tried(0, "drain", "improved", approved_by=["dana"], **PRODUCTION)
            .asks(10 * DAY, "undo", undoes=1, **PRODUCTION),
    ),
    "the end of one hold is not that of another": (
        "failed",
        lambda h: held(held(h), 20).asks(31, "undo", undoes=2, **PRODUCTION),
    ),
}  # fmt: skip

CONTAINMENT_FIRST: dict[str, Case] = {
    "a drain keeps harm from users": ("passed", lambda h: h.tried(0, "drain", "improved").asks(1, "purge-contained")),
    "a hold only makes room for a remedy": (
        "failed", lambda h: h.tried(0, "hold", "improved", arguments={"minutes": 30}).asks(1, "purge-contained")
    ),
}  # fmt: skip

ONCE: dict[str, Case] = {
    "the same host of the same task once more": (
        "failed",
        lambda h: (h.tried(0, outcome="half", target="t", run="r", **TWO_HOSTS)
            .asks(1, host="a", target="t", run="r", **TWO_HOSTS)),
    ),
}  # fmt: skip

CASES = {
    "loop": LOOP, "budget": BUDGET, "rollback": ROLLBACK, "progression": PROGRESSION, "tested": TESTED,
    "target": TARGET, "approval": APPROVAL, "containment": CONTAINMENT_FIRST, "once": ONCE,
}  # fmt: skip


@pytest.mark.parametrize(("gate", "case"), [(gate, case) for gate, cases in CASES.items() for case in cases])
def test_history(history: History, gate: str, case: str) -> None:
    status, told = CASES[gate][case]
    found = told(history)[gate]
    assert found.status == status, found.reason


def test_one_good_sample_is_no_healthy_period_where_the_machine_is_behind_the_ledger(
    tmp_path: Path, serve: Callable[..., str]
) -> None:
    """Its clock was set back, or the ledger's is a database's own."""
    h = History(tmp_path / "told", epoch=time.time() + 3600, probe=serve([b'{"ok": true}']))
    locked_out(h).minute = 2
    assert Health(h.home, h.ledger, h.book("purge"), "checkout", "staging").now().state == "healthy"
    assert h.asks(3)["loop"].status == "failed"
