"""What in a playbook weakens a guard; and which tasks mutate, read, or cannot be told."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from sre_responder import modules
from sre_responder.drive.environment import risky
from sre_responder.drive.prepare import SHADOWS
from sre_responder.errors import InputError
from sre_responder.evidence.sources.command import Command
from sre_responder.evidence.sources.slo import Slo
from sre_responder.home.allowed import how_to_allow, unfit
from sre_responder.home.documents import line_of, read_text
from sre_responder.home.loadable import unloadable
from sre_responder.home.policy import Policy
from sre_responder.home.readme import README, TOPICS, lacking
from sre_responder.home.runbook import PLAYBOOK, Runbook, Task, plays, tasks
from sre_responder.model.actions import COLLECTION, PERFORM, READ_ONLY, short_name
from sre_responder.model.criterion import Criterion
from sre_responder.model.look import Look, NotMeasured
from sre_responder.model.look import Place as LookedAt
from sre_responder.model.names import shown

Class = Literal["mutates", "reads", "undetermined"]
READS = frozenset(
    [
        "assert",
        "debug",
        "fail",
        "find",
        "getent",
        "gather_facts",
        "include_vars",
        "meta",
        "pause",
        "ping",
        "service_facts",
        "set_fact",
        "set_stats",
        "setup",
        "slurp",
        "stat",
        "wait_for",
        "wait_for_connection",
        "add_host",
        "group_by",
        "package_facts",
    ]
)
MUTATES = frozenset(
    [
        "apt",
        "copy",
        "cron",
        "dnf",
        "file",
        "get_url",
        "git",
        "group",
        "hostname",
        "iptables",
        "known_hosts",
        "lineinfile",
        "package",
        "pip",
        "reboot",
        "replace",
        "service",
        "subversion",
        "systemd",
        "systemd_service",
        "sysvinit",
        "tempfile",
        "template",
        "unarchive",
        "uri",
        "user",
        "yum",
        "blockinfile",
        "assemble",
        "deb822_repository",
    ]
)


@dataclass(frozen=True)
class Finding:
    """One weakness, where it stands, and its cure."""

    file: str
    line: int
    rule: str
    message: str
    cure: str
    level: Literal["error", "warning"] = "error"
    """A warning stops neither registration nor a run."""

    def __str__(self) -> str:
        level = "warning: " if self.level == "warning" else ""
        return f"{self.file}:{self.line}: {level}{self.rule}: {self.message}. {self.cure}"


def classify(task: Task) -> Class:
    """Whether a task changes anything; what is not known to read is never called reading."""
    short = short_name(task.module)
    if task.module == f"{COLLECTION}.{short}":
        return "reads" if short in READ_ONLY else "mutates"
    name = task.module.removeprefix("ansible.builtin.").removeprefix("ansible.legacy.")
    if (
        name == "uri"
        and isinstance(task.arguments, Mapping)
        and str(task.arguments.get("method", "GET")).upper() in ("GET", "HEAD")
    ):
        return "reads"
    return "reads" if name in READS else "mutates" if name in MUTATES else "undetermined"


Place = Literal["play", "block", "task"]


def _set(value: Any) -> bool:
    return value not in (None, False)


@dataclass(frozen=True)
class Weakening:
    """A keyword of Ansible, where it may not be, and why. A task means a guarded one, a block one that holds a guarded task."""

    keyword: str
    places: frozenset[Place]
    why: str
    cure: str = "Remove it."
    level: Literal["error", "warning"] = "error"
    weakens: Callable[[Any, int], bool] = lambda value, ladder: True
    """By its value, and by the number of guarded tasks in the play."""
    names: Callable[[Any], list[str]] = lambda value: []
    """What of its value is meant."""


def _row(keyword: str, places: str, why: str, **more: Any) -> Weakening:
    return Weakening(keyword, frozenset(places.split()), why, **more)  # type: ignore[arg-type]


WEAKENINGS = (
    _row("ignore_errors", "play block task", "a refusal would be ignored", weakens=lambda value, _: _set(value)),
    _row("ignore_unreachable", "play block task", "a lost host would be ignored", weakens=lambda value, _: _set(value)),
    _row("run_once", "play block task", "one host would answer for all", weakens=lambda value, _: _set(value)),
    _row("max_fail_percentage", "play", "hosts would go on after a refusal", weakens=lambda value, _: value is not None),
    _row("any_errors_fatal", "play block task", "other hosts would go on after a refusal", level="warning", cure="Leave it out, or set it to true.",
         weakens=lambda value, _: value is False or str(value).lower() in ("false", "no", "off", "0")),
    _row("strategy", "play", "hosts would run ahead of each other", cure="Use linear.",
         weakens=lambda value, _: value not in (None, "linear", "ansible.builtin.linear")),
    _row("serial", "play", "the first batch would climb the whole ladder before the next takes its first step",
         cure="Remove it; the hosts of a guarded task go one by one.",
         weakens=lambda value, ladder: ladder > 1 and value not in (None, 0, "100%")),
    _row("throttle", "play block task", "it changes nothing: the hosts of a guarded task go one by one", level="warning",
         weakens=lambda value, _: value not in (None, 0)),
    _row("force_handlers", "play", "handlers would run after a refusal", weakens=lambda value, _: _set(value)),
    _row("vars_prompt", "play", "without a terminal a prompt goes on empty", cure="Take it from the incident or the survey.",
         weakens=lambda value, _: bool(value)),
    _row("roles", "play", "what a role does is not seen here", cure="Put the guarded steps into tasks.",
         weakens=lambda value, _: bool(value)),
    _row("environment", "play block task", "a variable that is no proxy, certificate, account or language could choose what code runs",
         cure="Remove it, or set it on the other tasks that need it.", weakens=lambda value, _: bool(risky(value)), names=risky),
    _row("failed_when", "task", "a refusal could be called success"),
    _row("changed_when", "task", "the result would not be what happened"),
    _row("until", "task", "the action would be repeated"),
    _row("retries", "task", "the action would be repeated"),
    _row("loop", "task", "a later item would go on after a refusal", cure="Write one task a target."),
    _row("async", "task", "the action would outlive its guard"),
    _row("local_action", "task", "the target would not be the host of the play", cure="Name the module itself."),
    _row("delegate_to", "block task", "the target would not be the host of the play"),
    _row("tags", "block task", "the step could be left out"),
    _row("check_mode", "block task", "a dry run would change things, or a real run would not"),
    _row("when", "block task", "a step that is left out leaves no record", cure="Use applies: and because:."),
    _row("notify", "block task", "a handler would run unguarded"),
    _row("rescue", "block", "a refusal would be caught", cure="Take the task out of the block."),
    _row("always", "block", "it would act after a refusal", cure="Take the task out of the block."),
)  # fmt: skip
"""Everything in Ansible's own language that weakens a guard, or looks as if it did something for it."""
_SKIPPING = frozenset(["end_play", "end_host", "end_batch", "end_role", "clear_host_errors"])
"""What `meta` can do to the steps behind it: leave them out without a record, or take a host back that failed."""


