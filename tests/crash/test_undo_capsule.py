"""The undo capsule, run by hand where there is no Responder: after everything died in the middle it restores the state before."""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from crash.shop import Shop

from sre_responder.home import find

pytestmark = pytest.mark.slow

Bare = Callable[..., subprocess.CompletedProcess[str]]
OURS = ("sre_responder", "_sre_responder", "ansible_collections")


@pytest.fixture
def bare(tmp_path: Path) -> Bare:
    """`bare(WORDS)` is Python with every installed package but Responder: neither the library nor the collection is there."""
    packages = tmp_path / "packages"
    packages.mkdir()
    for name in {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}:
        for entry in Path(name).iterdir():
            if not entry.name.startswith(OURS) and entry.suffix != ".pth":
                (packages / entry.name).symlink_to(entry)
    python = Path(sys.executable).resolve()  # behind the environment's link: it reads no .pth of the environment
    environ = {
        "HOME": str(tmp_path),
        "PATH": f"{python.parent}:/usr/bin:/bin",
        "PYTHONPATH": str(packages),
        "LANG": "C.UTF-8",
    }

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(python), *words], env=environ, cwd=tmp_path, text=True,
            stdin=subprocess.DEVNULL, capture_output=True, timeout=120, check=False,
        )  # fmt: skip

    return run


ABSENT = """
import ansible
for name in ("sre_responder", "ansible_collections.sre.responder"):
    try:
        __import__(name)
    except ModuleNotFoundError:
        continue
    raise SystemExit(f"{name} is there")
"""


def test_where_the_capsules_are_run_there_is_ansible_and_no_responder(bare: Bare, tmp_path: Path) -> None:
    done = bare("-c", ABSENT)
    assert done.returncode == 0, done.stderr
    (tmp_path / "play.yml").write_text('[{"hosts": "localhost", "tasks": [{"sre.responder.note": {}}]}]')
    assert "couldn't resolve module/action 'sre.responder.note'" in bare("-m", "ansible", "playbook", "play.yml").stderr


def capsule(shop: Shop, frozen: Any) -> Path:
    return find(shop.environ).state / "undo" / f"{frozen.plan}.yml"


UNDONE: dict[str, tuple[str, str, Callable[[Shop], Any]]] = {
    "a release that was switched": ("release_rollback", "after the effect", Shop.release),
    "a server that was drained": ("haproxy_drain", "after the effect", Shop.servers),
    "a traffic that was moved": ("haproxy_failover", "after the effect", Shop.servers),
    "a traffic that was half moved": ("haproxy_failover", "between one server and the next", Shop.servers),
}


@pytest.mark.parametrize("case", UNDONE)
def test_capsule_restores_the_state_before(shop: Shop, bare: Bare, tmp_path: Path, case: str) -> None:
    action, point, state = UNDONE[case]
    if action == "haproxy_drain":
        shop.proxy("set server checkout/west state ready")  # the last usable server is never drained
    before = state(shop)
    _, frozen = shop.crash(action, point, tmp_path / "reached")
    assert state(shop) != before
    done = bare("-m", "ansible", "playbook", str(capsule(shop, frozen)))
    assert done.returncode == 0, done.stdout + done.stderr
    assert state(shop) == before
    settled = json.loads(shop.responder("settle", frozen.target, "--json").stdout)
    assert settled["became"] == "not_done"


def test_capsule_changes_nothing_where_nothing_was_done_yet(shop: Shop, bare: Bare, tmp_path: Path) -> None:
    before = shop.release()
    _, frozen = shop.crash("release_rollback", "after the last look", tmp_path / "reached")
    assert shop.release() == before
    assert bare("-m", "ansible", "playbook", str(capsule(shop, frozen))).returncode == 0
    assert shop.release() == before


KEPT: dict[str, tuple[Callable[[Shop], Any], str, tuple[str, ...], str | None]] = {
    "http_cache_purge": (Shop.release, "the cache fills again from its origin", ("--verified",), None),
    "supervisor_restart": (Shop.program, "a restart keeps no earlier state", (), "done"),
}


@pytest.mark.parametrize("action", KEPT)
def test_capsule_of_what_cannot_be_undone_says_so_and_changes_nothing(
    shop: Shop, bare: Bare, tmp_path: Path, action: str
) -> None:
    state, note, words, became = KEPT[action]
    _, frozen = shop.crash(action, "after the effect", tmp_path / "reached")
    after, path = state(shop), capsule(shop, frozen)
    assert f"# Nothing to undo: {note}." in path.read_text()
    done = bare("-m", "ansible", "playbook", str(path))
    assert done.returncode == 0, done.stdout + done.stderr
    assert state(shop) == after
    settled = json.loads(shop.responder("settle", frozen.target, "--json", *words).stdout)
    assert settled["became"] == became


def test_a_restart_that_was_cut_between_stop_and_start_is_told_and_ended_by_the_next_run(
    shop: Shop, tmp_path: Path
) -> None:
    _, before = shop.program()
    incident, frozen = shop.crash("supervisor_restart", "between stop and start", tmp_path / "reached")
    assert shop.program() == ("STOPPED", 0)
    settled = json.loads(shop.responder("settle", frozen.target, "--json").stdout)
    assert settled["became"] == "cut_short"
    shop.run("supervisor_restart", incident)
    state, pid = shop.program()
    assert (state, pid != before) == ("RUNNING", True)
