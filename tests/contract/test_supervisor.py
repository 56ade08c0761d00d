"""`supervisor_restart` against a real supervisord, over its unix socket and over http."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from support.control_plane import wait_until

from sre_responder.effects import EFFECTS
from sre_responder.errors import EffectFailed, InputError, NotApplicable, StateMoved

pytestmark = pytest.mark.contract

RESTART = EFFECTS["supervisor_restart"]
STEADY = {"command": "sleep 600", "startsecs": 0}
"""Runs from the moment it is started until it is ended."""
SLOW = {**STEADY, "startsecs": 600, "autostart": "false"}
"""Is starting for as long as any test looks."""

Supervisord = Callable[..., Any]


@pytest.fixture(params=["unix", "http"])
def address(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def arguments(daemon: Any, program: str, address: str = "unix", **more: object) -> dict[str, Any]:
    return {"server": getattr(daemon, address), "program": program, **more}


def test_plan_restarts_nothing(supervisord: Supervisord, address: str) -> None:
    daemon = supervisord(shop=STEADY)
    before = daemon.info("shop")
    change = RESTART.plan(arguments(daemon, "shop", address))
    assert change.before == {"state": "RUNNING", "pid": before["pid"], "started": before["start"]}
    assert change.changed and change.busy is None
    assert daemon.info("shop")["pid"] == before["pid"] and psutil.pid_exists(before["pid"])


def test_restarted_program_has_a_new_process_and_its_neighbour_keeps_its_own(
    supervisord: Supervisord, address: str
) -> None:
    daemon = supervisord(shop=STEADY, neighbour=STEADY)
    old, neighbour = daemon.info("shop")["pid"], daemon.info("neighbour")["pid"]
    words = arguments(daemon, "shop", address)
    observed = RESTART.act(words, RESTART.plan(words))
    now = daemon.info("shop")
    assert observed == {"state": "RUNNING", "pid": now["pid"], "started": now["start"]}
    assert now["pid"] != old and psutil.pid_exists(now["pid"]) and not psutil.pid_exists(old)
    assert daemon.info("neighbour")["pid"] == neighbour


def test_stopped_program_is_started(supervisord: Supervisord, address: str) -> None:
    daemon = supervisord(shop={**STEADY, "autostart": "false"})
    words = arguments(daemon, "shop", address)
    observed = RESTART.act(words, RESTART.plan(words))
    assert observed["state"] == daemon.info("shop")["statename"] == "RUNNING"


def test_act_again_with_the_same_plan_is_refused_because_the_process_is_another(
    supervisord: Supervisord, address: str
) -> None:
    daemon = supervisord(shop=STEADY)
    words = arguments(daemon, "shop", address)
    change = RESTART.plan(words)
    first = RESTART.act(words, change)
    with pytest.raises(StateMoved, match="changed since it was planned"):
        RESTART.act(words, change)
    assert daemon.info("shop")["pid"] == first["pid"]


def test_program_that_somebody_else_restarted_since_the_plan_is_left_alone(
    supervisord: Supervisord, address: str
) -> None:
    daemon = supervisord(shop=STEADY)
    words = arguments(daemon, "shop", address)
    change = RESTART.plan(words)
    daemon.ask("stopProcess", "shop")
    daemon.ask("startProcess", "shop")
    theirs = daemon.info("shop")["pid"]
    with pytest.raises(StateMoved, match=str(theirs)):
        RESTART.act(words, change)
    assert daemon.info("shop")["pid"] == theirs and psutil.pid_exists(theirs)


def test_there_is_nothing_to_undo_because_a_restart_keeps_no_earlier_state(supervisord: Supervisord) -> None:
    change = RESTART.plan(arguments(supervisord(shop=STEADY), "shop"))
    assert change.undo == [] and "keeps no earlier state" in change.undo_note


@pytest.mark.parametrize("unknown", ["shopp", "", "*", "all", "shops:*", ":*", "shop\n"])
def test_unknown_program_names_the_known_ones(supervisord: Supervisord, address: str, unknown: str) -> None:
    daemon = supervisord(shop=STEADY, cache=STEADY)
    with pytest.raises(InputError, match="knows: cache, shop"):
        RESTART.plan(arguments(daemon, unknown, address))


def test_program_name_that_two_groups_share_is_refused_and_restarts_neither(supervisord: Supervisord) -> None:
    daemon = supervisord(shop={**STEADY, "process_name": "main"}, cache={**STEADY, "process_name": "main"})
    pids = {name: daemon.info(f"{name}:main")["pid"] for name in ("shop", "cache")}
    words = arguments(daemon, "main")
    with pytest.raises(InputError, match=r"cache:main.*shop:main"):
        RESTART.act(words, RESTART.plan(words))
    assert {name: daemon.info(f"{name}:main")["pid"] for name in pids} == pids


def test_program_that_ends_at_once_is_told_with_its_state(
    supervisord: Supervisord, address: str, tmp_path: Path
) -> None:
    script = tmp_path / "shop.py"
    script.write_text("import time; time.sleep(600)")
    daemon = supervisord(shop={"command": f"{sys.executable} {script}", "startsecs": 1, "startretries": 0})
    words = arguments(daemon, "shop", address)
    change = RESTART.plan(words)
    script.write_text("raise SystemExit(3)")
    with pytest.raises(EffectFailed, match="shop did not start: FATAL Exited too quickly"):
        RESTART.act(words, change)
    assert daemon.info("shop")["statename"] == "FATAL"
    assert RESTART.became(change, RESTART.read(words)) == "cut_short"


def test_program_that_cannot_be_spawned_is_told_with_the_cause(supervisord: Supervisord, address: str) -> None:
    daemon = supervisord(shop={"command": "/nowhere/shop", "autostart": "false", "startretries": 0})
    words = arguments(daemon, "shop", address)
    with pytest.raises(EffectFailed, match=r"NO_FILE: can.t find command"):
        RESTART.act(words, RESTART.plan(words))


LOOPS = {
    "fails before it counts as started": {
        "command": "/bin/sh -c 'sleep 0.3; exit 1'",
        "startsecs": 1,
        "startretries": 9999,
    },
    "fails soon after it counts as started": {
        "command": "/bin/sh -c 'sleep 2; exit 1'",
        "startsecs": 1,
        "autorestart": "true",
    },
    "ends well and is not meant to": {"command": "/bin/sh -c 'sleep 1.5'", "startsecs": 1, "autorestart": "true"},
}


@pytest.mark.parametrize("loop", LOOPS)
def test_program_that_supervisord_starts_again_and_again_is_no_case_for_a_restart(
    supervisord: Supervisord, loop: str
) -> None:
    daemon = supervisord(shop=LOOPS[loop])
    wait_until(lambda: daemon.info("shop")["stop"], "it has ended once")
    with pytest.raises(NotApplicable, match="supervisord starts shop again and again by itself"):
        RESTART.plan(arguments(daemon, "shop"))


def test_program_that_was_restarted_once_and_stays_is_planned_like_any_other(supervisord: Supervisord) -> None:
    daemon = supervisord(shop=STEADY)
    words = arguments(daemon, "shop")
    RESTART.act(words, RESTART.plan(words))
    now = daemon.info("shop")
    assert RESTART.plan(words).before == {"state": "RUNNING", "pid": now["pid"], "started": now["start"]}


POOL = {**STEADY, "process_name": "%(program_name)s_%(process_num)02d", "numprocs": 3}


def pids(daemon: Any, *names: str) -> list[int]:
    return [daemon.info(name)["pid"] for name in names]


def test_all_of_a_group_are_restarted_one_after_the_other(supervisord: Supervisord, address: str) -> None:
    daemon = supervisord(pool=POOL, neighbour=STEADY)
    members, words = [f"pool:pool_0{n}" for n in range(3)], arguments(daemon, "pool:*", address)
    old, change = pids(daemon, *members, "neighbour"), RESTART.plan(words)
    assert (change.capacity, sorted(change.before["programs"])) == (pytest.approx(2 / 3), members)
    assert change.target.endswith(":pool:*")
    observed = RESTART.act(words, change)
    new = pids(daemon, *members, "neighbour")
    assert [observed["programs"][name]["pid"] for name in members] == new[:3]
    assert not set(new[:3]) & set(old[:3]) and new[3] == old[3]
    assert RESTART.became(change, RESTART.read(words)) == "done"
    with pytest.raises(StateMoved):
        RESTART.act(words, change)


def test_member_of_a_group_that_a_person_stopped_stays_stopped(supervisord: Supervisord) -> None:
    daemon = supervisord(pool=POOL)
    daemon.ask("stopProcess", "pool:pool_01")
    words = arguments(daemon, "pool:*")
    change = RESTART.plan(words)
    assert sorted(change.before["programs"]) == ["pool:pool_00", "pool:pool_02"]
    RESTART.act(words, change)
    assert daemon.info("pool:pool_01")["statename"] == "STOPPED"


def test_group_whose_member_does_not_come_back_is_told_by_name_and_the_next_is_left_alone(
    supervisord: Supervisord, tmp_path: Path
) -> None:
    script = tmp_path / "pool.py"
    script.write_text("import time; time.sleep(600)")
    daemon = supervisord(pool={**POOL, "command": f"{sys.executable} {script}", "startsecs": 1, "startretries": 0})
    words = arguments(daemon, "pool:*")
    wait_until(lambda: daemon.info("pool:pool_02")["statename"] == "RUNNING", "all run")
    change, last = RESTART.plan(words), daemon.info("pool:pool_02")["pid"]
    script.write_text("raise SystemExit(3)")
    with pytest.raises(EffectFailed, match="pool:pool_00 did not start"):
        RESTART.act(words, change)
    assert daemon.info("pool:pool_02")["pid"] == last
    assert RESTART.became(change, RESTART.read(words)) == "cut_short"


def test_name_of_a_group_that_is_no_program_tells_how_to_name_the_group(supervisord: Supervisord) -> None:
    with pytest.raises(InputError, match=r"or pool:\* for its whole group"):
        RESTART.plan(arguments(supervisord(pool=POOL), "pool"))


def test_program_that_is_starting_is_busy(supervisord: Supervisord) -> None:
    daemon = supervisord(shop=SLOW)
    daemon.ask("startProcess", "shop", False)
    assert RESTART.plan(arguments(daemon, "shop")).busy == "supervisord has shop in STARTING"


def test_program_that_does_not_start_in_time_is_told(supervisord: Supervisord) -> None:
    daemon = supervisord(shop=SLOW)
    words = arguments(daemon, "shop", timeout_s=0.2)
    change = RESTART.plan(words)
    with pytest.raises(EffectFailed, match="shop did not start: STARTING"):
        RESTART.act(words, change)
    assert RESTART.became(change, RESTART.read(words)) is None, "it may come up yet"


def test_what_became_of_a_restart_is_told_by_the_process(supervisord: Supervisord, address: str) -> None:
    daemon = supervisord(shop=STEADY)
    words = arguments(daemon, "shop", address)
    change = RESTART.plan(words)
    told = [RESTART.became(change, RESTART.read(words))]
    daemon.ask("stopProcess", "shop")
    told.append(RESTART.became(change, RESTART.read(words)))
    daemon.ask("startProcess", "shop")
    told.append(RESTART.became(change, RESTART.read(words)))
    assert told == ["not_done", "cut_short", "done"]


def test_supervisord_that_does_not_answer_is_bad_input(free_port: Callable[[], int], tmp_path: Path) -> None:
    for server in (f"http://127.0.0.1:{free_port()}", f"unix://{tmp_path}/none"):
        with pytest.raises(InputError, match="cannot be asked"):
            RESTART.plan({"server": server, "program": "shop"})