def _weaker(
    file: Path, place: Place, written: Iterable[tuple[str, Any]], line: int, ladder: int, name: str = ""
) -> Iterator[Finding]:
    """What in the keywords of one place weakens the guard."""
    where = {"play": "the play", "block": f"a block around guarded task '{name}'", "task": f"guarded task '{name}'"}[
        place
    ]
    for keyword, value in written:
        known = "loop" if keyword.startswith("with_") else keyword
        for row in WEAKENINGS:
            if row.keyword == known and place in row.places and row.weakens(value, ladder):
                meant = "".join(f" {shown(one, 64)}" for one in row.names(value))
                yield Finding(str(file), line, known, f"{keyword}{meant} on {where}: {row.why}", row.cure, row.level)


def findings(path: Path, policy: Policy = Policy(), slos: Path | None = None) -> tuple[Finding, ...]:
    """Everything that weakens a guard in a playbook, or in a runbook's folder, by what the policy allows.

    What a criterion names of the objectives is looked up in their folder, if one is given.
    """
    folder = path if path.is_dir() else path.parent
    playbook = path / PLAYBOOK if path.is_dir() else path
    if not playbook.is_file():
        raise InputError(
            f"{path} is neither a playbook nor a runbook's folder.", cure=f"Name a file, or a folder with {PLAYBOOK}."
        )
    found = [
        Finding(str(folder / name), 1, "shadow", f"{name} beside a play would shadow what is installed", "Remove it.")
        for name in sorted(SHADOWS)
        if (folder / name).exists()
    ]
    for play, node in plays(playbook):
        found += [Finding(str(playbook), line, "load", words, cure) for line, words, cure in unloadable(play, node)]
        listed = list(tasks(play, node))
        ladder = sum(task.action is not None for task in listed)
        found += _play(playbook, play, node.start_mark.line + 1, ladder)
        for task in listed:
            found += _task(playbook, task, ladder)
            found += _performed(playbook, task, policy)
        found += _order(playbook, listed, policy)
    if playbook.name == PLAYBOOK:
        found += _criterion(playbook, Runbook(folder, None, False).metadata.success, policy, slos)
    return tuple(found)


