"""The embedded shop: what breaks, what heals it, and that nothing of it is ever left."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil
import pytest

from ansible_collections.sre.responder.plugins.module_utils import _release
from sre_responder.effects import EFFECTS
from sre_responder.errors import EffectFailed, InputError
from sre_responder.home import Home
from sre_responder.intake import sources
from sre_responder.lab import programs, sandbox
from sre_responder.lab.lab import Lab
from sre_responder.lab.sandbox import FAULTS, RUNGS, SEVERITIES, Fault
from sre_responder.system.prove import processes_of

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("lab")]


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that a lab may use: short, for the sockets in it, and gone afterwards."""
    path = Path(tempfile.mkdtemp(prefix="lab-"))
    yield path
    sandbox.down(path)
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="module")
def shared() -> Iterator[Lab]:
    """One lab for the tests that put it back as it was."""
    path = Path(tempfile.mkdtemp(prefix="lab-"))
    yield sandbox.up(path)
    assert sandbox.down(path) == []


@pytest.fixture
def lab(shared: Lab) -> Iterator[Lab]:
    yield shared
    sandbox.heal(shared)


def act(name: str, **arguments: Any) -> None:
    effect = EFFECTS[name]
    effect.act(arguments, effect.plan(arguments))


def remedy(lab: Lab, rung: int) -> None:
    """What the ladder does at a rung, without the ladder."""
    match rung:
        case 1:
            act("http_cache_purge", url=lab.cache_url)
        case 2:
            act("supervisor_restart", server=lab.supervisor, program="checkout")
        case 3:
            root = str(lab.release_roots["east"])
            _release.switch(root, _release.plan(root, "previous")["after"]["release"], _release.current(root))
        case 4:
            act("haproxy_failover", socket=lab.runtime_socket, backend="checkout", to="west")


def bad(rate: float | None) -> bool:
    return rate is not None and rate < 0.9


def good(rate: float | None) -> bool:
    return rate is not None and rate >= 0.98


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_outlives_the_rungs_below_its_own_and_heals_at_its_own(lab: Lab, fault: Fault) -> None:
    sandbox.break_(lab, fault)
    sandbox.await_rate(lab, bad, 5)
    for rung in range(1, RUNGS[fault]):
        remedy(lab, rung)
        time.sleep(1.5)  # the window of the success rate goes by
        assert bad(sandbox.rate(lab)), f"rung {rung} healed {fault}"
    remedy(lab, RUNGS[fault])
    sandbox.await_rate(lab, good, 5)


@pytest.mark.parametrize("fault", FAULTS)
def test_an_alert_fires_once_customers_see_errors(lab: Lab, fault: Fault) -> None:
    record = sandbox.break_(lab, fault, "production")
    path = sandbox.await_alert(lab, record["id"])
    [fired] = sources.parse(path.read_text()).alerts.values()
    assert fired.starts_at is not None
    assert 0 < fired.starts_at.timestamp() - record["at"] < 5
    names = ("alertname", "service", "environment", "severity", "fault")
    assert [fired.labels[name] for name in names] == [
        "ServiceErrors", "checkout", "production", SEVERITIES[fault], record["id"],
    ]  # fmt: skip
    assert "errors" in fired.title


def test_no_alert_fires_while_the_shop_is_well(lab: Lab) -> None:
    before = set(lab.alerts.iterdir())
    sandbox.heal(lab)
    time.sleep(1)
    assert set(lab.alerts.iterdir()) == before


def test_the_status_holds_all_that_one_needs(lab: Lab) -> None:
    sandbox.break_(lab, "region")
    found = json.loads(json.dumps(sandbox.status(lab)))
    assert found["fault"]["fault"] == "region"
    assert found["releases"] == {"east": "1.4.0", "west": "1.4.0"}
    assert set(found["programs"].values()) == {"RUNNING"}
    assert all(psutil.pid_exists(pid) for pid in found["pids"].values())
    for name in ("home", "ledger", "incident", "edge_url", "cache_url", "supervisor", "runtime_socket", "alerts"):
        assert found[name]
    sandbox.heal(lab)
    healed = sandbox.status(lab)
    assert healed["fault"] is None and healed["success_rate"] > 0.98


def test_its_home_is_a_home_like_any_other(lab: Lab) -> None:
    home = Home(lab.home, lab.ledger, lab.folder / "state")
    assert home.policy.profile == "production"
    assert home.graph.radius("checkout").downstream == ("shop-edge", "web")
    assert home.catalogue.cycles() == []
    assert home.people.named("iris") and home.people.named("dana")
    assert not (lab.home / "keys").stat().st_mode & 0o077


def test_everything_listens_on_loopback_alone(lab: Lab) -> None:
    ours = {process.pid for process in processes_of(lab.id)}
    found = [
        connection.laddr.ip
        for connection in psutil.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN and connection.pid in ours
    ]
    assert len(found) == 6
    assert set(found) == {"127.0.0.1"}


def test_a_second_lab_disturbs_neither_and_a_third_in_the_same_folder_is_refused(lab: Lab, folder: Path) -> None:
    other = sandbox.up(folder)
    with pytest.raises(InputError, match="a lab is up"):
        sandbox.up(folder)
    sandbox.break_(other, "process")
    sandbox.await_rate(other, bad, 5)
    assert good(sandbox.rate(lab))
    assert sandbox.down(folder) == []
    assert processes_of(other.id) == []
    assert not folder.exists()
    assert good(sandbox.rate(lab))
    assert sandbox.down(folder) == []  # twice is as once


