"""`systemd_restart` on a machine that a real systemd runs: what it plans, restarts, refuses, and says of what went wrong."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from bypass import world as guarded
from bypass.world import Play, World
from support.systemd_machine import Machine, until

from sre_responder.drive.ask import ask
from sre_responder.effects import PROBES, Change
from sre_responder.errors import InputError

pytestmark = pytest.mark.contract

UNIT = "responder/systemd-unit"
PROBE = PROBES["systemd_restart"]


def plan(machine: Machine, unit: str, *others: str) -> dict[str, Any]:
    return machine.module("systemd_restart", check=True, unit=unit, _deadline=60, _others={UNIT: list(others)})


def act(machine: Machine, planned: dict[str, Any], **arguments: Any) -> dict[str, Any]:
    unit = planned["target"].partition(":")[2]
    expected = {"target": f"{planned['node']}:{planned['target']}", **planned["before"]}
    given = {"timeout_s": 20.0, **arguments}
    return machine.module("systemd_restart", check=False, unit=unit, _plan="p", _expect=expected, **given)


def state(machine: Machine, unit: str) -> list[str]:
    return [machine.show(unit, name) for name in ("ActiveState", "MainPID", "InvocationID")]


def test_plan_changes_nothing_and_names_what_identifies_the_process(machine: Machine) -> None:
    unit = machine.service("plan.service")
    before = state(machine, unit)
    planned = plan(machine, "plan")
    assert planned["target"] == "systemd:plan.service" and planned["node"] == "inner"
    assert planned["before"]["state"] == "active (running)"
    assert [str(planned["before"][key]) for key in ("pid", "invocation")] == before[1:]
    assert state(machine, unit) == before


def test_act_restarts_it_once_and_the_same_plan_never_again(machine: Machine) -> None:
    unit = machine.service("act.service")
    planned = plan(machine, unit)
    done = act(machine, planned)
    assert done["observed"]["state"] == "active (running)", done
    assert done["observed"]["pid"] != planned["before"]["pid"]
    now = state(machine, unit)
    again = act(machine, planned)
    assert again["failed"] and again["moved"] and state(machine, unit) == now


def test_without_a_plan_of_the_guard_nothing_is_restarted(machine: Machine) -> None:
    unit = machine.service("alone.service")
    before = state(machine, unit)
    answer = machine.module("systemd_restart", check=False, unit=unit)
    assert answer["failed"] and "only with a plan" in answer["msg"] and state(machine, unit) == before


def test_unit_that_moved_since_the_plan_is_left_alone(machine: Machine) -> None:
    unit = machine.service("moved.service")
    planned = plan(machine, unit)
    machine.systemctl("restart", unit)
    now = state(machine, unit)
    moved = act(machine, planned)
    assert moved["moved"] and "not as the plan saw it" in moved["msg"] and state(machine, unit) == now
    machine.systemctl("stop", unit)
    machine.mask(unit)
    masked = act(machine, planned)
    assert masked["moved"] and "masked" in masked["msg"]


def test_stopped_unit_is_started(machine: Machine) -> None:
    unit = machine.service("stopped.service")
    machine.systemctl("stop", unit)
    done = act(machine, plan(machine, unit))
    assert done["observed"]["state"] == "active (running)", done


@pytest.mark.parametrize(
    ("unit", "words"),
    [
        ("chekout", "has no chekout.service. Did you mean checkout.service"),
        ("checkout.socket", "is a socket. Only services"),
        ("sysinit.target", "is a target. Only services"),
        ("-.mount", "is a mount. Only services"),
        ("check out", "is not a valid unit name"),
        ("checkout*", "is not a valid unit name"),
        ("--version", "has no --version.service"),
        ("", "is not a valid unit name"),
        ("checkout.service\nx", "is not a valid unit name"),
        ("worker@", "is a template. Name one of its instances: worker@1.service"),
    ],
)
def test_name_that_leads_to_no_service_is_refused_with_what_is_near(machine: Machine, unit: str, words: str) -> None:
    machine.service("checkout.service")
    machine.unit("worker@.service", "[Service]\nExecStart=/bin/sleep 600\n")
    machine.systemctl("start", "worker@1")
    answer = plan(machine, unit)
    assert answer["failed"] and words in answer["msg"], answer


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[Service]\nType=oneshot\nExecStart=/bin/true\n", "a restart would do that work again"),
        ("[Unit]\nRefuseManualStop=yes\n[Service]\nExecStart=/bin/sleep 9\n", "refuses to be started or stopped"),
        ("[Service]\nExecStart=not-absolute/\n", "cannot load"),
        ("[Service]\nRestart=always\n", "cannot load"),
    ],
)
def test_unit_that_no_restart_is_for_is_refused(machine: Machine, text: str, words: str) -> None:
    unit = machine.unit(f"odd-{abs(hash(text))}.service", text)
    answer = plan(machine, unit)
    assert answer["failed"] and words in answer["msg"] and not answer["not_applicable"], answer


def test_masked_unit_is_refused_with_the_command_that_unmasks_it(machine: Machine) -> None:
    unit = machine.service("masked.service")
    machine.systemctl("stop", unit)
    machine.mask(unit)
    answer = plan(machine, unit)
    assert answer["failed"] and "systemctl unmask masked.service" in answer["msg"], answer


def test_unit_that_systemd_starts_again_and_again_is_no_case_for_a_restart(machine: Machine) -> None:
    loop = {"Restart": "always", "RestartSec": "200ms"}
    unit = machine.service("loop.service", "/bin/sh -c 'sleep 0.3; exit 7'", "StartLimitIntervalSec=0", **loop)
    until(lambda: machine.show(unit, "NRestarts") != "0", "systemd has started it again")
    answer = plan(machine, unit)
    machine.systemctl("stop", unit)
    assert answer["not_applicable"] and "again and again by itself" in answer["msg"], answer


def test_unit_that_hit_its_start_limit_is_no_case_and_its_counter_is_left(machine: Machine) -> None:
    limit = "StartLimitIntervalSec=60\nStartLimitBurst=2"
    unit = machine.service("limit.service", "/bin/false", limit, Restart="always", RestartSec="50ms")
    until(lambda: machine.show(unit, "ActiveState") == "failed", "systemd has given up")
    answer = plan(machine, unit)
    assert answer["not_applicable"] and "2 times in 1min" in answer["msg"], answer
    assert "systemctl reset-failed limit.service" in answer["msg"]
    assert machine.show(unit, "NRestarts") == "2", "reset-failed would have begun to count anew"


def test_unit_that_could_be_stopped_and_not_started_again_is_left_running(machine: Machine) -> None:
    unit = machine.service("once.service", unit="StartLimitIntervalSec=60\nStartLimitBurst=1")
    answer = plan(machine, unit)
    assert answer["not_applicable"] and "would refuse the next start" in answer["msg"], answer
    assert state(machine, unit)[0] == "active"


def test_unit_that_systemd_is_stopping_is_busy(machine: Machine) -> None:
    unit = machine.service("busy.service", "/bin/sh -c 'trap \"\" TERM; while :; do sleep 1; done'", TimeoutStopSec=5)
    machine.systemctl("stop", "--no-block", unit)
    assert "deactivating" in plan(machine, unit)["busy"]


def test_start_that_fails_says_how_and_what_was_written_last(machine: Machine) -> None:
    flag = machine.folder / "broken"
    words = f"/bin/sh -c 'test -e {flag} && echo no disk && exit 3; exec sleep 600'"
    unit = machine.service("fails.service", words)
    planned = plan(machine, unit)
    flag.touch()
    answer = act(machine, planned)
    assert answer["failed"] and not answer["moved"] and not answer["unknown"], answer
    assert "fails.service did not come back: it is failed (failed), result exit-code, exit status 3" in answer["msg"]
    assert "It wrote last: no disk" in answer["msg"]


def test_process_that_ends_in_its_first_moment_is_no_success(machine: Machine) -> None:
    flag = machine.folder / "short"
    words = f"/bin/sh -c 'test -e {flag} && sleep 1 && exit 0; exec sleep 600'"
    unit = machine.service("short.service", words)
    planned = plan(machine, unit)
    flag.touch()
    assert "did not come back: it is inactive (dead)" in act(machine, planned)["msg"]


def test_restart_that_takes_longer_than_its_limit_is_unknown_and_systemd_goes_on(machine: Machine) -> None:
    unit = machine.service("slow.service", "/bin/sh -c 'trap \"\" TERM; while :; do sleep 1; done'", TimeoutStopSec=4)
    planned = plan(machine, unit)
    answer = act(machine, planned, timeout_s=1)
    assert answer["unknown"] and "systemd goes on by itself (it kills what does not end after 4s)" in answer["msg"], (
        answer
    )
    until(lambda: state(machine, unit)[0] == "active", "systemd has restarted it")
    assert state(machine, unit)[2] != planned["before"]["invocation"]


def test_notify_service_is_done_once_it_says_that_it_is_ready(machine: Machine) -> None:
    words = "/bin/sh -c 'sleep 1; systemd-notify --ready; exec sleep 600'"
    unit = machine.service("notify.service", words, Type="notify", NotifyAccess="all")
    done = act(machine, plan(machine, unit))
    assert done["observed"]["state"] == "active (running)", done


def test_what_is_restarted_or_stopped_with_it_is_named(machine: Machine) -> None:
    unit = machine.service("base.service")
    machine.service("part.service", unit="PartOf=base.service")
    machine.service("needs.service", unit="Requires=base.service\nAfter=base.service")
    machine.service("deep.service", unit="BindsTo=needs.service\nAfter=needs.service")
    machine.unit("sleeps.service", "[Unit]\nPartOf=base.service\n[Service]\nExecStart=/bin/sleep 600\n")
    before = {name: state(machine, name) for name in ("part.service", "needs.service", "deep.service")}
    planned = plan(machine, unit, "deep", "part.service", "sleeps", "unrelated")
    assert sorted(planned["evidence"]["restarts_with_it"]) == sorted(before)
    assert sorted(planned["one"][UNIT]) == ["deep", "part.service"]
    assert "observed" in act(machine, planned)
    assert all(state(machine, name)[2] != was[2] for name, was in before.items()), "systemd did restart them"
    assert state(machine, "sleeps.service")[0] == "inactive"


def test_unit_whose_start_stops_another_says_so(machine: Machine) -> None:
    blue = machine.service("blue.service")
    machine.unit("green.service", "[Unit]\nConflicts=blue.service\n[Service]\nExecStart=/bin/sleep 600\n")
    planned = plan(machine, "green", "blue")
    assert planned["evidence"]["stops"] == [blue] and planned["one"][UNIT] == ["blue"]


@pytest.mark.parametrize("asked", ["web.service", "web", "shop", "store.service"])
def test_unit_is_one_under_each_of_its_names(machine: Machine, asked: str) -> None:
    machine.service("web.service")
    for alias in ("shop.service", "store.service"):
        if not (link := machine.folder / "units" / alias).is_symlink():
            link.symlink_to("web.service")
    machine.systemctl("daemon-reload")
    others = [
        "web",
        "web.service",
        " shop ",
        "store",
        "/etc/systemd/system/shop.service",
        "sshd",
        "web.socket",
        "we*",
        "",
    ]
    planned = plan(machine, asked, *others)
    assert planned["target"] == "systemd:web.service"
    assert planned["one"][UNIT] == ["web", "web.service", " shop ", "store", "/etc/systemd/system/shop.service"]


def test_template_in_the_catalogue_stands_for_each_of_its_instances(machine: Machine) -> None:
    machine.unit("pool@.service", "[Service]\nExecStart=/bin/sleep 600\n")
    machine.systemctl("start", "pool@1", "pool@2")
    planned = plan(machine, "pool@1", "pool@1.service", "pool@2", "pool@", "pool@.service", "po@", "pool")
    assert planned["one"][UNIT] == ["pool@1.service", "pool@", "pool@.service"]


def test_definition_that_changed_on_disk_is_said_in_the_plan(machine: Machine) -> None:
    unit = machine.service("stale.service")
    time.sleep(1.1)  # systemd compares the times of files
    (machine.folder / "units" / unit).write_text("[Service]\nExecStart=/bin/sleep 601\n")
    assert "as it was read before" in plan(machine, unit)["evidence"]["stale"]


def test_answer_in_another_language_is_read_the_same(machine: Machine) -> None:
    unit = machine.service("lingua.service")
    machine.systemctl("set-environment", "LANG=de_DE.UTF-8")
    assert plan(machine, unit)["before"]["state"] == "active (running)"


def test_host_that_systemd_does_not_run_is_named(machine: Machine) -> None:
    without = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs none /run && exec "$@"', "sh"]
    answer = machine.module("systemd_restart", check=True, through=without, unit="sshd")
    assert answer["failed"] and "inner is not run by systemd" in answer["msg"], answer


def test_user_who_may_not_is_told_to_become_root(machine: Machine, component: Callable[[str, str], Path]) -> None:
    nobody = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"]
    python = str(component("/usr/bin/python3", "python3"))  # that of the tests may be root's alone
    answer = machine.module("systemd_restart", check=True, through=nobody, python=python, unit="sshd")
    assert answer["failed"] and "Set become: true" in answer["msg"], answer


def over_ssh(world: World, machine: Machine, action: str, url: str, **arguments: Any) -> None:
    """Have the world's runbook take this action on the machine, and measure its success there."""
    hosts = {"inner": machine.reached}
    (world.home.folder / "inventory.yml").write_text(yaml.safe_dump({"all": {"hosts": hosts}}, width=1000))

    def change(play: Play) -> None:
        play["hosts"] = "inner"
        del play["connection"], play["vars"]["ansible_python_interpreter"]
        play["vars"]["runbook"]["success"]["url"] = url
        given = play["tasks"][1].pop("sre.responder.release_rollback")
        names = {name: given[name] for name in ("incident", "service", "environment")}
        play["tasks"][1][f"sre.responder.{action}"] = {**names, **arguments}

    world.write(change)


