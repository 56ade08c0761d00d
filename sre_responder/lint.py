"""What in a playbook weakens a guard; and which tasks mutate, read, or cannot be told."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from sre_responder import address
from sre_responder.actions import ACTIONS, COLLECTION, READ_ONLY, short_name
from sre_responder.documents import line_of
from sre_responder.drive.prepare import SHADOWS
from sre_responder.errors import InputError
from sre_responder.evidence.criterion import Criterion
from sre_responder.runbook import PLAYBOOK, Runbook, Task, plays, tasks

TELLING = 0.05
"""A criterion tells 90 % from 100 % if a service that answers 90 % of its requests well passes no more often than this."""

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
UNCLEAR = frozenset(
    ["command", "shell", "raw", "script", "expect", "include_tasks", "import_tasks", "include_role", "import_role"]
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


_ON_GUARDED = {
    "ignore_errors": "a refusal would be ignored",
    "ignore_unreachable": "a lost host would be ignored",
    "failed_when": "a refusal could be called success",
    "changed_when": "the result would not be what happened",
    "until": "the action would be repeated",
    "retries": "the action would be repeated",
    "loop": "a later item would go on after a refusal",
    "async": "the action would outlive its guard",
    "delegate_to": "the target would not be the host of the play",
    "run_once": "one host would answer for all",
    "tags": "the step could be left out",
    "check_mode": "a dry run would change things, or a real run would not",
    "when": "a step that is left out leaves no record",
    "notify": "a handler would run unguarded",
}


def findings(path: Path) -> tuple[Finding, ...]:
    """Everything that weakens a guard in a playbook, or in a runbook's folder."""
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
        found += _play(playbook, play, node.start_mark.line + 1)
        listed = list(tasks(play, node))
        for task in listed:
            found += _task(playbook, task)
        found += _order(playbook, listed)
    if playbook.name == PLAYBOOK:
        found += _criterion(playbook, Runbook(folder, None, False).metadata.success)
    return tuple(found)


def _criterion(file: Path, criterion: Criterion) -> Iterator[Finding]:
    """An address that cannot be asked; a window that a service passes which fails one request in ten."""
    place = ("vars", "runbook", "success")
    line = max(line_of(node, place) for play, node in plays(file) if "runbook" in (play.get("vars") or {}))
    if criterion.url and (wrong := address.problem(criterion.url)):
        cure = "Write http://host:port/path, or leave it out and annotate the service with responder/probe-url."
        yield Finding(str(file), line, "url", f"success.url {wrong}", cure)
    if criterion.source == "http" and (chance := criterion.chance(0.9)) > TELLING:
        words = (
            f"a service that fails one request in ten passes this criterion in {chance:.0%} of verdicts: the window takes "
            f"{criterion.samples} samples, {criterion.spare} of which may be bad"
        )
        yield Finding(str(file), line, "criterion", words, _longer(criterion), "warning")


def _longer(criterion: Criterion) -> str:
    """The window that would tell 90 % from 100 %, other things equal."""
    if criterion.good_share <= 0.9:
        return "Set good_share above 0.9."
    for number in range(criterion.samples, 2000):
        if criterion.model_copy(update={"minimum_samples": number}).chance(0.9) <= TELLING:
            return f"Set hold_s to {number * criterion.interval_s:g} or more, or minimum_samples to {number}."
    return "Set good_share to 0.95 or more."


def _play(file: Path, play: Mapping[str, Any], line: int) -> Iterator[Finding]:
    if file.name == PLAYBOOK and (found := [key for key in play if key.rpartition(".")[2] == "import_playbook"]):
        words = "no digest covers what another playbook does, and no guard sees its tasks"
        yield Finding(str(file), line, "import_playbook", words, f"Write its plays into this file, without {found[0]}.")
    for keyword, cure in (
        ("vars_prompt", "Take it from the incident or the survey; without a terminal a prompt goes on empty."),
        ("ignore_errors", "Remove it; a refusal would be ignored."),
        ("ignore_unreachable", "Remove it; a lost host would be ignored."),
        ("max_fail_percentage", "Remove it; hosts would go on after a refusal."),
        ("roles", "Put the guarded steps into tasks; what a role does is not seen here."),
        ("force_handlers", "Remove it; handlers would run after a refusal."),
    ):
        if play.get(keyword):
            yield Finding(str(file), line, keyword, f"the play has {keyword}", cure)
    if "ansible_facts_modules" in (play.get("vars") or {}):
        yield _facts(file, line)
    if play.get("strategy") not in (None, "linear", "ansible.builtin.linear"):
        yield Finding(str(file), line, "strategy", f"strategy {play['strategy']} lets hosts run ahead", "Use linear.")


def _facts(file: Path, line: int) -> Finding:
    words = "ansible_facts_modules lets any module run while facts are gathered, past the guard"
    return Finding(str(file), line, "unguarded", words, "Remove it.")


def _task(file: Path, task: Task) -> Iterator[Finding]:
    variables = task.keywords.get("vars")
    if isinstance(variables, Mapping) and "ansible_facts_modules" in variables:
        yield _facts(file, task.line)
    if task.action is None:
        if task.section == "handlers" or classify(task) == "mutates":
            yield Finding(
                str(file),
                task.line,
                "unguarded",
                f"'{task.name}' mutates through {task.module}, past the guard",
                "Use a guarded module.",
            )
        elif classify(task) == "undetermined":
            yield Finding(
                str(file),
                task.line,
                "undetermined",
                f"nobody can say whether '{task.name}' ({task.module}) mutates",
                "Use a module that says so.",
            )
        if short_name(task.module).endswith("pause"):
            yield Finding(
                str(file), task.line, "pause", "without a terminal a pause goes on by itself", "Use an approval."
            )
        return
    for keyword in task.keywords:
        known = "loop" if keyword.startswith("with_") else keyword
        if known in _ON_GUARDED:
            cure = "Use applies: and because:." if known == "when" else "Remove it."
            yield Finding(
                str(file), task.line, known, f"{keyword} on guarded task '{task.name}': {_ON_GUARDED[known]}", cure
            )
    for mark in task.within:
        if mark in ("rescue", "always", "ignore_errors", "when", "tags", "run_once", "delegate_to", "check_mode"):
            yield Finding(
                str(file), task.line, mark, f"guarded task '{task.name}' stands in a block with {mark}", "Take it out."
            )
    if task.section == "handlers":
        yield Finding(str(file), task.line, "handlers", f"guarded task '{task.name}' is a handler", "Make it a task.")


def _order(file: Path, listed: list[Task]) -> Iterator[Finding]:
    highest, looked, done = 0, False, set[str]()
    for task in listed:
        looked = looked or short_name(task.module) in ("diagnose", "blast_radius")
        if task.action is None or ACTIONS[task.action].containment:
            continue
        rung = ACTIONS[task.action].rung
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
                str(file), task.line, "scope", "a remedy before anybody looked", "Begin with sre.responder.diagnose."
            )
            looked = True
        highest = max(highest, rung)
        done.add(task.does)
