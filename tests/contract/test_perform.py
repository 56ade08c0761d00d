"""`perform` with modules that others wrote, through a whole `responder run`: act, undo, settle."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bypass.world
import pytest
import yaml
from bench.community import collections
from bypass.world import World
from sqlalchemy import select, update
from support.performing import LINE, allow, write

from sre_responder.ledger.schema import effects

pytestmark = [pytest.mark.contract, pytest.mark.slow]

NONE = {"undo": "none", "because": "a test"}


@dataclass(frozen=True)
class Case:
    """A module, what its task says, what the policy does, and the file that tells whether it acted."""

    module: str
    args: dict[str, Any]
    allowed: dict[str, Any]
    file: str

    def shown(self, root: Path) -> str | None:
        """What is on the disk: where a link leads, or a file's text and rights."""
        path = root / self.file
        if path.is_symlink():
            return str(path.readlink())
        return f"{path.stat().st_mode & 0o777:o} {path.read_text()}" if path.exists() else None


CASES = [
    Case(
        "ansible.builtin.copy",
        {"dest": "ROOT/app/releases/2/health.json", "content": LINE, "mode": "0640"},
        {
            "rung": 2, "target": "dest", "args": {"dest": ".*/health[.]json", "content": [LINE], "mode": ["0640"]},
            "undo": {"module": "ansible.builtin.file", "args": "{path: args.dest, state: 'absent'}"},
        },
        "app/releases/2/health.json",
    ),
    Case(
        "ansible.builtin.file",
        {"path": "ROOT/app/current", "src": "releases/1", "state": "link"},
        {
            "rung": 3, "target": "path", "args": {"path": ".*/current", "src": "releases/[0-9]+", "state": ["link"]},
            "undo": {"module": "ansible.builtin.file", "args": "{path: args.path, src: before.src, state: 'link'}"},
        },
        "app/current",
    ),
    Case(
        "ansible.builtin.blockinfile",
        {"path": "ROOT/app.conf", "block": "pool = 20", "create": True},
        {
            "rung": 1, "target": "path", "args": {"path": ".*[.]conf", "block": "pool = [0-9]{1,3}", "create": [True]},
            "undo": {"module": "ansible.builtin.blockinfile", "args": "{path: args.path, state: 'absent'}"},
        },
        "app.conf",
    ),
    Case(
        "community.general.ini_file",
        {"path": "ROOT/pool.ini", "section": "pool", "option": "size", "value": "20", "create": False},
        {
            "rung": 2, "target": "[path, section, option]",
            "args": {"path": ".*[.]ini", "section": "[a-z]+", "option": "[a-z]+", "value": "[0-9]{1,3}", "create": [False]},
            "undo": {"module": "community.general.ini_file", "args": "{path: args.path, section: args.section, option: args.option, value: '5'}"},
        },
        "pool.ini",
    ),
]  # fmt: skip
every = pytest.mark.parametrize("case", CASES, ids=[case.module for case in CASES])


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with bypass.world.world(tmp_path, forked=True) as here:
        place = here.home.collections / "ansible_collections"
        shutil.copytree(collections("community.general") / "ansible_collections", place)
        (tmp_path / "app.conf").write_text("")
        (tmp_path / "pool.ini").write_text("[pool]\nsize = 5\n")
        here.heals("1")
        yield here


def prepare(world: World, case: Case) -> None:
    allow(world, case.module, case.allowed)
    text = json.dumps(case.args).replace("ROOT", str(world.root))
    write(world, json.loads(text), module=case.module)


@every
def test_module_acts_once_and_its_undo_restores_what_was(world: World, case: Case) -> None:
    prepare(world, case)
    before = case.shown(world.root)
    done = world.drive()
    assert (before != case.shown(world.root), world.started()) == (True, 1), done.stderr
    assert [entry.data["observed"] for entry in world.entries("effect.done")] == [{"as_wanted": True}]
    undone = world.responder("undo", "1")
    assert (undone.returncode, case.shown(world.root)) == (0, before), undone.stderr


@every
def test_preview_names_rung_and_plan_and_changes_nothing(world: World, case: Case) -> None:
    prepare(world, case)
    before = case.shown(world.root)
    words = ("--incident", "INC-1234", "--service", "checkout", "--environment", "staging", "--json")
    done = world.responder("plan", "roll-back", *words)
    assert (case.shown(world.root), world.started()) == (before, 0), done.stderr
    [step] = [one for one in json.loads(done.stdout)["steps"] if one["class"] == "mutates"]
    assert (step["module"], step["rung"]) == ("sre.responder.perform", case.allowed["rung"])
    assert {gate["name"] for gate in step["gates"] if gate["status"] == "failed"} <= {"containment"}, (
        "nothing is diagnosed in a preview"
    )
    assert step["plan"]


@every
def test_unknown_outcome_is_settled_by_check_mode_on_the_host(world: World, case: Case) -> None:
    prepare(world, case)
    world.drive()
    [capsule] = (world.home.state / "undo").glob("*.yml")
    for became in ("done", "not_done"):
        with world.ledger.transaction() as connection:
            connection.execute(update(effects).values(state="unknown", observed=None))
            target = connection.execute(select(effects.c.target)).scalar_one()
        done = world.responder("settle", target, "--json")
        assert (done.returncode, json.loads(done.stdout)["became"]) == (0, became), done.stderr
        by_hand = world.play(playbook=capsule, ANSIBLE_COLLECTIONS_PATH=str(world.home.collections))
        assert by_hand.returncode == 0, by_hand.stdout


def test_what_is_as_wanted_already_is_left_alone(world: World) -> None:
    case = CASES[-1]
    prepare(world, case)
    (world.root / "pool.ini").write_text("[pool]\nsize = 20\n")
    done = world.drive()
    [skipped] = world.entries("action.skipped")
    assert (world.started(), skipped.data["already"]) == (0, True), done.stderr


def test_hosts_of_one_task_over_ssh_are_one_attempt_and_each_is_undone(world: World, sshd: Mapping[str, Any]) -> None:
    files = {name: world.root / f"{name}.ini" for name in ("east", "west")}
    for file in files.values():
        file.write_text("[pool]\nsize = 5\n")
    hosts = {
        name: {**sshd, "ansible_python_interpreter": sys.executable, "file": str(file)} for name, file in files.items()
    }
    (world.home.folder / "inventory.yml").write_text(yaml.safe_dump({"all": {"hosts": hosts}}))
    case = CASES[-1]
    allow(world, case.module, case.allowed)
    write(world, {**case.args, "path": "{{ file }}"}, module=case.module)
    book = world.book / "runbook.yml"
    [play] = yaml.safe_load(book.read_text())
    del play["connection"], play["vars"]["ansible_python_interpreter"]
    world.write(lambda plain: (plain.clear(), plain.update({**play, "hosts": "all"})))
    done = world.drive()
    assert [file.read_text() for file in files.values()] == ["[pool]\nsize = 20\n"] * 2, done.stderr
    assert {entry.data["attempt"] for entry in world.entries("effect.done")} == {1}
    assert world.responder("undo", "1").returncode == 0
    assert [file.read_text() for file in files.values()] == ["[pool]\nsize = 5\n"] * 2
