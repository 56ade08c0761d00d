"""One run of ansible-runner, ended at once when the watch says so, with proof that nothing of it is left."""

from __future__ import annotations

import ctypes
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import ansible_runner
import psutil
from ansible_runner.runner import pexpect

from sre_responder.drive.group import group, join
from sre_responder.drive.prepare import Prepared, only
from sre_responder.errors import InternalError
from sre_responder.system.prove import ProcessInfo, Proof, descendants, end, marked

GRACE_SECONDS = 1.0
POLL_SECONDS = 0.15
_PR_SET_CHILD_SUBREAPER = 36


@dataclass(frozen=True)
class Ended:
    """How a run ended: `reason` is finished, deadline, unwritable, or the word of the watch; an `rc` of None is unknown, never
    success. `unwritable` says why the folder of the run took no more."""

    reason: str
    rc: int | None
    ended: tuple[ProcessInfo, ...]
    left: tuple[ProcessInfo, ...]
    seconds: float
    unwritable: str = ""


class _Child(pexpect.spawn):  # type: ignore[misc]
    """Ansible's process as runner starts it, in the run's control group.

    Closing it sleeps 0.1 s, by default, for an exit that runner has seen before.
    """

    group: ClassVar[Path | None] = None
    """That of the one run which this process drives."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        join(self.group, self.pid)
        self.ptyproc.delayafterclose = 0


pexpect.spawn = _Child


def run(
    prepared: Prepared,
    *,
    watch: Callable[[], str | None],
    on_event: Callable[[dict[str, Any]], None],
    deadline_s: float,
) -> Ended:
    """Run the prepared runbook. `watch` is asked several times a second; a word from it ends everything.

    Ansible's workers leave their process group, so ending means finding every process that carries the run's mark.
    """
    with group(prepared.id) as _Child.group:
        return _run(prepared, watch, on_event, deadline_s)


def _run(  # noqa: C901 - the one place that sees every way in which a run ends
    prepared: Prepared,
    watch: Callable[[], str | None],
    on_event: Callable[[dict[str, Any]], None],
    deadline_s: float,
) -> Ended:
    _adopt_orphans()
    before = {*descendants(os.getpid())}

    def below() -> list[psutil.Process]:
        return [process for process in descendants(os.getpid()) if process not in before]

    began = time.monotonic()
    word: list[str] = []
    proofs: list[Proof] = []
    failure: list[BaseException] = []

    def cancelled() -> bool:
        try:
            said = watch() or ("deadline" if time.monotonic() - began > deadline_s else None)
        except Exception as error:  # a watch that fails protects nothing any more: end the run, then tell
            failure.append(error)
            said = "watch_failed"
        if said is None:
            return False
        word.append(said)
        proofs.append(end(prepared.id, GRACE_SECONDS, below))
        return True

    def keep(event: dict[str, Any]) -> bool:
        on_event(event)
        return True  # anything else, and runner drops the event

    def forget(status: dict[str, Any], runner_config: Any) -> None:
        """Runner has written all variables of the run, the secrets among them, into a file that nothing reads."""
        if status["status"] == "running":
            Path(runner_config.artifact_dir, "command").unlink(missing_ok=True)

    rc, unwritable = None, ""
    try:
        with only(prepared.environment, prepared.folder):
            rc = ansible_runner.run(
                private_data_dir=str(prepared.folder),
                playbook="runbook.yml",
                ident="run",
                quiet=True,
                cmdline=prepared.arguments or None,
                settings={"pexpect_timeout": POLL_SECONDS, "suppress_ansible_output": True},
                event_handler=keep,
                status_handler=forget,
                cancel_callback=cancelled,
            ).rc
    except OSError as error:  # runner writes each event into the folder, and gives up on a full disk
        unwritable = error.strerror or str(error)
    if rc != 0 and not word:
        cancelled()  # a stop from elsewhere ends Ansible first: then that, and not Ansible's code, is how it ended
    _reap()
    if word or marked(prepared.id) or below():
        # What a task left behind must not outlive its run; after a word everybody was asked already.
        proofs.append(end(prepared.id, 0.0 if word else GRACE_SECONDS, below))
    _reap()
    if failure:
        raise failure[0]
    left = proofs[-1].left if proofs else ()
    gone = tuple({info: None for proof in proofs for info in proof.ended})
    reason = word[0] if word else "unwritable" if unwritable else "finished"
    return Ended(reason, rc, gone, left, time.monotonic() - began, unwritable)


def _adopt_orphans() -> None:
    """Become the parent of every orphan below, so that nothing escapes by outliving its own parent."""
    if not sys.platform.startswith("linux"):
        raise InternalError("that no process is left can be proven on Linux only.", cure="Run the driver on Linux.")
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _reap() -> None:
    """Collect the orphans that were adopted and have ended."""
    for child in psutil.Process().children():
        if child.status() == psutil.STATUS_ZOMBIE:
            try:
                child.wait(timeout=0)
            except psutil.TimeoutExpired:
                continue
