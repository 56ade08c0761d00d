"""Release folders on a host, read from afar; the module `release_rollback` is what changes them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar, Literal

from sre_responder.effects.action import Action, Options, option
from sre_responder.effects.effect import HostProbe
from sre_responder.errors import InputError


def _current(arguments: Mapping[str, Any], answer: Mapping[str, Any]) -> dict[str, Any]:
    """The release that `current` points at, wherever root and releases/ lie; None where it points at none."""
    parts = PurePosixPath(str(answer.get("stat", {}).get("lnk_target", ""))).parts
    releases = [place for place, part in enumerate(parts[:-1]) if part == "releases"]
    return {"release": parts[releases[-1] + 1] if releases and ".." not in parts else None}


def _told(arguments: Mapping[str, Any], state: Mapping[str, Any]) -> str:
    if state["release"] is None:
        raise InputError(f"{arguments['root']}/current leads to no release.", cure="Correct responder/release-root.")
    return f"release {state['release']}"


class _Supervisor(Options):
    server: str = option("Its address as the host reaches it, C(unix:///PATH) or C(http://HOST:PORT).")
    program: str = option("Name of the program, or C(GROUP:*) for all of a group but those that a person stopped.")


class _Systemd(Options):
    unit: str = option("Name of the service, with C(.service) or without.")


class _Hook(Options):
    url: str = option("The address as the host reaches it, without user name and password.")
    method: Literal["GET", "POST", "PUT"] = option("How it is called.", default="POST")


class _Restart(Options):
    one_of: ClassVar = ("supervisor", "systemd", "http")
    supervisor: _Supervisor | None = option(
        "Programs of supervisord. Where it asks for a login, restart them by M(sre.responder.supervisor_restart) instead.",
        default=None,
    )
    systemd: _Systemd | None = option(
        "A service of systemd on the host. It may be in a loop of starts, as a bad release leaves it, but not at its limit of starts.",
        default=None,
    )
    http: _Hook | None = option(
        "An address that makes the program read the release anew; any status from 200 to 299 is success. It is never reached by a proxy.",
        default=None,
    )
    seconds: int = option("How long each program, or the answer of the hook, may take.", default=30)


class _Options(Options):
    root: Path = option(
        "Folder that holds C(releases/) and the link C(current), which points at a release or at a folder in it.",
        annotation="responder/release-root",
        locates=True,
    )
    to: str = option(
        "Name of the release, or V(previous) for the one deployed before the current one, without those that the deploy tool "
        "left again by a rollback or marked as bad.",
        default="previous",
    )
    history: Path | None = option(
        "The deploy tool's log of its deployments, newest last. Lines are C(TIME RELEASE), Capistrano's sentences of "
        "C(revisions.log), or Deployer's JSON of C(.dep/releases_log). A rollback that the tool logged leaves what it left.",
        "Default is the first in O(root) of C(deployments.log), C(revisions.log), C(.dep/releases_log) and C(.dep/releases); "
        "without any of them the folders of C(releases/), ordered by number, by a name that is a time, or by their own time.",
        default=None,
    )
    restart: _Restart | None = option(
        "What runs the release and reads C(current) only when it starts. It is restarted on the host once C(current) was switched, "
        "and again by the undo. It must be there before anything is changed. A switch whose restart fails leaves the target frozen, "
        "with what was changed.",
        default=None,
    )


_ACTION = Action(
    name="release_rollback",
    rung=3,
    platform="release folders",
    on_host=True,
    compares=("responder/systemd-unit",),
    options=_Options,
    summary="Return to an earlier release folder",
    description=(
        "Points the C(current) link at an earlier folder under C(releases/), atomically.",
        "The release must exist and stand in the deployment history.",
        "Runs on the host of the play.",
    ),
    examples=(
        ("Return to the previous release", {"root": "/srv/checkout", "to": "previous"}),
        (
            "Return to the previous release and restart what runs it",
            {
                "root": "/srv/checkout",
                "restart": {"supervisor": {"server": "unix:///run/supervisor.sock", "program": "checkout"}},
            },
        ),
    ),
)


PROBE = HostProbe(
    _ACTION,
    module="ansible.builtin.stat",
    arguments=lambda arguments: {"path": os.path.join(str(arguments["root"]), "current")},
    understand=_current,
    told=_told,
    needs=lambda arguments, before: os.path.join(str(arguments["root"]), "releases", str(before["release"])),
)