def annotate(world: World, own: dict[str, str], production: dict[str, str] | None = None) -> None:
    """Give checkout these annotations, and a service of production its own."""
    catalogue = world.home.folder / "catalogue.yml"
    mine = yaml.safe_load(catalogue.read_text())
    mine["metadata"]["annotations"].update(own)
    said = {"responder/environments": "production", **(production or {})}
    other = {**mine, "metadata": {"name": "payments", "annotations": said}}
    catalogue.write_text(yaml.safe_dump_all([mine, other] if production else [mine]))


@pytest.fixture
def world(machine: Machine, tmp_path: Path) -> Iterator[World]:
    """A world whose folders the machine sees too."""
    with guarded.world(machine.folder / tmp_path.name) as here:
        yield here


@pytest.fixture
def ill(origin: Callable[..., Any]) -> str:
    """The address of a probe that says that the service is unhealthy, whatever is done."""
    return f"http://127.0.0.1:{origin(lambda: json.dumps({'ok': False})).port}/"


@pytest.fixture
def hung(machine: Machine, world: World, origin: Callable[..., Any]) -> Iterator[str]:
    """A service that hangs, does not end when asked to, and is well once it was started again; the address of its probe."""
    flag = world.root / "hung"
    words = "/bin/sh -c 'trap \"\" TERM; while :; do sleep 1; done'"
    machine.service("hung.service", words, ExecStartPre=f"/bin/rm -f {flag}", TimeoutStopSec=1)
    flag.touch()
    yield f"http://127.0.0.1:{origin(lambda: json.dumps({'ok': not flag.exists()})).port}/"
    machine.run("systemctl", "kill", "--signal=KILL", "hung.service")


