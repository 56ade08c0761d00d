# Copyright: the Responder maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ansible's task, play and context in the library's words; and what in them would weaken a guard."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NamedTuple

import psutil
from ansible import context
from ansible.parsing.vault import EncryptedString, VaultHelper
from ansible.playbook.block import Block
from ansible.playbook.handler import Handler

from sre_responder.drive.environment import risky
from sre_responder.errors import Refused
from sre_responder.home.runbook import Runbook, plays, task_digest
from sre_responder.ledger import Ledger, runs
from sre_responder.model.address import machine
from sre_responder.model.names import shown
from sre_responder.system import process
from sre_responder.system.prove import MARK, PLAY_MARK

ISOLATED = {"PYTHONNOUSERSITE": "1"} | dict.fromkeys(
    ("PYTHONPATH", "PYTHONHOME", "PYTHONPYCACHEPREFIX", "PYTHONPLATLIBDIR", "PYTHONWARNINGS"), ""
)
"""What runs on a host comes from Python's own places, not from the account's folder or variables there. Empty is as if not set."""


def plain(value: Any) -> Any:
    """Ansible's tagged strings, numbers and containers as Python's own; a vaulted text as it is written, not opened."""
    if isinstance(value, EncryptedString):
        return str(VaultHelper.get_ciphertext(value, with_tags=False))
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set)):
        return [plain(item) for item in value]
    for kind in (bool, int, float, str):
        if isinstance(value, kind):
            return value if kind is bool else kind(value)
    return None if value is None else str(value)


def command_line(name: str) -> Any:
    """One option of the ansible-playbook command that runs now; None where it has no such option."""
    return context.CLIARGS.get(name)


def checking(task: Any) -> bool:
    """A dry run when any of task, play or command line says so: `check_mode: false` under --check still changes nothing."""
    return bool(task.check_mode or getattr(task.play, "check_mode", None) or command_line("check"))


def ancestors(task: Any) -> list[Any]:
    """The blocks, includes and roles that a task stands in, nearest first."""
    found, node = [], getattr(task, "_parent", None)
    while node is not None:
        found.append(node)
        node = getattr(node, "_parent", None)
    return found


def weaknesses(task: Any) -> list[str]:  # noqa: C901 - one line for each way to weaken a guard
    """Every way in which this task is declared or called so that a refusal could be ignored or the action repeated."""
    found = []
    if (
        task.ignore_errors
        or any(getattr(node, "_ignore_errors", None) is True for node in ancestors(task))
        or task.play.ignore_errors
    ):
        found.append("ignore_errors: a refusal would be ignored")
    if task.ignore_unreachable or task.play.ignore_unreachable:
        found.append("ignore_unreachable: a host that failed would be ignored")
    if task.failed_when:
        found.append("failed_when: a refusal could be called success")
    if task.changed_when:
        found.append("changed_when: the result would not be what happened")
    if task.until or task.retries:
        found.append("until or retries: the action would be repeated")
    if task.loop is not None or task.loop_with:
        found.append("loop: a later item would go on after a refusal; write one task a target")
    if task.async_val:
        found.append("async: the action would outlive its guard")
    if task.delegate_to:
        found.append("delegate_to: the target would not be the host of the play")
    if task.run_once:
        found.append("run_once: one host would answer for all")
    if task.check_mode is False and command_line("check"):
        found.append("check_mode: false: a dry run would change things")
    for name in risky(task.environment):
        found.append(
            f"environment {shown(name, 64)}: it could choose what code runs; remove it, or set it on the other tasks that need it"
        )
    if isinstance(task, Handler):
        found.append("handlers: force_handlers runs them after a refusal")
    for node in ancestors(task):
        if isinstance(node, Block) and (node.rescue or node.always):
            found.append("rescue or always around a guarded task: a refusal would be caught")
    if task.play.strategy not in (None, "linear", "ansible.builtin.linear"):
        found.append(f"strategy {task.play.strategy}: hosts would not wait for each other")
    if task.play.max_fail_percentage is not None:
        found.append("max_fail_percentage: hosts would go on after a refusal")
    tags = list(command_line("tags") or ())
    if tags not in ([], ["all"]):
        found.append(f"--tags {','.join(map(str, tags))}: steps before this one would be left out")
    if command_line("skip_tags"):
        found.append("--skip-tags: steps before this one would be left out")
    if command_line("start_at_task"):
        found.append("--start-at-task: steps before this one would be left out")
    if command_line("step"):
        found.append("--step: steps before this one could be left out")
    subset = command_line("subset")
    if subset is not None and not str(subset).strip():
        found.append("--limit '': an empty set of hosts means every host")
    return list(dict.fromkeys(found))


