# Copyright: the Responder maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What systemd says of a service of its host, and a restart that is watched. Standard library only."""

from __future__ import annotations

import difflib
import os
import pwd
import re
import shutil
import socket
import subprocess
import time
from contextlib import suppress

from ansible_collections.sre.responder.plugins.module_utils._on_host import HostError, NotApplicable, Unknown

TYPES = (
    "service", "socket", "target", "timer", "path", "mount", "automount", "swap", "slice", "scope", "device",
)  # fmt: skip
_NAME = re.compile(rf"[A-Za-z0-9:_.\\-]+(@[A-Za-z0-9:_.\\-]*)?\.(?:{'|'.join(TYPES)})", re.ASCII)
_PATH = "/usr/bin:/bin:/usr/sbin:/sbin"
_ASK_SECONDS = 10
_LOOK_SECONDS = 5.0
_LATELY_SECONDS = 30
_STAYS_SECONDS = 2.0
"""What has just been started may end at once: `active` of a service that never says when it is ready means only that it was forked."""
_JOURNAL_SECONDS = 1.0
_PAUSE_SECONDS = 0.1
"""Between two questions: systemd tells of changes only on its bus, for which the standard library has no client."""
_MOST_UNITS = 200
_PROPERTIES = [
    "Id",
    "Names",
    "LoadState",
    "LoadError",
    "ActiveState",
    "SubState",
    "Result",
    "Type",
    "RemainAfterExit",
    "Restart",
    "MainPID",
    "InvocationID",
    "NRestarts",
    "Job",
    "ConditionResult",
    "ExecMainStartTimestampMonotonic",
    "ExecMainCode",
    "ExecMainStatus",
    "InactiveExitTimestampMonotonic",
    "StartLimitBurst",
    "StartLimitIntervalUSec",
    "TimeoutStopUSec",
    "RefuseManualStart",
    "RefuseManualStop",
    "NeedDaemonReload",
    "RequiredBy",
    "RequisiteOf",
    "BoundBy",
    "ConsistsOf",
    "Conflicts",
    "ConflictedBy",
]
_WITH_IT = ("RequiredBy", "RequisiteOf", "BoundBy", "ConsistsOf")
"""What a restart of a unit restarts too, where that is active."""
_AGAINST_IT = ("Conflicts", "ConflictedBy")
"""What a start of a unit stops."""
_UNITS = {
    "us": 1e-6,
    "ms": 1e-3,
    "s": 1,
    "min": 60,
    "h": 3600,
    "d": 86400,
    "w": 604800,
    "month": 2629800,
    "y": 31557600,
}


def service(name: str) -> dict:
    """What systemd says of a service that can be restarted; HostError where it is none, with what to do."""
    unit = _full(name)
    kind = unit.rpartition(".")[2]
    if not _NAME.fullmatch(unit) or kind != "service":
        what = f"is a {kind}" if _NAME.fullmatch(unit) else "is not a valid unit name"
        raise HostError(f"'{name[:80]}' {what}. Only services are restarted: name one, such as nginx.service.")
    if "@." in unit:
        raise HostError(
            f"{unit} is a template. Name one of its instances: {_listed(f'{unit[:-8]}*.service') or 'none'}."
        )
    [found] = _asked([unit])
    loaded, unit = found["LoadState"], found["Id"]
    if loaded == "masked":
        raise HostError(
            f"{unit} is masked on {_node()}, so it cannot be started. If it should not be: systemctl unmask {unit}"
        )
    if loaded == "not-found":
        raise HostError(f"systemd on {_node()} has no {unit}. {_near(unit)}")
    if loaded != "loaded":
        said = found["LoadError"].partition('"')[2].rstrip('"') or loaded
        raise HostError(
            f"systemd cannot load {unit} on {_node()}: {said}. Correct its file, then: systemctl daemon-reload"
        )
    if "yes" in (found["RefuseManualStart"], found["RefuseManualStop"]):
        raise HostError(
            f"{unit} refuses to be started or stopped by hand (RefuseManualStart=, RefuseManualStop=). Restart what it belongs to."
        )
    if found["Type"] == "oneshot" and found["RemainAfterExit"] == "no":
        raise HostError(
            f"{unit} does its work once and ends (Type=oneshot): a restart would do that work again. Restart a service that keeps running."
        )
    return found


