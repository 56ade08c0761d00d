# Copyright: the Responder maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A module of another collection behind the guard: exactly the one that the policy names, and first in its own check mode."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ansible import constants
from ansible.errors import AnsibleError
from ansible.parsing.vault import EncryptedString, VaultHelper
from ansible.plugins.loader import action_loader, module_loader
from ansible.release import __version__ as ansible_version

from ansible_collections.sre.responder.plugins.plugin_utils.task_facts import ISOLATED, one_host, plain, reached
from sre_responder.drive.words import brief
from sre_responder.effects import MODULE_ENDED, Change, Propagation, perform
from sre_responder.errors import EffectFailed, InputError, OutcomeUnknown, ResponderError, StateMoved
from sre_responder.home import Home
from sre_responder.home.allowed import Allowed, how_to_allow, unfit
from sre_responder.home.annotations import hosts_of
from sre_responder.home.policy import Policy
from sre_responder.home.runbook import performed
from sre_responder.model.actions import COLLECTION, PERFORM
from sre_responder.model.names import shown

ITS_OWN = frozenset({"ansible.builtin.copy"})
"""Modules whose action plugins are known to run nothing that they are given, and to have an honest check mode."""


def arguments(policy: Policy, task: Any) -> dict[str, Any]:
    """The arguments of the module that a task of `perform` runs, if the policy allows all of them. InputError says what it does not allow."""
    given, written = task.args, task.get_ds() or {}
    name = str(given.get("module", ""))
    allowed = policy.perform.get(name)
    if why := unfit(name):
        raise InputError(f"perform may not run this module: {why}.", cure="Use a guarded module.")
    if allowed is None:
        raise InputError(f"the policy does not allow {name}.", cure=how_to_allow(name))
    if performed(written.get(f"{COLLECTION}.{PERFORM}")) != name:
        raise InputError(
            f"{name} is not what the task says: its module is a template, or comes from elsewhere.",
            cure="Write the module's name into the task itself.",
        )
    args = given.get("args") or {}
    if not isinstance(args, Mapping):
        raise InputError(f"args of {name} is not a mapping.", cure="Write args: {name: value}.")
    if sealed := sorted(key for key, value in args.items() if key not in allowed.secrets and _vaulted(value)):
        raise InputError(
            f"{', '.join(map(shown, sealed))} of {name} comes from the vault, and would be written into the record.",
            cure=f"Name it in perform.{name}.secrets in policy.yml.",
        )
    opened = {str(key): plain(_opened(value)) for key, value in args.items() if value is not None}
    if refusal := allowed.refusal(opened):
        raise InputError(f"{name}: {refusal}.", cure=f"Correct the task, or perform.{name}.args in policy.yml.")
    return opened