def test_run_over_ssh_restarts_a_hung_service_and_heals(machine: Machine, world: World, hung: str) -> None:
    over_ssh(world, machine, "systemd_restart", hung)
    annotate(world, {UNIT: "hung"})
    before = state(machine, "hung.service")
    dry = world.play("-i", str(world.home.folder / "inventory.yml"), "--check", "--diff")
    assert (dry.returncode, state(machine, "hung.service")) == (0, before), dry.stdout
    assert f"-hung.service pid {before[1]} active (running)" in dry.stdout
    done = world.drive()
    assert done.returncode == 0, done.stdout + done.stderr
    assert state(machine, "hung.service")[2] != before[2] and not (world.root / "hung").exists()
    assert world.entries("action.started")[0].data["target"] == "inner:systemd:hung.service"
    assert (world.drive().returncode, world.started()) == (0, 1), "it is well, so nothing is done again"
    refused = world.responder("undo", "1")
    assert refused.returncode != 0 and "a restart keeps no earlier state" in refused.stderr


def test_probe_of_settle_and_check_reads_the_same_state_and_changes_nothing(
    machine: Machine, world: World, hung: str
) -> None:
    over_ssh(world, machine, "systemd_restart", hung)
    annotate(world, {UNIT: "hung", "responder/hosts": "inner"})
    before = state(machine, "hung.service")
    planned = plan(machine, "hung")["before"]
    answer = ask("inner", PROBE.module, PROBE.arguments({"unit": "hung"}), world.home)
    assert (PROBE.understand({"unit": "hung"}, answer), answer["changed"]) == (planned, False)
    told = world.responder("check", "checkout")
    assert "systemd hung on inner" in told.stdout and "active (running)" in told.stdout, told.stdout
    assert state(machine, "hung.service") == before
    with pytest.raises(InputError, match="has no nowhere that it could start"):
        PROBE.understand({"unit": "nowhere"}, ask("inner", PROBE.module, {"name": "nowhere"}, world.home))


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        ({}, "not_done"),
        ({"pid": 2, "started": 2, "invocation": "b"}, "done"),
        ({"state": "failed (failed)", "pid": 0, "invocation": "b"}, "cut_short"),
        ({"state": "inactive (dead)", "pid": 0}, "cut_short"),
        ({"state": "deactivating (stop-sigterm)"}, None),
    ],
)
def test_what_became_of_a_restart_is_told_by_the_process(now: dict[str, Any], expected: str | None) -> None:
    before = {"state": "active (running)", "pid": 1, "started": 1, "invocation": "a"}
    assert PROBE.became(Change("x", before, {}), {**before, **now}) == expected