def steady(name: str) -> dict:
    """The service, watched until it is known whether systemd itself starts it again and again: then NotApplicable.

    What identifies its process would have changed before anybody acts, and one more restart is no remedy.
    """
    first = found = service(name)
    until = time.monotonic() + _LOOK_SECONDS
    while True:
        if starts_itself(found) or int(found["NRestarts"]) > int(first["NRestarts"]):
            raise NotApplicable(
                f"systemd starts {found['Id']} again and again by itself ({why(found)}); one more restart would change nothing"
            )
        if _given_up(found) or (_started_often(found) and _within_limit(found)):
            raise NotApplicable(
                f"systemd has started {found['Id']} as often as it may ({limit(found)}), and would refuse the next start; remove what "
                f"makes it fail, then: systemctl reset-failed {found['Id']}"
            )
        if time.monotonic() > until or not _lately(found):
            return found
        time.sleep(_PAUSE_SECONDS)
        found = service(name)


def starts_itself(found: dict) -> bool:
    """Whether it has ended and systemd is about to start it again."""
    return found["SubState"].startswith("auto-restart")


def limit(found: dict) -> str:
    return f"{found['StartLimitBurst']} times in {found['StartLimitIntervalUSec']}"


def limited(found: dict) -> bool:
    """Whether systemd would refuse the next start now; that ends by itself, with the interval."""
    return (found["Result"] == "start-limit-hit" or _started_often(found)) and _within_limit(found)


def identity(found: dict) -> dict:
    """What identifies the state of a service: the words of a plan's `before`."""
    return {
        "state": state(found),
        "pid": int(found["MainPID"]),
        "started": int(found["ExecMainStartTimestampMonotonic"]),
        "invocation": found["InvocationID"],
    }


def state(found: dict) -> str:
    return f"{found['ActiveState']} ({found['SubState']})"


def working(found: dict) -> str | None:
    """What systemd does with a unit now, if anything."""
    if _job(found) or found["ActiveState"] not in ("active", "inactive", "failed"):
        return f"systemd has {found['Id']} in {state(found)}{' with a job' if _job(found) else ''}"
    return None


def with_it(found: dict) -> tuple[list, list]:
    """The units that a restart of this one restarts too, and those that its start would stop."""
    stopped = [] if found["ActiveState"] == "active" else _active(_names(found, _AGAINST_IT))
    restarted: list[str] = []
    waiting = _names(found, _WITH_IT)
    while waiting:
        new = _active([name for name in waiting if name not in (*restarted, found["Id"])])
        restarted += [one["Id"] for one in new]
        if len(restarted) > _MOST_UNITS:
            raise HostError(
                f"more than {_MOST_UNITS} units would be restarted with {found['Id']}. Restart something smaller."
            )
        waiting = [name for one in new for name in _names(one, _WITH_IT)]
    return restarted, [one["Id"] for one in stopped]


def same(found: dict, others: list) -> list:
    """Which of these names lead to a service, or to what its restart would restart or stop.

    An alias is known by its Id. A template stands for all its instances.
    """
    reached = [found["Id"], *(name for names in with_it(found) for name in names)]
    names = {other: _full(other.strip().rpartition("/")[2]) for other in others}
    units = {other: unit for other, unit in names.items() if _NAME.fullmatch(unit) and "@." not in unit}
    answers = iter(_asked(list(units.values())) if units else [])
    ids = {other: next(answers)["Id"] for other in units}
    every = {*reached, *found["Names"].split()}

    def leads(other: str) -> bool:
        template, dummy, kind = names[other].partition("@.")
        instances = [unit for unit in every if unit.startswith(f"{template}@") and unit.endswith(f".{kind}")]
        return ids.get(other) in reached or bool(kind and instances)

    return [other for other in others if leads(other)]


