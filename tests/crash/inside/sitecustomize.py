"""Python runs this at the start of every process of a run that a test prepares: at one point of the way something befalls a victim."""

from __future__ import annotations

import functools
import importlib
import json
import os
import resource
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import psutil

VARIABLE = "RESPONDER_CRASH"
"""Point, victim, deed and mark as JSON. A name of this beginning reaches Ansible through the driver."""


class Point(NamedTuple):
    """Just before or just after a function that one program of the run calls."""

    program: str
    module: str
    function: str
    after: bool = True


_PLAY, _MODULE, _STEP = "ansible-playbook", "AnsiballZ_release_rollback.py", "sre_responder.engine.step"
_SETTLE = f"{_STEP}.settle"
POINTS = {
    "before the plan": Point(_PLAY, _STEP, "planned", after=False),
    "after the plan": Point(_PLAY, _STEP, "planned"),
    "after the undo capsule": Point(_PLAY, "sre_responder.undo", "write"),
    "in the decision, before its commit": Point(_PLAY, "sre_responder.ledger.attempts", "intend"),
    "after the decision": Point(_PLAY, _STEP, "decided"),
    "after the last look": Point(_PLAY, _STEP, "confirmed"),
    "in the effect, before the change": Point(_MODULE, "os", "replace", after=False),
    "in the effect, after the change": Point(_MODULE, "os", "replace"),
    "after the effect": Point(_PLAY, _STEP, "acted"),
    "after its record": Point(_PLAY, _SETTLE, "recorded"),
    "during the evidence": Point(_PLAY, _SETTLE, "stops"),
    "before the outcome's commit": Point(_PLAY, "sre_responder.ledger.attempts", "end_attempt"),
    "after the outcome": Point(_PLAY, _SETTLE, "concluded"),
}
"""The way of one mutation, in its order."""
HALFWAY = {
    "between stop and start": Point(_PLAY, "sre_responder.effects.supervisor", "_wait"),
    "between one server and the next": Point(_PLAY, "sre_responder.effects.haproxy", "_await"),
}
"""Where the effects of `supervisor_restart` and `haproxy_failover` stand half done."""


def lineage() -> dict[str, psutil.Process]:
    """Driver, play and worker above or at this process, and the process itself."""
    line = [psutil.Process(), *psutil.Process().parents()]
    driver = next(n for n, process in enumerate(line) if Path([*process.cmdline(), "", ""][1]).name == "responder")
    return {"driver": line[driver], "play": line[driver - 1], "worker": line[driver - 2], "itself": line[0]}


def kill(victims: list[psutil.Process]) -> None:
    """All at once: none lives to see the others die."""
    stop([process for process in victims if process.pid != os.getpid()])
    for process in victims:
        with suppress(psutil.NoSuchProcess):
            process.kill()


def stop(victims: list[psutil.Process]) -> None:
    for process in victims:
        with suppress(psutil.NoSuchProcess):
            process.suspend()


def orphan(victims: list[psutil.Process]) -> None:
    """All above are killed; once they are gone this process sleeps."""
    kill(victims)
    psutil.wait_procs(victims, timeout=5)
    psutil.Process().suspend()


def fill(victims: list[psutil.Process]) -> None:
    """From now on no file that they write may grow, as on a full disk."""
    for process in victims:
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (0, 0))


DEEDS = {deed.__name__: deed for deed in (kill, stop, orphan, fill)}


def strike(victim: str, deed: str, mark: str) -> None:
    """Do the deed, once in a run: whoever makes the mark does it."""
    try:
        os.close(os.open(mark, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return
    known = lineage()
    below = known["driver"].children(recursive=True)
    groups = {"everything": [known["driver"], *below], "all but the module": [*known.values()][:3]}
    chosen = groups.get(victim) or [known[victim]]
    DEEDS[deed](sorted(chosen, key=lambda process: process.pid == os.getpid()))  # itself last


def hand_on() -> None:
    """Let the driver hand this folder on to its run, as it would hand on no other code of its caller's."""
    owner = importlib.import_module("sre_responder.drive.environment")
    real = owner.inherited
    owner.inherited = lambda *given: {**real(*given), "PYTHONPATH": os.environ["PYTHONPATH"]}


def arrange(point: str, victim: str, deed: str, mark: str) -> None:
    """Wrap the function of the point, where this is the program that calls it."""
    program, module, function, after = (POINTS | HALFWAY)[point]
    if Path([*sys.orig_argv, ""][1]).name != program:
        return
    owner = importlib.import_module(module)
    real: Callable[..., Any] = getattr(owner, function)

    @functools.wraps(real)
    def wrapped(*arguments: Any, **named: Any) -> Any:
        if not after:
            strike(victim, deed, mark)
        given = real(*arguments, **named)
        if after:
            strike(victim, deed, mark)
        return given

    setattr(owner, function, wrapped)


if VARIABLE in os.environ:
    if Path([*sys.orig_argv, ""][1]).name == "responder":
        hand_on()
    arrange(**json.loads(os.environ[VARIABLE]))
