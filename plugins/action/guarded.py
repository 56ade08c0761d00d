# Copyright: the Responder maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one way in for every mutation: check and act are one step, and a refusal is raised."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, get_args

from ansible.errors import AnsibleError
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.sre.responder.plugins.plugin_utils import one_version, performed
from ansible_collections.sre.responder.plugins.plugin_utils.screen import failure, tell_skip
from ansible_collections.sre.responder.plugins.plugin_utils.task_facts import (
    ISOLATED,
    checking,
    declared,
    driven,
    location,
    one_host,
    plain,
    reached,
    real_host,
    require_driver,
    run_identity,
    weaknesses,
)
from sre_responder import home
from sre_responder.approvals import approval
from sre_responder.drive.words import brief
from sre_responder.effects import EFFECTS, MODULE_ENDED, PROBES, Change, Propagation, leads_to
from sre_responder.engine.delivery import send_soon
from sre_responder.engine.step import Step, perform
from sre_responder.errors import (
    EffectFailed,
    InputError,
    NotApplicable,
    OutcomeUnknown,
    ResponderError,
    StateMoved,
)
from sre_responder.home import Home
from sre_responder.home.annotations import hosts_of
from sre_responder.home.runbook import Runbook, resolve, task_digest
from sre_responder.home.runbook import performed as performed_by
from sre_responder.ledger import Ledger, incidents, known_good, runs
from sre_responder.model import names
from sre_responder.model.actions import ACTIONS, PERFORM, short_name
from sre_responder.model.plan import IfWorse
from sre_responder.model.request import Request

SET_ONCE = "Set it in module_defaults of the play, for group/sre.responder.guarded."
GUARDED_OPTIONS = ("incident", "service", "environment", "applies", "because", "confirm_production", "if_worse")
_GRACE_SECONDS = 5
"""After the controller gave a plan up, what looks on the host ends itself too, so that nothing stays there."""


def _given(values: Mapping[str, Any]) -> dict[str, Any]:
    """Without what was left out, at any depth: the module's own check would take it for given."""
    return {
        name: _given(value) if isinstance(value, Mapping) else value
        for name, value in values.items()
        if value is not None
    }


class HostModule:
    """An effect whose code runs on the host of the play, as an ordinary module."""

    def __init__(
        self, action: ActionModule, arguments: Mapping[str, Any], task_vars: dict[str, Any], place: Home
    ) -> None:
        self.action, self.arguments, self.task_vars = action, arguments, task_vars
        self.policy, self.catalogue = place.policy, place.catalogue
        self.spec = ACTIONS[action.short]
        self.one: Mapping[str, list[str]] = {}

    def plan(self) -> Change:
        seconds = math.ceil(self.policy.deadlines.plan_seconds) + _GRACE_SECONDS
        keys = [*(self.spec.annotations[option] for option in self.spec.locates), *self.spec.compares]
        others = {key: self.catalogue.values(key) for key in keys}
        answer = self._run({"_deadline": seconds, "_others": others}, check=True)
        if answer.get("not_applicable"):
            raise NotApplicable(answer["msg"])
        if answer.get("failed"):
            raise InputError(answer["msg"])
        self.one = answer["one"]
        parts = ("before", "after", "undo", "undo_note", "evidence", "busy", "capacity", "diff")
        return Change(
            target=f"{answer['node']}:{answer['target']}",
            **{part: answer[part] for part in parts if answer.get(part) is not None},
        )

    def same(self, change: Change, way: Mapping[str, str]) -> bool:
        """By what the host said of all values in the catalogue; on another host the same path is another folder."""
        named = any(way.get(key) in values for key, values in self.one.items())
        return (named and self._here(way)) or self._restarts(change, way)

    def _here(self, way: Mapping[str, str]) -> bool:
        hosts = hosts_of(way)
        return not hosts or any(map(self._is, hosts))

    def _restarts(self, change: Change, way: Mapping[str, str]) -> bool:
        """Whether a program that is restarted with it may be the one to which annotations lead: those speak of this machine."""
        chosen = (self.arguments.get("restart") or {}).get("supervisor")
        if chosen is None or not (chosen["server"].startswith("http") or self._is("localhost")):
            return False
        programs = replace(change, evidence=change.evidence["restarts"])
        return leads_to("supervisor_restart", chosen, programs, way)

    def _is(self, host: str) -> bool:
        return one_host(host, self.task_vars, reached(self.action._connection, self.action._play_context))

    def act(self, change: Change, plan: str) -> dict[str, Any]:
        expect = {"target": change.target, **change.before}
        seconds = math.ceil(self.policy.act_limit(self.spec, self.arguments.get("timeout_s")))
        answer = self._run({"_plan": plan, "_expect": expect, "_deadline": seconds}, check=False)
        if answer.get("moved"):
            raise StateMoved(answer["msg"])
        if answer.get("unknown"):  # what was begun there may go on, whatever is read a moment later
            raise OutcomeUnknown(brief(answer["msg"]))
        if answer.get("failed") or answer.get("unreachable"):
            raise EffectFailed(brief(str(answer.get("msg", answer))))
        return dict(answer["observed"])

    def propagated(self, change: Change, waited_s: float) -> Propagation:
        return MODULE_ENDED

    def _run(self, internal: Mapping[str, Any], *, check: bool) -> dict[str, Any]:
        task = self.action._task
        before = task.check_mode, task.environment
        task.check_mode, task.environment = check, [*(task.environment or []), ISOLATED]
        try:
            return plain(
                self.action._execute_module(
                    module_name=f"sre.responder.{self.action.short}",
                    module_args={**self.arguments, **internal},
                    task_vars=self.task_vars,
                )
            )
        except AnsibleError as error:  # a host that is lost must stop the others, as one that fails does
            host = real_host(self.task_vars)
            return {"failed": True, "unknown": True, "msg": f"{host} cannot be reached: {error}"}
        finally:
            task.check_mode, task.environment = before