def declared(task: Any, runbook: Runbook | None) -> bool:
    """Whether the play that was loaded is the one that stands in the runbook's file now, to the letter."""
    loaded = task_digest(plain(task.play.get_ds()))
    return runbook is not None and loaded in {task_digest(play) for play, dummy in plays(runbook.playbook)}


def location(task: Any) -> tuple[Path, int]:
    """File and line of a task as it was loaded."""
    path, colon, line = task.get_path().rpartition(":")
    return Path(path), int(line) if colon else 0


def real_host(facts: Mapping[str, Any]) -> str:
    """The inventory's name of the host that this worker serves; a variable may say another, which is not believed."""
    host = getattr(multiprocessing.current_process(), "_host", None)
    return str(host.name if host is not None else facts.get("inventory_hostname", "localhost"))


class Reached(NamedTuple):
    """How a host is reached: the kind of its connection, its address, its port."""

    connection: str
    address: str
    port: str

    @property
    def machine(self) -> frozenset[str]:
        """All by which its machine is known; another port than sshd's own leads to a container, or through a forward."""
        if self.connection.rpartition(".")[2] == "local":
            return machine("localhost")
        known = machine(self.address)
        return known if self.port in ("", "22") else frozenset(f"{one} port {self.port}" for one in known)


def reached(connection: Any, play: Any) -> Reached:
    """How this task really reaches its host: the settings of inventory, play and task as Ansible combined them."""

    def option(name: str, otherwise: Any) -> str:
        try:
            return str(connection.get_option(name) or otherwise or "")
        except (KeyError, AttributeError):  # it has no such option
            return str(otherwise or "")

    host, port = option("host", play.remote_addr), option("port", play.port)
    return Reached(str(connection.transport), host, port)


def one_host(name: str, facts: Mapping[str, Any], mine: Reached) -> bool:
    """Whether a host, a group or a pattern of the inventory may mean the machine that this worker serves, reached as `mine`.

    A host that the inventory does not know is known by its name alone. One of which it says nothing is reached as this one.
    """
    hosts, groups = facts.get("hostvars") or {}, facts.get("groups") or {}
    named = groups.get(name) or [one for one in groups.get("all", ()) if fnmatchcase(str(one), name)] or [name]
    return any(
        host == real_host(facts) or not _reached(str(host), hosts, mine).machine.isdisjoint(mine.machine)
        for host in named
    )


def _reached(name: str, hosts: Mapping[str, Any], mine: Reached) -> Reached:
    way = hosts[name] if name in hosts else {}  # noqa: SIM401 - what `get` gives of an unknown host cannot be read
    address = way.get("ansible_ssh_host") or way.get("ansible_host")  # as Ansible's connections prefer them
    silent = name in hosts and not address
    connection = str(way.get("ansible_connection") or (mine.connection if silent else "ssh"))
    return Reached(connection, str(address or name), str(way.get("ansible_ssh_port") or way.get("ansible_port") or ""))


def driven() -> bool:
    """Whether `responder run` drives this play, and will deliver what it has to tell."""
    return MARK in os.environ


def run_identity() -> tuple[str, int]:
    """The run that this task belongs to, and its ansible-playbook, as that noted itself before it forked this worker.

    The parent that the kernel names now may be another: whoever adopts this worker once its ansible-playbook was killed.
    """
    parent = multiprocessing.parent_process()
    if parent is None or parent.pid is None:
        raise Refused("this task does not run in a worker of ansible-playbook; nothing was changed.")
    try:
        since = process.started(parent.pid)
    except OSError:
        since = 0.0
    if os.getppid() != parent.pid:
        raise Refused(
            f"the ansible-playbook of this task (pid {parent.pid}) has ended, so nothing would stop this task; nothing was changed.",
            cure="Run the runbook again.",
        )
    if MARK in os.environ:
        return os.environ[MARK], parent.pid
    name = hashlib.sha256(f"{process.space()} {parent.pid} {since}".encode()).hexdigest()[:12]
    os.environ[PLAY_MARK] = run = f"ansible-{parent.pid}-{name}"  # the modules of this task bear it
    return run, parent.pid


def require_driver(ledger: Ledger, run: str) -> None:
    """Refuse a mark that this play has not from its own driver: `responder stop` would not find it by the record."""
    with ledger.transaction(reading=True) as connection:
        row = runs.get(connection, run)
    above = [one.pid for one in psutil.Process().parents()]
    if row is None or not row.driven:
        why = "is no run of `responder run` in this ledger"
    elif row.ended_at is not None:
        why = "has ended"
    elif row.pid not in above or not runs.alive(row.machine, row.pid, row.pid_started, row.space):
        why = "is driven by a process that did not start this play, or has ended"
    else:
        return
    raise Refused(
        f"{MARK} in the environment names {shown(run, 64)}, which {why}; nothing was changed.",
        cure=f"Unset {MARK}, or use `responder run`.",
    )