def kill_supervisord(lab: Lab) -> list[int]:
    """As a machine that runs out of memory would: the programs are left without it."""
    pid = int(programs.pid_file(lab.folder).read_text())
    os.kill(pid, signal.SIGKILL)
    left = [process.pid for process in processes_of(lab.id) if process.pid != pid]
    assert left
    return left


def test_a_lab_that_died_is_said_so_and_cleaned_by_the_next_up(folder: Path) -> None:
    first = sandbox.up(folder)
    (first.folder / "log" / "of-the-first").touch()
    orphans = kill_supervisord(first)
    for use in (sandbox.status, sandbox.heal, lambda lab: sandbox.break_(lab, "process")):
        with pytest.raises(EffectFailed, match="has died"):
            use(sandbox.load(folder))
    second = sandbox.up(folder)
    assert processes_of(first.id) == []
    assert not set(orphans) & {process.pid for process in processes_of(second.id)}
    assert not (folder / "log" / "of-the-first").exists()
    assert good(sandbox.rate(second))


def test_down_ends_a_lab_that_died(folder: Path) -> None:
    lab = sandbox.up(folder)
    kill_supervisord(lab)
    assert sandbox.down(folder) == []
    assert processes_of(lab.id) == []
    assert not folder.exists()


def test_a_shop_that_does_not_start_leaves_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "SHOP", folder / "nowhere")
    monkeypatch.setattr(sandbox, "START_SECONDS", 2)
    before = {process.pid for process in psutil.Process().children(recursive=True)}
    with pytest.raises(EffectFailed, match="did not start"):
        sandbox.up(folder)
    assert not folder.exists()
    assert {process.pid for process in psutil.Process().children(recursive=True)} <= before


def somebodys_files(path: Path) -> None:
    (path / "thesis.txt").write_text("years of work")


def a_file_called_mark(path: Path) -> None:
    (path / "mark").write_text("not ours")


@pytest.mark.parametrize("fill", [somebodys_files, a_file_called_mark])
@pytest.mark.parametrize("use", [sandbox.up, sandbox.down])
def test_a_folder_that_is_no_lab_is_left_alone(
    use: Callable[[Path], Any], fill: Callable[[Path], None], tmp_path: Path
) -> None:
    path = Path(tempfile.mkdtemp(prefix="lab-"))
    try:
        fill(path)
        before = {file.name: file.read_text() for file in path.iterdir()}
        with pytest.raises(InputError, match="not a lab"):
            use(path)
        assert {file.name: file.read_text() for file in path.iterdir()} == before
    finally:
        shutil.rmtree(path)


@pytest.mark.parametrize("use", [sandbox.up, sandbox.down])
def test_a_link_is_not_followed(use: Callable[[Path], Any], folder: Path) -> None:
    link = folder / "link"
    link.symlink_to(folder)
    with pytest.raises(InputError, match="not a folder of yours"):
        use(link)
    link.unlink()


def test_a_path_too_long_for_sockets_is_refused(tmp_path: Path) -> None:
    path = tmp_path / ("long" * 20)
    with pytest.raises(InputError, match="Unix sockets"):
        sandbox.up(path)
    assert not path.exists()


def test_an_unknown_fault_is_refused_with_the_known_ones(lab: Lab) -> None:
    with pytest.raises(InputError, match="cache, process, release, region"):
        sandbox.break_(lab, "gremlins")
    assert good(sandbox.rate(lab))


AS_SOMEBODY = """
import os, sys
from pathlib import Path
from sre_responder.lab import sandbox
assert os.getuid() != 0
lab = sandbox.up(Path(sys.argv[1]))
record = sandbox.break_(lab, "process")
print(sandbox.await_alert(lab, record["id"]).name, sandbox.down(lab.folder))
"""


@pytest.mark.skipif(os.getuid() != 0, reason="all other tests of this file run as an ordinary user already")
def test_an_ordinary_user_can_have_a_lab() -> None:
    folder = Path(tempfile.mkdtemp(prefix="lab-"))
    os.chown(folder, 65534, 65534)
    somebody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    environ = {"PATH": os.environ["PATH"], "HOME": str(folder), "LANG": "C.UTF-8"}
    # setpriv itself reaches what an ordinary user does not: the question is put to a process of that user's own.
    ask = (
        "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import sre_responder, supervisor'], check=True)"
    )
    reach = subprocess.run([*somebody, sys.executable, "-c", ask], env=environ, capture_output=True, cwd="/")
    try:
        if reach.returncode:
            pytest.skip("an ordinary user cannot read this Python environment")
        done = subprocess.run(
            [*somebody, sys.executable, "-c", AS_SOMEBODY, str(folder / "lab")],
            env=environ, capture_output=True, text=True, timeout=60, cwd="/",
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith("process-") and done.stdout.endswith("[]\n")
        assert not (folder / "lab").exists()
    finally:
        shutil.rmtree(folder)


def test_the_alerts_time_is_when_it_was_seen(lab: Lab) -> None:
    record = sandbox.break_(lab, "cache")
    raw = json.loads(sandbox.await_alert(lab, record["id"]).read_text())
    seen = datetime.fromisoformat(raw["alerts"][0]["startsAt"]).timestamp()
    assert record["at"] < seen <= time.time()
    assert raw["version"] == "4" and raw["status"] == raw["alerts"][0]["status"] == "firing"