def may_restart(unit: str) -> None:
    """HostError where it is known before that this user may not. What a rule of polkit says of one unit only root can ask."""
    if os.geteuid() != 0 and shutil.which("pkcheck", path=_PATH) is None:
        raise HostError(
            f"{_user()} may not restart {unit} on {_node()}: without polkit only root may. "
            "Set become: true on the play or the task."
        )


def restart(unit: str, seconds: float) -> dict:
    """Restart a service and watch it until it runs and goes on running; HostError where it does not.

    systemd is given the job and not waited for: what it is asked, and not this process, has the limit of time. Unknown where the
    limit passes first, for systemd goes on by itself.
    """
    old = _asked([unit])[0]["InvocationID"]
    since = int(time.time())
    _systemctl("restart", "--no-block", "--", unit)
    until = time.monotonic() + seconds
    runs: dict[str, float] = {}
    while True:
        [now] = _asked([unit])
        if _job(now) is None and (now["ActiveState"] in ("inactive", "failed") or starts_itself(now)):
            raise HostError(f"{unit} did not come back: it is {state(now)}, {why(now)}{_journal(now, since)}")
        if _job(now) is None and now["ActiveState"] == "active":
            if now["InvocationID"] == old:
                raise HostError(f"the restart of {unit} was cancelled: it runs as before")
            runs.setdefault(now["InvocationID"], time.monotonic())
            if len(runs) > 1:
                raise HostError(
                    f"{unit} did not stay: systemd has already started it again by itself{_journal(now, since)}"
                )
            if time.monotonic() - runs[now["InvocationID"]] > _STAYS_SECONDS:
                return now
        elif time.monotonic() > until:
            raise Unknown(
                f"{unit} was still in {state(now)} {seconds:g} s after systemd was asked to restart it, and systemd goes on by itself "
                f"(it kills what does not end after {now['TimeoutStopUSec']})"
            )
        time.sleep(_PAUSE_SECONDS)


def why(found: dict) -> str:
    """Why a service is not running, as systemd keeps it."""
    if found["ConditionResult"] == "no" and found["Result"] == "success":
        return "a Condition of its unit does not hold"
    status, code = found["ExecMainStatus"], found["ExecMainCode"]
    ended = {"1": f", exit status {status}", "2": f", signal {status}", "3": f", signal {status}"}.get(code, "")
    return f"result {found['Result']}{ended}"


def _journal(found: dict, since: int) -> str:
    """The last lines that a service wrote since then, where they can be read."""
    program = shutil.which("journalctl", path=_PATH)
    if program is None:
        return ""
    words = [
        program,
        "--quiet",
        "--no-pager",
        "--output=cat",
        "--lines=3",
        f"--since=@{since}",
        f"_SYSTEMD_UNIT={found['Id']}",  # journald does not know the invocation of a process that has ended by then
    ]
    until = time.monotonic() + _JOURNAL_SECONDS
    with suppress(HostError):
        while time.monotonic() < until:  # journald writes a line a moment after its program has
            lines = [line.strip()[:160] for line in _run(words).stdout.splitlines() if line.strip()]
            if lines:
                return f". It wrote last: {' | '.join(lines)}"
            time.sleep(_PAUSE_SECONDS)
    return ""


def _asked(units: list) -> list[dict]:
    """The properties of each of these units, in their order."""
    text = _systemctl("show", f"--property={','.join(_PROPERTIES)}", "--", *units)
    blocks = [dict(line.partition("=")[::2] for line in block.splitlines()) for block in text.strip("\n").split("\n\n")]
    if len(blocks) != len(units):
        raise HostError(f"systemd on {_node()} told of {len(blocks)} units, not of {len(units)}")
    return [{**dict.fromkeys(_PROPERTIES, ""), "NRestarts": "0", "MainPID": "0", **block} for block in blocks]