def undocumented(path: Path) -> tuple[Finding, ...]:
    """What a runbook's README leaves out; nothing if the path is that of another playbook."""
    folder = path if path.is_dir() else path.parent
    if path.is_file() and path.name != PLAYBOOK:
        return ()
    readme = folder / README
    there = readme.is_file()
    missing = lacking(read_text(readme)) if there else TOPICS
    words = f"no text about {', '.join(missing)}" if there else "a person who takes over has nothing to read"
    cure = f"Write {'' if there else 'it, with '}a heading and text below it for each of: {', '.join(missing)}."
    return (Finding(str(readme), 1, "readme", words, cure),) if missing else ()


def _criterion(file: Path, criterion: Criterion, policy: Policy, slos: Path | None) -> Iterator[Finding]:
    """What each source says of its look, and the policy of its commands, at the line of the criterion."""
    place = ("vars", "runbook", "success")
    line = max(line_of(node, place) for play, node in plays(file) if "runbook" in (play.get("vars") or {}))
    looks = list[Look]()
    for look in criterion.looks:
        if isinstance(look, Slo) and (slos is None or "$" in look.slo):
            continue  # its objective is known when it is measured
        try:
            looks.append(look.resolved(LookedAt("", "", slos=slos)))
        except NotMeasured as error:
            cure = "Correct the file, or the name in `success`. Then: responder evidence try"
            yield Finding(str(file), line, "slo", str(error), cure)
    for one in dict.fromkeys(doubt for look in looks for doubt in look.doubts(criterion, criterion.must)):
        yield Finding(str(file), line, one.rule, one.words, one.cure, one.level)
    for look in criterion.looks:
        if isinstance(look, Command) and (wrong := _command(look, policy)):
            yield Finding(str(file), line, "command", f"{look.title} would not be measured: {wrong[0]}", wrong[1])


def _command(look: Command, policy: Policy) -> tuple[str, str] | None:
    """Why the policy would not run the command of a look, and the cure; what is filled in later is judged then."""
    if look.command not in policy.commands:
        return f"the policy does not allow the command '{shown(look.command, 64)}'", "Add it to commands in policy.yml."
    try:
        policy.commands[look.command].words(look.args)
    except ValueError as error:
        filled = any("$" in value for value in look.args.values())
        return None if filled else (str(error), f"Correct it, or commands.{look.command} in policy.yml.")
    return None


def _play(file: Path, play: Mapping[str, Any], line: int, ladder: int) -> Iterator[Finding]:
    if file.name == PLAYBOOK and (found := [key for key in play if key.rpartition(".")[2] == "import_playbook"]):
        words = "no digest covers what another playbook does, and no guard sees its tasks"
        yield Finding(str(file), line, "import_playbook", words, f"Write its plays into this file, without {found[0]}.")
    yield from _weaker(file, "play", play.items(), line, ladder)
    if "ansible_facts_modules" in (play.get("vars") or {}):
        yield _facts(file, line)


def _facts(file: Path, line: int) -> Finding:
    words = "ansible_facts_modules lets any module run while facts are gathered, past the guard"
    return Finding(str(file), line, "unguarded", words, "Remove it.")


