"""Whole incidents in the lab: stop, crash, approval, alert, record."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil
import pytest

from sre_responder.lab import sandbox
from sre_responder.system.prove import processes_of

pytestmark = pytest.mark.slow


def wait_for(shop: Any, type: str, action: str = "") -> dict[str, Any]:
    """The first entry of that type on the record."""
    until = time.monotonic() + 300
    while time.monotonic() < until:
        with closing(sqlite3.connect(f"file:{shop.lab.folder}/state/ledger.db?mode=ro", uri=True)) as ledger:
            for (data,) in ledger.execute("SELECT data FROM audit WHERE type = ? ORDER BY id", (type,)):
                found: dict[str, Any] = json.loads(data)
                if action in ("", found.get("action")):
                    return found
        time.sleep(0.01)
    raise AssertionError(f"no {type} {action} on the record")


def test_stop_ends_a_run_with_proof_and_blocks_until_it_is_lifted(shop: Any) -> None:
    sandbox.break_(shop.lab, "release")
    run = shop.start(*shop.climb())
    wait_for(shop, "action.started")
    id = wait_for(shop, "run.started")["run"]
    stopped = shop.responder("stop", "the database is being moved", "--json")
    told = json.loads(stopped.stdout)
    assert told["left"] == [] and f"run {id}" in told["ended"]
    assert processes_of(id) == []
    run.communicate(timeout=300)
    assert run.returncode == 4
    blocked = shop.responder(*shop.climb())
    assert blocked.returncode == 4
    line = next(json.loads(row) for row in blocked.stderr.splitlines() if row.startswith("{"))
    assert set(line) == {"timestamp", "incident_id", "action_blocked", "reason", "outcome"}
    assert shop.responder("lift", "STOP-1", "--as", "dana", "--key", f"{shop.lab.home}/keys/dana").returncode == 3
    assert shop.responder("lift", "STOP-1", "--as", "iris", "--key", f"{shop.lab.home}/keys/iris").returncode == 0
    assert json.loads(shop.responder("stops", "--json").stdout) == []


def test_a_run_that_was_killed_in_its_effect_freezes_its_target_until_settled_and_goes_on(shop: Any) -> None:
    sandbox.break_(shop.lab, "process")
    supervisord = psutil.Process(int((shop.lab.folder / "run" / "supervisord.pid").read_text()))
    run = shop.start(*shop.climb())
    wait_for(shop, "action.started", "supervisor_restart")
    supervisord.suspend()  # the effect waits for its answer
    for process in [*psutil.Process(run.pid).children(recursive=True), psutil.Process(run.pid)]:
        os.kill(process.pid, signal.SIGKILL)
    run.communicate()
    supervisord.resume()
    frozen = json.loads(shop.responder("status", "--json").stdout)["frozen"]
    assert len(frozen) == 1 and "supervisor" in frozen[0]["what"]
    target = frozen[0]["command"].removeprefix("responder settle '").removesuffix("'")
    refused = shop.responder(*shop.climb())
    healed_meanwhile = "healed" in refused.stdout
    assert refused.returncode == 3 or healed_meanwhile, refused.stdout + refused.stderr
    settled = shop.responder("settle", target, "--json")
    assert settled.returncode == 0, settled.stderr
    assert json.loads(settled.stdout)["happened"] in (True, False)
    assert json.loads(shop.responder("status", "--json").stdout)["frozen"] == []
    went_on = shop.responder(*shop.climb())
    assert went_on.returncode in (0, 3, 6), went_on.stderr
    assert json.loads(shop.responder("audit", "verify", "--json").stdout)["ok"]


def test_production_rollback_is_refused_approved_and_then_goes_on_where_it_stood(shop: Any) -> None:
    fault = sandbox.break_(shop.lab, "release", "production")
    alert = sandbox.await_alert(shop.lab, fault["id"])
    keys = shop.lab.home / "keys"
    attested = shop.responder(
        "attest", "service-errors", "--evidence", "https://example.org/1", "--as", "dana", "--key", f"{keys}/dana"
    )
    assert attested.returncode == 0, attested.stderr
    refused = shop.responder("respond", "--alert", str(alert), "--confirm-production", "--json")
    assert refused.returncode == 3, refused.stderr
    steps = json.loads(refused.stdout)["steps"]
    assert [step["result"] for step in steps] == ["not_improved", "not_improved", "refused"]
    waiting = json.loads(shop.responder("approvals", "--json").stdout)
    assert [one["action"] for one in waiting] == ["release_rollback"]
    plan = waiting[0]["plan"]
    assert shop.responder("approve", plan, "--as", "iris", "--key", f"{keys}/iris").returncode == 2  # nobody was asked
    outside = shop.responder("approve", plan, "--as", "iris", "--key", f"{keys}/dana", "--yes")
    assert outside.returncode == 3, outside.stderr
    granted = shop.responder("approve", plan, "--as", "iris", "--key", f"{keys}/iris", "--yes")
    assert granted.returncode == 0, granted.stderr
    healed = shop.responder("respond", "--alert", str(alert), "--confirm-production", "--json")
    assert healed.returncode == 0, healed.stderr
    results = {step["action"]: step["result"] for step in json.loads(healed.stdout)["steps"]}
    assert results == {
        "http_cache_purge": "tried", "supervisor_restart": "tried", "release_rollback": "improved", "haproxy_failover": "healthy",
    }  # fmt: skip
    assert (shop.lab.release_roots["east"] / "current").readlink().name == "1.4.0"


def test_undo_restores_the_state_before_byte_for_byte(shop: Any) -> None:
    sandbox.break_(shop.lab, "release")
    bad = (shop.lab.release_roots["east"] / "current").readlink()
    assert shop.responder(*shop.climb()).returncode == 0
    attempt = next(
        line.split()[2]
        for line in json.loads(shop.responder("incident", "show", shop.lab.incident, "--json").stdout)["handoff"][
            "undo"
        ]
        if "undo 3" in line
    )
    undone = shop.responder("undo", attempt, "--json")
    assert undone.returncode == 0, undone.stderr
    assert (shop.lab.release_roots["east"] / "current").readlink() == bad


def test_verify_finds_one_changed_byte(shop: Any) -> None:
    assert shop.responder("audit", "verify").returncode == 0
    with closing(sqlite3.connect(shop.lab.folder / "state" / "ledger.db", isolation_level=None)) as ledger:
        ledger.execute("DROP TRIGGER audit_no_update")
        ledger.execute("UPDATE audit SET summary = replace(summary, 'S', 's') WHERE id = 1")
    found = shop.responder("audit", "verify", "--json")
    assert found.returncode == 1
    assert json.loads(found.stdout)["broken_at"] == 1


def test_alert_text_is_data_shown_escaped_and_never_run(shop: Any, tmp_path: Path) -> None:
    mark = tmp_path / "x"
    sandbox.break_(shop.lab, "cache")
    text = f"{{{{ lookup('pipe','touch {mark}') }}}}; touch {mark}\x1b[31m" + "A" * 5000
    labels = {"alertname": "ServiceErrors", "service": "checkout", "environment": "staging", "severity": "SEV3"}
    alert = tmp_path / "alert.json"
    alert.write_text(
        json.dumps(
            {"version": "4", "alerts": [{"status": "firing", "labels": labels, "annotations": {"summary": text}}]}
        )
    )
    done = shop.responder("respond", "--alert", str(alert), "--json")
    assert done.returncode == 0, done.stderr
    assert not mark.exists()
    assert "\x1b[31m" not in done.stdout + done.stderr
    assert "cut at 200" in shop.responder("incident", "list").stdout


def test_plain_ansible_playbook_of_the_shipped_runbook_is_refused_as_the_command_is(shop: Any) -> None:
    (shop.lab.folder / "stop" / "EMERGENCY_STOP").write_text("hold")
    sandbox.break_(shop.lab, "cache")
    names = json.dumps({"incident": shop.lab.incident, "service": "checkout", "target": "staging"})
    done = subprocess.run(
        [str(Path(sys.executable).parent / "ansible-playbook"), "sre.responder.respond", "-e", names],
        env=shop.environ, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 2 and "emergency stop" in done.stdout
    assert shop.responder(*shop.climb()).returncode == 4


@pytest.mark.parametrize(
    ("arguments", "stdin", "named"),
    [
        (["respond", "--alert", "-"], "not json", "line 1"),
        (["respond", "--alert", "-"], json.dumps({"alerts": []}), "alerts"),
        (["respond", "--alert", "-"], "[" * 200_000, "nested"),
        (["respond", "--alert", "-"], "x" * (9 << 20), "8 MiB"),
        (["run", "nosuch", "--incident", "INC-1234", "--service", "a-b", "--environment", "dev"], None, "nosuch"),
    ],
)
def test_bad_input_exits_with_two_and_names_the_place(
    without_home: Any, arguments: list[str], stdin: str | None, named: str
) -> None:
    assert without_home("init", "--profile", "homelab").returncode == 0
    done = without_home(*arguments, stdin=stdin)
    assert done.returncode == 2, done.stderr
    assert named in done.stderr


def test_a_policy_error_names_file_line_and_key(without_home: Any, tmp_path: Path) -> None:
    assert without_home("init").returncode == 0
    policy = tmp_path / ".config" / "sre-responder" / "policy.yml"
    policy.write_text("profile: production\nloop:\n  attempts: many\n")
    done = without_home("policy", "check")
    assert done.returncode == 2
    assert "policy.yml:3: loop.attempts" in done.stderr.replace("\n", "")


def test_plain_ansible_playbook_of_the_shipped_runbook_heals_as_the_command_does(shop: Any) -> None:
    """By the collection's own name, which makes Ansible write into every task; it is the declared step all the same."""
    sandbox.break_(shop.lab, "cache")
    names = json.dumps({"incident": shop.lab.incident, "service": "checkout", "target": "staging"})
    done = subprocess.run(
        [str(Path(sys.executable).parent / "ansible-playbook"), "sre.responder.respond", "-e", names],
        env=shop.environ, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=90, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert wait_for(shop, "action.ended")["outcome"] == "improved"
    assert sandbox.rate(shop.lab) == 1.0