def _vaulted(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(map(_vaulted, value.values()))
    if isinstance(value, list | tuple):
        return any(map(_vaulted, value))
    return isinstance(value, EncryptedString) or VaultHelper.get_ciphertext(value, with_tags=False) is not None


def _opened(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _opened(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_opened(one) for one in value]
    return str(value) if isinstance(value, EncryptedString) else value


def installed(name: str, collections: Path) -> dict[str, str]:
    """What would run under that name, by version and digest. InputError where it is another module, or has no check mode."""
    try:
        found = module_loader.find_plugin_with_context(name)
        prefix = name.rpartition(".")[2].split("_")[0]
        own = found.action_plugin or action_loader.has_plugin(name) or prefix in constants.NETWORK_GROUP_MODULES
    except AnsibleError as error:
        raise InputError(f"{name} cannot be used: {error}.", cure="Use its present name.") from error
    if not found.resolved:
        collection = ".".join(name.split(".")[:2])
        cure = f"Install it: ansible-galaxy collection install {collection} -p {collections}"
        raise InputError(f"{name} is not installed here.", cure=cure)
    if found.resolved_fqcn != name:
        raise InputError(
            f"{name} leads to {found.resolved_fqcn}, which the policy does not allow by that name.",
            cure=f"Allow {found.resolved_fqcn} in policy.yml, if that is meant, and write that name.",
        )
    if own and name not in ITS_OWN:
        raise InputError(
            f"{name} has an action plugin of its own, which runs on this machine and shows no plan.",
            cure="Use a guarded module.",
        )
    path = Path(str(found.plugin_resolved_path))
    text = path.read_bytes()
    try:
        honest = path.suffix == ".py" and perform.supports_check_mode(text.decode())
    except (SyntaxError, ValueError):
        honest = False
    if not honest:
        raise InputError(f"{name} does not support check mode, so it shows no plan.", cure="Use a guarded module.")
    manifest = next((one for one in (above / "MANIFEST.json" for above in path.parents[:4]) if one.is_file()), None)
    return {
        "ansible": ansible_version,
        "collection": _digest(manifest.read_bytes()) if manifest else "",
        "file": _digest(text),
    }


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _core_only(execute: Callable[..., Any]) -> Callable[..., Any]:
    """An action plugin's way to its modules, past what may lie beside a playbook under the same name."""

    def core(module_name: str | None = None, **more: Any) -> Any:
        whole = module_name and module_name.replace("ansible.legacy.", "ansible.builtin.", 1)
        return execute(module_name=whole, **more)

    return core


class ForeignModule:
    """A module that the policy allows, as an effect."""

    def __init__(
        self, action: Any, name: str, arguments: Mapping[str, Any], task_vars: dict[str, Any], place: Home
    ) -> None:
        self.action, self.name, self.arguments, self.task_vars = action, name, arguments, task_vars
        self.place = place
        self.allowed: Allowed = place.policy.perform[name]
        self.known = {key: value for key, value in arguments.items() if key not in self.allowed.secrets}
        self.hidden = bool(self.allowed.secrets) or bool(action._task.no_log)

    def plan(self) -> Change:
        basis = {
            "module": installed(self.name, self.place.collections),
            "allowed": self.allowed.model_dump(mode="json"),
            "become": self._become(),
            "hidden": self.hidden,
        }
        target = perform.target(self.name, self.allowed.target, self.known)
        answer = self._checked()
        undo, note, allowed = [], self.allowed.because, self.allowed.undo
        if allowed != "none" and answer["changed"]:
            seen = {} if self.hidden else answer
            undo = [perform.undo(allowed.module, allowed.args, self.known, seen, basis["become"])]
            note = f"Restores the state before. If {allowed.module} is not found: ANSIBLE_COLLECTIONS_PATH={self.place.collections}"
        return Change(
            target=f"{self._node()}:{self.name}:{target}",
            before=perform.state(answer, hidden=self.hidden),
            after=perform.predicted(answer, hidden=self.hidden),
            undo=undo,
            undo_note=note,
            diff=perform.diff(answer, hidden=self.hidden),
            basis=basis,
        )

    def same(self, change: Change, way: Mapping[str, str]) -> bool:
        """By the hosts that an environment lists: no annotation leads to what a module of another collection changes."""
        mine = reached(self.action._connection, self.action._play_context)
        return any(one_host(host, self.task_vars, mine) for host in hosts_of(way))

    def propagated(self, change: Change, waited_s: float) -> Propagation:
        return MODULE_ENDED

    def act(self, change: Change, plan: str) -> dict[str, Any]:
        try:
            now = self.plan()
        except ResponderError as error:
            raise StateMoved(
                f"{error.message} It could be planned before.", cure="Run again for a new plan."
            ) from error
        if now != change:
            raise StateMoved(f"{change.target} has changed since it was planned.", cure="Run again for a new plan.")
        answer = self._run(check=False)
        if answer.get("failed"):
            raise EffectFailed(f"{self.name} failed: {self._said(answer)}.")
        try:
            left = self._checked()
        except InputError as error:
            raise OutcomeUnknown(f"{self.name} ran, and cannot be checked: {error.message}") from error
        if left["changed"]:
            raise EffectFailed(f"{self.name} ran, and its check mode still finds something to change.")
        return perform.state(left, hidden=self.hidden)

    def _checked(self) -> Mapping[str, Any]:
        answer = self._run(check=True)
        if answer.get("failed"):
            raise InputError(f"{self.name} failed in check mode: {self._said(answer)}.")
        return perform.check(self.name, answer)

    def _said(self, answer: Mapping[str, Any]) -> str:
        secrets = [str(value) for key, value in self.arguments.items() if key in self.allowed.secrets]
        return brief(str(answer.get("msg", "no reason given")), secrets)

    def _become(self) -> dict[str, Any]:
        """The account on the host, in the keywords of a task: another one may see, and change, something else."""
        play = self.action._play_context
        given = (
            {"become": True, "become_user": play.become_user, "become_method": play.become_method}
            if play.become
            else {}
        )
        return plain({key: value for key, value in {**given, "remote_user": play.remote_user}.items() if value})

    def _node(self) -> str:
        """What the host calls itself, as in the targets of other actions on hosts."""
        try:
            answer = self.action._low_level_execute_command("uname -n", sudoable=False)
        except AnsibleError as error:
            raise InputError(f"the host cannot be reached: {brief(str(error))}.") from error
        name = str(answer.get("stdout", "")).strip()
        if answer.get("rc") != 0 or not name:
            raise InputError(f"the host does not say its name: {brief(str(answer.get('stderr', '')))}.")
        return name

    def _run(self, *, check: bool) -> dict[str, Any]:
        """The module's answer, by core's own action plugin, whatever lies beside the playbook."""
        task = self.action._task.copy()
        task.action, task.args = self.name, dict(self.arguments)
        task.check_mode, task.diff = check, True
        task.environment = [*(task.environment or []), ISOLATED]
        handler = action_loader.get(
            self.name if self.name in ITS_OWN else "ansible.builtin.normal", task=task,
            connection=self.action._connection, play_context=self.action._play_context, loader=self.action._loader,
            templar=self.action._templar, shared_loader_obj=self.action._shared_loader_obj,
        )  # fmt: skip
        handler._execute_module = _core_only(handler._execute_module)
        try:
            return dict(plain(handler.run(task_vars=self.task_vars)))
        except AnsibleError as error:  # a host that is lost, or an action plugin that gives up
            return {"failed": True, "msg": str(error)}