@pytest.mark.parametrize(
    ("action", "told"),
    [("systemd_restart", "vault.service"), ("systemd_restart", "desk"), ("release_rollback", "bank")],
)
def test_unit_of_production_is_not_restarted_under_a_milder_name(
    machine: Machine, world: World, action: str, told: str
) -> None:
    unit = machine.service("bank.service")
    if not (link := machine.folder / "units/vault.service").is_symlink():
        link.symlink_to("bank.service")
    machine.service("desk.service", unit="PartOf=bank.service")
    before = state(machine, unit)
    ways: dict[str, dict[str, Any]] = {
        "systemd_restart": {"unit": "bank"},
        "release_rollback": {"restart": {"systemd": {"unit": "vault"}}},
    }
    over_ssh(world, machine, action, "http://127.0.0.1:1/", **ways[action])
    annotate(world, {"responder/hosts": "inner"}, {UNIT: told, "responder/hosts": "inner"})
    done = world.drive()
    assert (done.returncode, world.started(), state(machine, unit)) == (3, 0, before), done.stdout
    assert "that of payments in production" in world.refusals() and world.release == "2"


def test_unit_of_that_name_on_another_host_is_another(machine: Machine, world: World, hung: str) -> None:
    over_ssh(world, machine, "systemd_restart", hung, unit="hung")
    annotate(world, {"responder/hosts": "inner"}, {UNIT: "hung.service", "responder/hosts": "elsewhere"})
    done = world.drive()
    assert (done.returncode, world.started()) == (0, 1), done.stdout


