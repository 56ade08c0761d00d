"""What every effect gives: a plan without side effects, the act, and whether it happened."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal

from sre_responder.effects.action import Action
from sre_responder.model import address
from sre_responder.model.plan import Wait


@dataclass(frozen=True)
class Change:
    """What an effect would change: the resolved target, its state before and after, and how to undo it.

    `busy` names who else changes the target, `wait` says why it must be waited for though nobody does.
    `overwrites` says what somebody else did since, which an undo would take away.
    `before` holds only what identifies the state; gauges and ages stand in `evidence`, for they move by themselves. `basis` says
    what carries it out, where that is not this library: another version of it is another plan.
    """

    target: str
    before: dict[str, Any]
    after: dict[str, Any]
    undo: list[dict[str, Any]] = field(default_factory=list)
    undo_note: str = ""
    evidence: dict[str, Any] = field(default_factory=dict)
    busy: str | None = None
    wait: Wait | None = None
    capacity: float | None = None
    diff: dict[str, Any] = field(default_factory=dict)
    overwrites: str = ""
    basis: dict[str, Any] = field(default_factory=dict)

    @property
    def changed(self) -> bool:
        return self.before != self.after


def here(path: str) -> str:
    """A path of this machine as a target names it: with the machine, and behind all links, so that one thing has one name."""
    return f"{socket.gethostname()}:{os.path.realpath(path)}"


def there(host: str) -> str:
    """A host as a target names it: this machine by its own name, whatever address of it is used."""
    return socket.gethostname() if address.THIS_MACHINE in address.machine(host) else host


Became = Literal["done", "not_done", "cut_short"]
"""What became of a change whose process died: made, never begun, or begun and not finished."""


def by_state(old: Change, now: Mapping[str, Any]) -> Became | None:
    """Made where the predicted state is there, not begun where the old one is; anything else does not tell."""
    return "done" if now == old.after else "not_done" if now == old.before else None


def _as_before(old: Change, now: Mapping[str, Any]) -> bool:
    return now == old.before


def same_path(a: str, b: str) -> bool:
    """Whether two paths of this machine lead to one thing, behind links, hard links and mounts."""
    if os.path.realpath(a) == os.path.realpath(b):
        return True
    with suppress(OSError):
        return os.path.samefile(a, b)
    return False


def nobody_there(error: OSError) -> bool:
    """Whether nothing at all listens at an address, so that it cannot be another name of what answers elsewhere."""
    return isinstance(error, FileNotFoundError | ConnectionRefusedError)


@dataclass(frozen=True)
class Propagation:
    """Whether a change that was made has reached all that use it, and how that is known, or what is still missing."""

    done: bool
    how: str


Propagated = Callable[[Mapping[str, Any], Change, float], Propagation]
"""From the arguments, the change, and the seconds since its act ended."""


def with_act(how: str) -> Propagated:
    """The act itself waits until the change has reached all that use it."""
    return lambda arguments, change, waited_s: Propagation(True, how)


MODULE_ENDED = Propagation(True, "its module ended on every host")
"""Of what a module changes on hosts."""
_read_back = with_act("its act read it back from the platform")


def _agrees(arguments: Mapping[str, Any]) -> str | None:
    return None


@dataclass(frozen=True)
class Effect:
    """One way of changing the world. `act` raises StateMoved where the state is no longer the plan's, EffectFailed where the platform refuses.

    `read` gives the state now, in the words of `before`; `became` tells from it what became of a change, None where it cannot.
    `restored` tells whether what it did is undone, where that is less than all that identified the state before.
    `same` tells whether the options of another way, those that locate a target or reach its platform, may lead to the target of a change:
    unknown counts as yes.
    `look` says in a few words what answers there, changing nothing: what `responder check` asks. None where the platform has a way of its own.
    `propagated` tells whether the change has reached all that use it: nothing that is measured before counts.
    `disagreement` tells why what was changed and the place where it is written down (Git) differ, or may; None where they do not.
    """

    action: Action
    plan: Callable[[Mapping[str, Any]], Change]
    act: Callable[[Mapping[str, Any], Change], dict[str, Any]]
    read: Callable[[Mapping[str, Any]], dict[str, Any]]
    same: Callable[[Change, Mapping[str, Any], Mapping[str, Any]], bool]
    became: Callable[[Change, Mapping[str, Any]], Became | None] = by_state
    restored: Callable[[Change, Mapping[str, Any]], bool] = _as_before
    disagreement: Callable[[Mapping[str, Any]], str | None] = _agrees
    look: Callable[[Mapping[str, Any]], str] | None = None
    propagated: Propagated = _read_back


@dataclass(frozen=True)
class HostProbe:
    """How the state that a host module changes is read from afar: a module of Ansible, and its answer in the words of `before`.

    `told` says that state in a few words; InputError where there is none. `needs` is the path without which the state before cannot
    be restored. `became` is that of an Effect. The module only reads, or is run in `check_mode`.
    """

    action: Action
    module: str
    arguments: Callable[[Mapping[str, Any]], dict[str, Any]]
    understand: Callable[[Mapping[str, Any], Mapping[str, Any]], dict[str, Any]]
    told: Callable[[Mapping[str, Any], Mapping[str, Any]], str]
    needs: Callable[[Mapping[str, Any], Mapping[str, Any]], str] = lambda arguments, before: ""
    became: Callable[[Change, Mapping[str, Any]], Became | None] = by_state
    check_mode: bool = False