def _systemctl(*words: str) -> str:
    program = shutil.which("systemctl", path=_PATH)
    if program is None or not os.path.isdir("/run/systemd/system"):  # sd_booted(3)
        raise HostError(
            f"{_node()} is not run by systemd (or this is a container of it). Name a host where systemd is process 1."
        )
    done = _run([program, "--no-pager", "--no-ask-password", *words])
    if done.returncode:
        cure = "" if os.geteuid() == 0 else " Set become: true on the play or the task, or let polkit allow it."
        raise HostError(
            f"systemctl {words[0]} failed on {_node()} for {_user()}: {done.stderr.strip()[:300] or done.returncode}.{cure}"
        )
    return done.stdout


def _run(words: list) -> subprocess.CompletedProcess:
    environ = {"PATH": _PATH, "LC_ALL": "C", "SYSTEMD_COLORS": "0"}
    try:
        return subprocess.run(
            words, env=environ, stdin=subprocess.DEVNULL, capture_output=True, timeout=_ASK_SECONDS,
            encoding="utf-8", errors="replace", check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise Unknown(f"systemd on {_node()} gave no answer within {_ASK_SECONDS} s ({words[0]})") from None


def _near(unit: str) -> str:
    names = _listed("*.service").split(", ")
    near = difflib.get_close_matches(unit, names, n=3, cutoff=0.6)
    return f"Did you mean {' or '.join(near)}?" if near else "See `systemctl list-units --type=service`."


def _listed(pattern: str) -> str:
    """The units of a pattern, loaded or as files."""
    words = ("--all", "--plain", "--no-legend", "--full")
    found: set[str] = set()
    for command in ("list-units", "list-unit-files"):
        with suppress(HostError):  # some versions call it a failure that nothing is found
            lines = _systemctl(command, *words, "--", pattern).splitlines()
            found |= {line.split()[0] for line in lines if line.strip()}
    return ", ".join(sorted(name for name in found if "@." not in name))


def _active(names: list) -> list[dict]:
    asked = _asked(names) if names else []
    return [one for one in asked if one["ActiveState"] not in ("inactive", "failed")]


def _names(found: dict, properties: tuple) -> list:
    return [name for key in properties for name in found[key].split()]


def _job(found: dict) -> str | None:
    return found["Job"] if found["Job"] not in ("", "0") else None


def _lately(found: dict) -> bool:
    """Whether systemd started it by itself a moment ago."""
    started = int(found["ExecMainStartTimestampMonotonic"]) / 1e6
    return int(found["NRestarts"]) > 0 and time.monotonic() - started < _LATELY_SECONDS


def _given_up(found: dict) -> bool:
    """Whether systemd starts it no more by itself. Its Result says so only where no start before had another one."""
    return found["Result"] == "start-limit-hit" or (
        found["ActiveState"] == "failed" and found["Restart"] != "no" and _started_often(found)
    )


def _started_often(found: dict) -> bool:
    """Whether the starts that it may have in a time seem used up: it would be stopped, and not started again."""
    burst = int(found["StartLimitBurst"] or 0)
    return burst > 0 and int(found["NRestarts"]) + 1 >= burst


def _within_limit(found: dict) -> bool:
    """Whether that time since its last start has not passed yet."""
    past = time.monotonic() - int(found["InactiveExitTimestampMonotonic"] or 0) / 1e6
    return past < _seconds(found["StartLimitIntervalUSec"])


def _seconds(text: str) -> float:
    """A time as systemd shows it, `1min 30s`."""
    if text == "infinity":
        return float("inf")
    return sum(
        float(number) * _UNITS[unit] for number, unit in re.findall(r"([\d.]+)(us|ms|min|month|[smhdwy])\b", text)
    )


def _full(name: str) -> str:
    """A unit's name with its type; a service, where it says none."""
    return name if name.rpartition(".")[2] in TYPES else f"{name}.service"


def _user() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return f"user {os.geteuid()}"


def _node() -> str:
    return socket.gethostname()