class ControllerEffect:
    """An effect whose code runs here, against an API."""

    def __init__(self, action: str, arguments: Mapping[str, Any], ledger: Ledger, request: Request) -> None:
        self.action, self.arguments, self.incident = action, arguments, request.incident
        self.asked = {
            "_healthy_at": partial(_asked, ledger, incidents.healthy_at, request.environment, request.service),
            "_known_good": partial(_asked, ledger, known_good.find, request.service, request.environment),
        }

    def plan(self) -> Change:
        return EFFECTS[self.action].plan({**self.arguments, **self.asked})

    def same(self, change: Change, way: Mapping[str, str]) -> bool:
        return leads_to(self.action, self.arguments, change, way)

    def act(self, change: Change, plan: str) -> dict[str, Any]:
        return EFFECTS[self.action].act(
            {**self.arguments, **self.asked, "_plan": plan, "_incident": self.incident}, change
        )

    def propagated(self, change: Change, waited_s: float) -> Propagation:
        return EFFECTS[self.action].propagated(self.arguments, change, waited_s)


def _asked(ledger: Ledger, query: Callable[..., Any], *words: str) -> Any:
    """What the ledger says of the service, asked only by effects for which it matters."""
    with ledger.transaction(reading=True) as connection:
        return query(connection, *words)