def test_service_in_a_loop_of_starts_is_skipped_on_the_record(machine: Machine, world: World) -> None:
    loop = {"Restart": "always", "RestartSec": "200ms"}
    unit = machine.service("spin.service", "/bin/sh -c 'sleep 0.3; exit 7'", "StartLimitIntervalSec=0", **loop)
    over_ssh(world, machine, "systemd_restart", "http://127.0.0.1:1/", unit=unit)
    world.drive()
    machine.systemctl("stop", unit)
    [skipped] = world.entries("action.skipped")
    assert (skipped.data["reason"], world.started()) == ("not_applicable", 0)
    assert "systemd starts spin.service again and again by itself" in skipped.summary


def test_restart_that_fails_freezes_its_target_and_settle_says_what_became_of_it(
    machine: Machine, world: World, ill: str
) -> None:
    flag = world.root / "broken"
    words = f"/bin/sh -c 'test -e {flag} && exit 3; exec sleep 600'"
    unit = machine.service("breaks.service", words)
    over_ssh(world, machine, "systemd_restart", ill, unit=unit)
    flag.touch()
    done = world.drive()
    said = " ".join((done.stdout + done.stderr).split())
    assert done.returncode == 5 and "breaks.service did not come back" in said and "exit status 3" in said, said
    settled = world.responder("settle", "inner:systemd:breaks.service")
    assert settled.returncode == 0 and "begun and cut short" in settled.stdout + settled.stderr, settled.stderr


