"""Undo in the lab: a guarded step as every other, by the capsule that was written before the act."""

from __future__ import annotations

import csv
import io
import json
import re
import socket
from typing import Any

import pytest

from sre_responder.lab import sandbox

pytestmark = pytest.mark.slow


def current(shop: Any) -> str:
    return str((shop.lab.release_roots["east"] / "current").readlink().name)


def attempt_at(shop: Any, action: str, incident: str) -> str:
    """The number of the last attempt at an action."""
    entries = json.loads(shop.responder("timeline", incident, "--json").stdout)
    return str(
        [e["data"]["attempt"] for e in entries if e["type"] == "action.started" and e["data"]["action"] == action][-1]
    )


def names(incident: str, environment: str = "staging") -> list[str]:
    return ["--incident", incident, "--service", "checkout", "--environment", environment, "--json"]


def signed(shop: Any, *command: str, person: str = "iris") -> Any:
    return shop.responder(*command, "--as", person, "--key", f"{shop.lab.home}/keys/{person}")


def test_undo_in_production_is_refused_approved_and_restores(shop: Any) -> None:
    sandbox.break_(shop.lab, "release", "production")
    opened = shop.responder(
        "incident", "open", "--service", "checkout", "--environment", "production", "--severity", "SEV1"
    )
    incident = opened.stdout.strip()
    assert (
        signed(shop, "attest", "service-errors", "--evidence", "https://example.org/1", person="dana").returncode == 0
    )
    bad = current(shop)
    climb = ["run", "service-errors", *names(incident, "production"), "--confirm-production"]
    refused = shop.responder(*climb)
    assert refused.returncode == 3, refused.stderr
    plan = json.loads(shop.responder("approvals", "--json").stdout)[0]["plan"]
    assert signed(shop, "approve", plan, "--yes").returncode == 0
    healed = shop.responder(*climb)
    assert healed.returncode == 0, healed.stderr
    good, number = current(shop), attempt_at(shop, "release_rollback", incident)
    assert good != bad

    assert "--confirm-production" in shop.responder("undo", number).stderr
    refused = shop.responder("undo", number, "--confirm-production")
    assert refused.returncode == 3 and current(shop) == good, refused.stderr
    [command] = re.findall(r"responder (approve [0-9a-f]+)", refused.stderr)
    assert signed(shop, *command.split(), "--yes").returncode == 0
    undone = shop.responder("undo", number, "--confirm-production", "--json")
    assert undone.returncode == 0, undone.stderr
    assert current(shop) == bad
    again = shop.responder("undo", number, "--confirm-production")
    assert again.returncode == 2 and "nothing to undo" in again.stderr
    assert json.loads(shop.responder("audit", "verify", "--json").stdout)["ok"]


def test_undo_is_blocked_by_a_stop(shop: Any) -> None:
    sandbox.break_(shop.lab, "release")
    assert shop.responder("run", "service-errors", *names(shop.lab.incident)).returncode == 0
    good, number = current(shop), attempt_at(shop, "release_rollback", shop.lab.incident)
    assert shop.responder("stop", "hold").returncode == 0
    blocked = shop.responder("undo", number)
    assert blocked.returncode == 4 and current(shop) == good
    assert signed(shop, "lift", "STOP-1").returncode == 0
    assert shop.responder("undo", number).returncode == 0
    assert current(shop) != good


def test_what_was_contained_keeps_the_incident_open_until_it_is_undone(shop: Any) -> None:
    runtime(shop, "set server checkout/west state ready")
    before = servers(shop)["east"]
    done = shop.responder("run", "contain-service", *names(shop.lab.incident))
    assert done.returncode == 0, done.stderr
    assert servers(shop)["east"].startswith("DRAIN")
    [contained] = json.loads(shop.responder("contained", "--json").stdout)
    closed = shop.responder("incident", "close", shop.lab.incident)
    assert closed.returncode == 3 and "contained" in closed.stderr
    assert shop.responder(*contained["command"].split()[1:]).returncode == 0
    assert servers(shop)["east"] == before
    assert json.loads(shop.responder("contained", "--json").stdout) == []
    assert shop.responder("incident", "close", shop.lab.incident).returncode == 0


def runtime(shop: Any, command: str) -> str:
    """One runtime command to the shop's edge."""
    with socket.socket(socket.AF_UNIX) as edge:
        edge.connect(shop.lab.runtime_socket)
        edge.sendall(command.encode() + b"\n")
        with edge.makefile() as answer:
            return answer.read()


def servers(shop: Any) -> dict[str, str]:
    rows = csv.DictReader(io.StringIO(runtime(shop, "show stat").removeprefix("# ")))
    return {row["svname"]: row["status"] for row in rows if row["pxname"] == "checkout"}
