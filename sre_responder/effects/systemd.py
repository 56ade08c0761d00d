"""Services of systemd on a host, read from afar; the module `systemd_restart` is what restarts them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sre_responder.effects.action import NO_UNDO, Action, Options, option
from sre_responder.effects.effect import Became, Change, HostProbe
from sre_responder.errors import InputError

_MOVING = ("activating", "deactivating", "reloading", "refreshing", "maintenance")


def _identity(arguments: Mapping[str, Any], answer: Mapping[str, Any]) -> dict[str, Any]:
    """What identifies the state, from what `systemctl show` says."""
    found = answer.get("status") or {}
    if found.get("LoadState") != "loaded":
        raise InputError(
            f"systemd has no {arguments['unit']} that it could start ({found.get('LoadState', 'it says nothing of it')}).",
            cure="Correct responder/systemd-unit.",
        )
    return {
        "state": f"{found['ActiveState']} ({found['SubState']})",
        "pid": int(found["MainPID"]),
        "started": int(found["ExecMainStartTimestampMonotonic"]),
        "invocation": found.get("InvocationID", ""),
    }


def _became(old: Change, now: Mapping[str, Any]) -> Became | None:
    if now == old.before:
        return "not_done"
    if now["state"].startswith(_MOVING):
        return None
    new = now["invocation"] != old.before["invocation"] and now["state"].startswith("active ")
    return "done" if new else "cut_short"


class _Options(Options):
    unit: str = option(
        "Name of the service, with C(.service) or without. An alias is the service that it names; of a template name one instance.",
        "One that systemd starts again and again by itself, or has given up (C(start-limit-hit)), is skipped.",
        annotation="responder/systemd-unit",
        locates=True,
    )
    timeout_s: float = option(
        "How long to wait until it runs, in seconds. systemd itself waits 90 s before it kills what does not end, if its unit sets "
        "nothing else. If this passes first the outcome is unknown, as systemd goes on.",
        default=120.0,
    )


_ACTION = Action(
    name="systemd_restart",
    rung=2,
    platform="systemd",
    on_host=True,
    options=_Options,
    summary="Restart one service of systemd",
    description=(
        "Has systemd restart one service, and waits until a new process of it runs and keeps running.",
        "Units that systemd restarts with it (those that require it or are part of it) are named in the plan.",
        "Runs on the host of the play, as root or with C(become: true).",
    ),
    examples=(("Restart checkout", {"unit": "checkout.service"}),),
    undoable=False,
    undo=NO_UNDO,
)
PROBE = HostProbe(
    _ACTION,
    module="ansible.builtin.systemd_service",
    arguments=lambda arguments: {"name": str(arguments["unit"])},
    understand=_identity,
    told=lambda arguments, state: str(state["state"]),
    became=_became,
)