@pytest.fixture
def serving(machine: Machine, world: World, origin: Callable[..., Any]) -> str:
    """A service that resolves `current` when it starts, as most do; its probe says it is well once it runs release 1."""
    file = world.root / "serves"
    words = f"/bin/sh -c 'readlink {world.root}/app/current > {file}; exec sleep 600'"
    machine.service("serving.service", words)
    machine.systemctl("restart", "serving.service")  # an earlier test's may run
    until(lambda: serves(world), "the service has read current")
    return f"http://127.0.0.1:{origin(lambda: json.dumps({'ok': serves(world) == '1'})).port}/"


def serves(world: World) -> str:
    file = world.root / "serves"
    return file.read_text().strip().rpartition("/")[2] if file.exists() else ""


def test_release_and_its_service_return_together_and_so_does_their_undo(
    machine: Machine, world: World, serving: str
) -> None:
    over_ssh(world, machine, "release_rollback", serving, restart={"systemd": {"unit": "serving"}})
    before = state(machine, "serving.service")
    assert serves(world) == "2"
    done = world.drive()
    assert (done.returncode, world.release, serves(world)) == (0, "1", "1"), done.stdout + done.stderr
    between = state(machine, "serving.service")
    assert between[2] != before[2]
    undone = world.responder("undo", "1")
    assert (undone.returncode, world.release) == (0, "2"), undone.stderr
    until(lambda: serves(world) == "2", "it has read current again")
    assert state(machine, "serving.service")[2] != between[2]


@pytest.mark.parametrize(
    ("unit", "why"), [("servin", "Did you mean serving.service"), ("sysinit.target", "is a target")]
)
def test_release_whose_service_is_not_there_is_not_switched(
    machine: Machine, world: World, serving: str, unit: str, why: str
) -> None:
    over_ssh(world, machine, "release_rollback", serving, restart={"systemd": {"unit": unit}})
    done = world.drive()
    assert (done.returncode, world.release, world.started()) == (3, "2", 0), done.stdout
    assert why in world.refusals()


def test_switch_whose_service_does_not_start_is_frozen_with_what_was_changed(
    machine: Machine, world: World, ill: str
) -> None:
    words = f"/bin/sh -c '[ $$(basename $$(readlink {world.root}/app/current)) = 2 ] || exit 3; exec sleep 600'"
    machine.service("picky.service", words)
    over_ssh(world, machine, "release_rollback", ill, restart={"systemd": {"unit": "picky"}})
    done = world.drive()
    said = " ".join((done.stdout + done.stderr).split())
    assert (done.returncode, world.release) == (5, "1"), said
    assert "current points at 1 now, and picky.service did not come back" in said


def test_release_may_be_left_where_its_service_starts_in_a_loop_and_not_at_its_start_limit(machine: Machine) -> None:
    root = machine.folder / "looping"
    for release in ("1", "2"):
        (root / "releases" / release).mkdir(parents=True)
    (root / "current").symlink_to("releases/2")
    loops = machine.service("loops.service", "/bin/false", Restart="always", RestartSec="60s")
    limit = "StartLimitIntervalSec=60\nStartLimitBurst=2"
    ended = machine.service("ended.service", "/bin/false", limit, Restart="always", RestartSec="50ms")
    until(lambda: machine.show(ended, "ActiveState") == "failed", "systemd has given up")
    allowed, refused = (
        machine.module("release_rollback", check=True, root=str(root), restart={"systemd": {"unit": unit}})
        for unit in (loops, ended)
    )
    assert allowed["evidence"]["restarts"] == {loops: "activating (auto-restart)"}, allowed
    assert allowed["undo"][1]["ansible.builtin.systemd_service"] == {"name": loops, "state": "restarted"}
    assert refused["failed"] and "systemctl reset-failed ended.service" in refused["msg"], refused