def _task(file: Path, task: Task, ladder: int) -> Iterator[Finding]:
    variables = task.keywords.get("vars")
    if isinstance(variables, Mapping) and "ansible_facts_modules" in variables:
        yield _facts(file, task.line)
    if task.action is None and (missing := modules.problem(task.module)):
        why, cure = missing
        yield Finding(str(file), task.line, "module", f"'{task.name}' cannot run: {why}", cure)
        return
    if task.action is None:
        if task.section == "handlers" or classify(task) == "mutates":
            yield Finding(
                str(file),
                task.line,
                "unguarded",
                f"'{task.name}' mutates through {task.module}, past the guard",
                _guarded(task.module),
            )
        elif classify(task) == "undetermined":
            yield Finding(
                str(file),
                task.line,
                "undetermined",
                f"cannot tell whether '{task.name}' ({task.module}) changes anything",
                _guarded(task.module, "Use a module that says so."),
            )
        if short_name(task.module).endswith("pause"):
            yield Finding(
                str(file), task.line, "pause", "without a terminal a pause goes on by itself", "Use an approval."
            )
        if task.module.rpartition(".")[2] == "meta" and (does := _meta(task.arguments)) in _SKIPPING:
            words = f"meta: {does} leaves out later steps without a record, or takes a failed host back"
            yield Finding(str(file), task.line, "meta", words, "Use applies: and because: on those steps.")
        return
    yield from _weaker(file, "task", task.keywords.items(), task.line, ladder, task.name)
    yield from _weaker(file, "block", task.around, task.line, ladder, task.name)
    if task.section == "handlers":
        yield Finding(str(file), task.line, "handlers", f"guarded task '{task.name}' is a handler", "Make it a task.")


def _guarded(module: str, otherwise: str = "Use a guarded module.") -> str:
    """What to do about an unguarded task: `perform` runs every module that shows a plan."""
    whole = module if "." in module else f"ansible.builtin.{module}"
    return otherwise if unfit(whole) else f"{otherwise} {how_to_allow(whole)}"


def _performed(file: Path, task: Task, policy: Policy) -> Iterator[Finding]:
    """What the policy refuses of a module that runs through `perform`, as far as it is written out."""
    if task.module != f"{COLLECTION}.{PERFORM}":
        return
    name = str(task.action)
    given = task.arguments.get("args") if isinstance(task.arguments, Mapping) else None
    why: str | None
    if name == PERFORM:
        why, cure = (
            "its module is not the whole name of one of another collection",
            "Write namespace.collection.module.",
        )
    elif not (allowed := policy.perform.get(name)):
        why, cure = unfit(name) or f"the policy does not allow {name}", how_to_allow(name)
        cure = "Use a guarded module." if unfit(name) else cure
    elif missing := modules.problem(name):
        why, cure = missing
    else:
        literal = (
            {key: value for key, value in given.items() if "{{" not in str(value)} if isinstance(given, Mapping) else {}
        )
        why, cure = allowed.refusal(literal), f"Correct it, or perform.{name}.args in policy.yml."
    if why:
        yield Finding(str(file), task.line, "perform", f"'{task.name}' would be refused: {why}", cure)


def _meta(arguments: Any) -> str:
    """What a meta task does, in any spelling."""
    if isinstance(arguments, Mapping):
        arguments = arguments.get("_raw_params", "")
    return str(arguments or "").strip().removeprefix("meta").strip()


def _order(file: Path, listed: list[Task], policy: Policy) -> Iterator[Finding]:
    highest, looked, done = 0, False, set[str]()
    for task in listed:
        looked = looked or short_name(task.module) in ("diagnose", "blast_radius")
        spec = policy.action(task.action) if task.action else None
        if spec is None or spec.containment:
            continue
        rung = spec.rung
        if rung < highest and task.does not in done:  # a step may be taken again behind a more invasive one
            yield Finding(
                str(file),
                task.line,
                "order",
                f"'{task.name}' (rung {rung}) stands behind rung {highest}",
                "Least invasive first.",
            )
        if not looked:
            yield Finding(
                str(file),
                task.line,
                "scope",
                "a remediation before any diagnosis",
                "Begin with sre.responder.diagnose.",
            )
            looked = True
        highest = max(highest, rung)
        done.add(task.does)