class ActionModule(ActionBase):
    """Routed to by meta/runtime.yml for every guarded module."""

    _supports_async = False
    _supports_check_mode = True
    _requires_connection = False

    @property
    def short(self) -> str:
        return short_name(str(self._task.resolved_action or self._task.action))

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        facts = task_vars or {}
        try:
            one_version.require_one_version()
            return self._guarded(facts)
        except ResponderError as error:
            if not driven():
                send_soon(home.find())
            raise failure(error) from None

    def _guarded(self, facts: dict[str, Any]) -> dict[str, Any]:
        place = home.find()
        ledger = Ledger(place.ledger_url)
        file, line = location(self._task)
        given = plain(self._task.args)
        runbook = resolve(place.folder, file)
        request, arguments, call = self._request(place, given, facts, runbook, file, line)
        self._record_run(ledger, request, runbook)
        named = {name: given[name] for name in ("incident", "service", "environment") if name in given}
        effect: Any
        if request.action in place.policy.perform:
            effect = performed.ForeignModule(self, request.action, arguments, facts, place)
        elif request.action in PROBES:
            effect = HostModule(self, {**named, **arguments}, facts, place)
        else:
            effect = ControllerEffect(request.action, arguments, ledger, request)
        step = Step(
            place, ledger, request, arguments, runbook, effect, check=checking(self._task), **call,
            tell=lambda line: Display().display(line, stderr=True),
        )  # fmt: skip
        result = perform(step)
        if not driven():
            tell_skip(result)
        if not driven() and result["outcome"] == "not_improved":  # it may have raised the stop of a cascade
            send_soon(place)
        result["failed"] = False
        result.setdefault("changed", False)
        return result

    def _request(
        self,
        place: Home,
        given: dict[str, Any],
        facts: Mapping[str, Any],
        runbook: Runbook | None,
        file: Any,
        line: int,
    ) -> tuple[Request, dict[str, Any], dict[str, Any]]:
        """The request in plain values, the effect's arguments, and the guarded options; what is wrong is collected, not raised."""
        problems = [f"{file}:{line}: {problem}" for problem in weaknesses(self._task)]
        words: dict[str, str] = {}
        for name, check in (
            ("incident", names.incident),
            ("service", names.service),
            ("environment", names.environment),
        ):
            try:
                words[name] = check(given.get(name, ""))
            except InputError as error:
                words[name] = names.shown(given.get(name, ""), 64)
                problems.append(str(error) if name in given else f"{name} is not set. {SET_ONCE}")
        flags = {}
        for name, default in (("applies", True), ("confirm_production", False)):
            flags[name] = given.get(name, default)
            if not isinstance(flags[name], bool):
                as_words = {"true": True, "yes": True, "false": False, "no": False}
                if str(flags[name]).lower() in as_words:
                    flags[name] = as_words[str(flags[name]).lower()]
                else:
                    problems.append(f"{name} must be true or false, not '{names.shown(flags[name])}'")
                    flags[name] = default
        if_worse = given.get("if_worse", "undo")
        if if_worse not in get_args(IfWorse):
            problems.append(f"if_worse must be one of {', '.join(get_args(IfWorse))}, not '{names.shown(if_worse)}'")
            if_worse = "undo"
        arguments = {}
        try:
            place.catalogue.environment(words["service"], words["environment"])
            arguments = self._arguments(place, given, words["service"], words["environment"])
        except ResponderError as error:
            problems.append(str(error))
        ds = self._task.get_ds()
        run = run_identity()[0]
        hosts = tuple(str(host) for host in facts.get("ansible_play_hosts", ()))
        request = Request(
            action=performed_by(given) if self.short == PERFORM else self.short, **words, confirm_production=flags["confirm_production"], run=run,
            task=str(self._task._uuid), step=task_digest(plain(ds)) if ds and declared(self._task, runbook) else "",
            host=real_host(facts), hosts=hosts,
            requester=approval.requester(place.people), problems=tuple(problems),
        )  # fmt: skip
        because = names.shown(given.get("because", ""), 500)
        return request, arguments, {"applies": flags["applies"], "because": because, "if_worse": if_worse}

    def _arguments(self, place: Home, given: Mapping[str, Any], service: str, environment: str) -> dict[str, Any]:
        """The effect's own arguments, checked against the module's argument spec; the catalogue fills what the task leaves out."""
        if self.short == PERFORM:
            self._known(given, ("module", "args"))
            return performed.arguments(place.policy, self._task)
        if self.short not in ACTIONS:
            raise InputError(f"'{names.shown(self.short)}' is no guarded module.", cure=f"Use {', '.join(ACTIONS)}.")
        spec = ACTIONS[self.short]
        module = importlib.import_module(f"ansible_collections.sre.responder.plugins.modules.{self.short}")
        options = {
            name: option
            for name, option in module.ARGUMENT_SPEC.items()
            if not name.startswith("_") and name not in GUARDED_OPTIONS
        }
        self._known(given, options)
        filled = {name: value for name, value in given.items() if name in options and value is not None}
        filled = {**place.given(spec, place.catalogue.service(service).reached(environment)), **filled}
        for name in spec.needs:
            if not str(filled.get(name, "")).strip():
                annotation = spec.annotations.get(name)
                cure = f" or the annotation {annotation} of {service}" if annotation else ""
                raise InputError(
                    f"{self.short} needs the option {name}.",
                    cure=f"Set {name}{cure}; an empty value never means 'all'.",
                )
        checked = ArgumentSpecValidator(options).validate(filled)
        if checked.error_messages:
            raise InputError(
                f"{self.short}: {'; '.join(checked.error_messages)}.",
                cure=f"See ansible-doc sre.responder.{self.short}.",
            )
        return dict(plain(_given(checked.validated_parameters)))

    def _known(self, given: Mapping[str, Any], options: Iterable[str]) -> None:
        """InputError where the task gives an option that there is not."""
        known = {*options, *GUARDED_OPTIONS}
        if unknown := set(given) - known:
            raise InputError(
                f"{self.short} has no option {', '.join(sorted(names.shown(name) for name in unknown))}.",
                cure=f"Its options: {', '.join(sorted(known))}.",
            )

    def _record_run(self, ledger: Ledger, request: Request, runbook: Runbook | None) -> None:
        """A plain ansible-playbook has no driver: its run is recorded by the process that forked this worker."""
        run, pid = run_identity()
        if driven():
            require_driver(ledger, run)
            return
        with ledger.transaction() as connection:
            runs.begin(
                connection, ledger.now(connection), run, pid=pid, driven=False, requester=request.requester,
                incident=request.incident[:16], runbook=runbook.metadata.id if runbook else None,
                service=request.service, environment=request.environment[:16], preview=checking(self._task),
            )  # fmt: skip
