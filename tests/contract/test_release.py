"""`release_rollback` over real SSH through the whole guarded way: several hosts of one task are one attempt, recorded one by one."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from bypass import world as guarded
from sqlalchemy import select

from sre_responder.ledger import audit
from sre_responder.ledger.audit import Entry
from sre_responder.ledger.schema import attempts, effects

pytestmark = [pytest.mark.contract, pytest.mark.slow]

BAD, GOOD = "2", "1"
ONE_BY_ONE = ("--forks", "1")


@dataclass(frozen=True)
class Fleet:
    """Hosts in the order in which Ansible takes them: each leads to one sshd and has a release root of its own."""

    world: Any
    roots: dict[str, Path]
    variables: dict[str, dict[str, Any]]

    @property
    def releases(self) -> dict[str, str]:
        """The current release of each host, read from the disk."""
        return {name: (root / "current").readlink().name for name, root in self.roots.items()}

    def play(self, *words: str, playbook: Path | None = None) -> subprocess.CompletedProcess[str]:
        """Run the runbook, or a playbook, with plain ansible-playbook."""
        inventory = self.world.root / "inventory.json"
        inventory.write_text(json.dumps({"all": {"hosts": self.variables}}))
        done: subprocess.CompletedProcess[str] = self.world.play("-i", str(inventory), *words, playbook=playbook)
        return done

    def outcomes(self) -> list[str | None]:
        """The outcome of every attempt on the record."""
        with self.world.ledger.transaction(reading=True) as connection:
            return list(connection.execute(select(attempts.c.outcome).order_by(attempts.c.id)).scalars())

    def effects(self) -> dict[str, str]:
        """What became of each host, in the order of the record."""
        with self.world.ledger.transaction(reading=True) as connection:
            return {row.host: row.state for row in connection.execute(select(effects).order_by(effects.c.id))}

    def undo_of(self, host: str) -> Path:
        with self.world.ledger.transaction(reading=True) as connection:
            plan = connection.execute(select(effects.c.plan).where(effects.c.host == host)).scalar_one()
        return Path(self.world.home.state / "undo" / f"{plan}.yml")

    def record(self, *types: str) -> list[Entry]:
        with self.world.ledger.transaction(reading=True) as connection:
            return [entry for entry in audit.entries(connection) if entry.type in types]


MakeFleet = Callable[..., Fleet]


@pytest.fixture
def fleet(tmp_path: Path, sshd: Mapping[str, Any], origin: Callable[..., Any]) -> Iterator[MakeFleet]:
    """`fleet(*HOSTS, heals=, to=)` runs a bad release on each host; with `heals` the service is healthy once all are back."""
    with ExitStack() as standing:
        world = standing.enter_context(guarded.world(tmp_path))

        def make(*hosts: str, heals: bool = True, to: str = "previous") -> Fleet:
            roots = {name: tmp_path / name for name in hosts or ("east", "west")}
            for root in roots.values():
                shutil.copytree(world.root / "app", root, symlinks=True)
            own = {"ansible_python_interpreter": sys.executable}
            made = Fleet(world, roots, {n: {**sshd, **own, "release_root": str(r)} for n, r in roots.items()})
            probe = origin(lambda: json.dumps({"ok": heals and set(made.releases.values()) == {GOOD}}))

            def on_all_hosts(play: dict[str, Any]) -> None:
                play["hosts"] = "all"
                del play["connection"], play["vars"]["ansible_python_interpreter"]
                play["vars"]["runbook"]["success"]["url"] = f"http://127.0.0.1:{probe.port}/"
                play["tasks"][1]["sre.responder.release_rollback"].update(root="{{ release_root }}", to=to)

            world.write(on_all_hosts)
            return made

        yield make


def point_at(release: str, root: Path) -> None:
    (root / "current").unlink()
    (root / "current").symlink_to(f"releases/{release}")


def test_check_mode_changes_nothing_and_makes_no_attempt(fleet: MakeFleet) -> None:
    hosts = fleet()
    done = hosts.play("--check", "--diff")
    assert done.returncode == 0, done.stdout
    assert hosts.releases == {"east": BAD, "west": BAD}
    assert (hosts.outcomes(), hosts.effects()) == ([], {})
    assert done.stdout.count(f"+current -> releases/{GOOD}") == 2


forks = pytest.mark.parametrize("forks", ["1", "5"], ids=["one by one", "side by side"])


@forks
def test_two_hosts_are_one_attempt_with_one_effect_each(fleet: MakeFleet, forks: str) -> None:
    hosts = fleet()
    done = hosts.play("--forks", forks)
    assert done.returncode == 0, done.stdout
    assert hosts.releases == {"east": GOOD, "west": GOOD}
    assert hosts.effects() == {"east": "done", "west": "done"}
    assert len(hosts.outcomes()) == 1


@forks
def test_evidence_is_watched_only_after_the_last_host_is_done(fleet: MakeFleet, forks: str) -> None:
    """The service is healthy only when both hosts are back: evidence of an earlier moment would say not improved."""
    hosts = fleet()
    assert hosts.play("--forks", forks).returncode == 0
    assert hosts.outcomes() == ["improved"]
    story = [entry.type for entry in hosts.record("action.started", "effect.done", "action.ended")]
    assert story == [*("action.started", "effect.done") * 2, "action.ended"]


@pytest.mark.parametrize("order", [("east", "west"), ("west", "east")], ids=["first", "last"])
def test_host_that_is_as_wanted_already_does_not_hold_up_the_outcome(fleet: MakeFleet, order: tuple[str, str]) -> None:
    hosts = fleet(*order, to=GOOD)
    point_at(GOOD, hosts.roots["east"])
    done = hosts.play(*ONE_BY_ONE)
    assert done.returncode == 0, done.stdout
    assert hosts.effects() == {"east": "unchanged", "west": "done"}
    assert hosts.outcomes() == ["improved"]


@pytest.mark.parametrize(("heals", "reason"), [(True, "healthy"), (False, "tried")])
def test_second_run_is_skipped_on_every_host(fleet: MakeFleet, heals: bool, reason: str) -> None:
    hosts = fleet(heals=heals)
    assert hosts.play().returncode == 0
    for root in hosts.roots.values() if not heals else ():
        point_at(BAD, root)  # the remedy would have something to do again
    before = (hosts.releases, hosts.outcomes(), len(hosts.record("action.started")))
    again = hosts.play()
    assert again.returncode == 0, again.stdout
    assert [entry.data["reason"] for entry in hosts.record("action.skipped")] == [reason, reason]
    assert (hosts.releases, hosts.outcomes(), len(hosts.record("action.started"))) == before


def test_undo_playbook_of_each_host_restores_that_host_by_hand(fleet: MakeFleet) -> None:
    hosts = fleet()
    assert hosts.play().returncode == 0
    for host, then in (("east", {"east": BAD, "west": GOOD}), ("west", {"east": BAD, "west": BAD})):
        done = hosts.play(playbook=hosts.undo_of(host))
        assert done.returncode == 0, done.stdout
        assert hosts.releases == then


def with_unreadable_history(root: Path) -> None:
    (root / "deployments.log").unlink()
    (root / "deployments.log").mkdir()  # root reads every file, but no folder


def without_the_release(root: Path) -> None:
    shutil.rmtree(root / "releases" / GOOD)


BROKEN = {
    "unreadable history": (with_unreadable_history, "deployments.log cannot be read"),
    "no release": (without_the_release, "no release stands before 2"),
}
broken = pytest.mark.parametrize(("damage", "told"), BROKEN.values(), ids=BROKEN)


@broken
def test_first_host_that_fails_leaves_the_rest_as_they_are(
    fleet: MakeFleet, damage: Callable[[Path], None], told: str
) -> None:
    hosts = fleet()
    damage(hosts.roots["east"])
    assert hosts.play(*ONE_BY_ONE).returncode != 0
    assert hosts.releases == {"east": BAD, "west": BAD}
    assert (hosts.outcomes(), hosts.effects()) == ([], {})
    assert told in hosts.world.refusals()


@broken
def test_host_that_fails_after_another_was_done_ends_the_attempt_and_stops_the_rest(
    fleet: MakeFleet, damage: Callable[[Path], None], told: str
) -> None:
    hosts = fleet("east", "west", "north")
    damage(hosts.roots["west"])
    assert hosts.play(*ONE_BY_ONE).returncode != 0
    assert hosts.releases == {"east": GOOD, "west": BAD, "north": BAD}
    assert hosts.effects() == {"east": "done"}
    assert hosts.outcomes() == ["not_improved"]
    assert told in hosts.world.refusals()


def test_host_that_fails_beside_others_leaves_no_attempt_open(fleet: MakeFleet) -> None:
    hosts = fleet()
    with_unreadable_history(hosts.roots["west"])
    assert hosts.play("--forks", "5").returncode != 0
    assert hosts.releases["west"] == BAD and "west" not in hosts.effects()
    assert hosts.outcomes() in ([], ["not_improved"]), "east may have been faster"
    assert (hosts.releases["east"] == GOOD) == ("east" in hosts.effects())


def fail_in_the_act(host: dict[str, Any], folder: Path, status: int) -> None:
    """Give a host a Python that works for the plan and ends with `status` when it is called to act."""
    python = folder / "python"
    python.write_text(
        f'#!/bin/sh\necho call >> {python}.calls\n[ "$(wc -l < {python}.calls)" = 2 ] && exit {status}\n'
        f'exec {sys.executable} "$@"\n'
    )
    python.chmod(0o755)
    host["ansible_python_interpreter"] = str(python)


@pytest.mark.parametrize(
    ("status", "state", "outcome"), [(1, "failed", "not_improved"), (255, "unknown", "unknown")],
    ids=["its module fails", "its connection is lost"],
)  # fmt: skip
def test_host_that_fails_in_the_act_is_recorded_and_stops_the_rest(
    fleet: MakeFleet, tmp_path: Path, status: int, state: str, outcome: str
) -> None:
    hosts = fleet("east", "west", "north")
    fail_in_the_act(hosts.variables["west"], tmp_path, status)
    done = hosts.play(*ONE_BY_ONE)
    assert done.returncode != 0
    assert hosts.releases == {"east": GOOD, "west": BAD, "north": BAD}, done.stdout
    assert (hosts.effects()["west"], hosts.outcomes()) == (state, [outcome]), done.stdout
    assert "north" not in hosts.effects()


def test_host_whose_key_is_not_the_known_one_is_not_changed(fleet: MakeFleet) -> None:
    hosts = fleet("east")
    east = hosts.variables["east"]
    east["ansible_ssh_args"] = east["ansible_ssh_args"].replace("/known_hosts ", "/nobody_known ")
    done = hosts.play()
    assert done.returncode != 0 and "Host key verification failed" in done.stdout
    assert (hosts.releases, hosts.effects()) == ({"east": BAD}, {})


def test_first_host_that_cannot_be_reached_leaves_the_rest_as_they_are(fleet: MakeFleet) -> None:
    hosts = fleet()
    hosts.variables["east"]["ansible_ssh_private_key_file"] = "/nowhere/key"
    done = hosts.play(*ONE_BY_ONE)
    assert done.returncode != 0
    assert hosts.releases == {"east": BAD, "west": BAD}, done.stdout
    assert (hosts.outcomes(), hosts.effects()) == ([], {})


def test_host_that_cannot_be_reached_after_another_was_done_ends_the_attempt(fleet: MakeFleet) -> None:
    hosts = fleet()
    hosts.variables["west"]["ansible_ssh_private_key_file"] = "/nowhere/key"
    done = hosts.play(*ONE_BY_ONE)
    assert done.returncode != 0
    assert hosts.releases == {"east": GOOD, "west": BAD}
    assert hosts.outcomes() == ["not_improved"], done.stdout
