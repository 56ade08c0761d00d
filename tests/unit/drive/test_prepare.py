"""The folder of one run: text from outside is never a template, nothing shadows the guard, and the environment is small."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from hypothesis import example, given
from hypothesis import strategies as st

from sre_responder.drive.prepare import SHADOWS, Prepared, prepare
from sre_responder.errors import InputError

ENVIRON = {"HOME": "/home/dana", "PATH": "/usr/bin"}


@pytest.fixture
def book(tmp_path: Path) -> Path:
    (tmp_path / "book" / "files").mkdir(parents=True)
    (tmp_path / "book" / "runbook.yml").write_text("- hosts: localhost\n")
    (tmp_path / "book" / "files" / "x").write_text("x")
    return tmp_path / "book"


def prepared(book: Path, **changes: Any) -> Prepared:
    """The book prepared beside itself, in a folder that does not exist yet."""
    values: dict[str, Any] = {"variables": {}, "inventory": None, "inherited": ENVIRON, **changes}
    return prepare("run-1", book, book.parent / "run", **values)


def as_ansible_sees(file: Path, name: str) -> Any:
    """A variable of an extra vars file after Ansible's own loader and templating."""
    loader = DataLoader()
    variables = loader.load_from_file(str(file), trusted_as_template=True)
    return Templar(loader=loader, variables=variables).template(variables[name])


def test_ansible_would_run_a_template_in_an_ordinary_variable(tmp_path: Path) -> None:
    (tmp_path / "extravars").write_text('x: "{{ 6 * 7 }}"\n')
    assert as_ansible_sees(tmp_path / "extravars", "x") == 42


@given(st.text())
@example("{{ lookup('pipe', 'touch /tmp/x') }}")
@example("{% for x in y %}")
@example("x\n- hosts: all\n")
@example('"')
@example("")
@example("10")
@example("on")
@example("2026-01-01")
def test_text_from_outside_stays_that_text_and_is_never_a_template(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    book = tmp_path_factory.mktemp("any") / "book"
    book.mkdir()
    folder = prepared(book, variables={"service": text}).folder
    assert as_ansible_sees(folder / "env" / "extravars", "service") == text


@pytest.mark.parametrize("value", [True, False])
def test_a_yes_or_no_stays_one(book: Path, value: bool) -> None:
    folder = prepared(book, variables={"confirm_production": value}).folder
    assert as_ansible_sees(folder / "env" / "extravars", "confirm_production") is value


@pytest.mark.parametrize("name", sorted(SHADOWS))
def test_what_would_shadow_what_is_installed_is_refused_and_nothing_is_written(book: Path, name: str) -> None:
    (book / name).mkdir()
    with pytest.raises(InputError, match=f"holds {name}, which would shadow"):
        prepared(book)
    assert not (book.parent / "run").exists()


def test_every_folder_of_plugins_that_ansible_finds_beside_a_play_counts_as_a_shadow() -> None:
    from ansible.plugins import loader

    folders = {found.subdir for found in vars(loader).values() if isinstance(found, loader.PluginLoader)}
    assert {name for name in folders if name} - SHADOWS == set()


def test_a_copy_is_run_so_that_a_change_meanwhile_changes_nothing(book: Path) -> None:
    folder = prepared(book).folder
    (book / "runbook.yml").write_text("- hosts: all\n")
    assert (folder / "project" / "runbook.yml").read_text() == "- hosts: localhost\n"
    assert (folder / "project" / "files" / "x").read_text() == "x"


def test_every_run_has_a_fresh_folder_that_is_its_owners_alone(book: Path) -> None:
    folder = prepared(book).folder
    assert folder.stat().st_mode & 0o077 == 0
    with pytest.raises(FileExistsError):
        prepared(book)


def test_ansible_keeps_its_settings_and_leavings_in_the_folder_of_the_run(book: Path) -> None:
    run = prepared(book)
    places = {name: place for name, place in run.environment.items() if name.startswith("ANSIBLE_")}
    assert {name for name, place in places.items() if not place.startswith(f"{run.folder}/")} == set()
    assert Path(places["ANSIBLE_CONFIG"]).is_file()


def test_the_interpreters_own_folder_is_where_ansible_playbook_is_found(book: Path) -> None:
    assert prepared(book).environment["PATH"] == f"{Path(sys.executable).parent}:/usr/bin"


@pytest.mark.parametrize("caller", [{}, {"PATH": ""}])
def test_a_caller_without_a_path_has_that_of_the_system(book: Path, caller: dict[str, str]) -> None:
    folders = prepared(book, inherited=caller).environment["PATH"].split(":")
    assert "/usr/local/bin" in folders
    assert "" not in folders  # which would be the working directory


def test_its_processes_carry_the_name_of_the_run(book: Path) -> None:
    run = prepared(book, inherited={"RESPONDER_RUN": "another"})
    assert (run.id, run.environment["RESPONDER_RUN"]) == ("run-1", "run-1")


def test_without_an_inventory_there_is_localhost_under_this_python(book: Path) -> None:
    [file] = (prepared(book).folder / "inventory").iterdir()
    host = yaml.safe_load(file.read_text())["all"]["hosts"]["localhost"]
    assert host == {"ansible_connection": "local", "ansible_python_interpreter": "{{ ansible_playbook_python }}"}


def test_an_inventory_is_copied_whether_file_or_folder(book: Path, tmp_path: Path) -> None:
    (tmp_path / "hosts" / "group_vars").mkdir(parents=True)
    (tmp_path / "hosts" / "a.yml").write_text("all: {hosts: {web1: {}}}")
    (tmp_path / "hosts" / "group_vars" / "all.yml").write_text("x: 1")
    folder = prepared(book, inventory=tmp_path / "hosts").folder
    assert {str(path.relative_to(folder)) for path in (folder / "inventory").rglob("*.yml")} == {
        "inventory/a.yml",
        "inventory/group_vars/all.yml",
    }
    again = prepare("run-2", book, tmp_path / "second", {}, tmp_path / "hosts" / "a.yml", ENVIRON).folder
    assert [path.name for path in (again / "inventory").iterdir()] == ["a.yml"]


@pytest.mark.parametrize(("check", "arguments"), [(False, ""), (True, "--check --diff")])
def test_a_dry_run_is_ansibles_own(book: Path, check: bool, arguments: str) -> None:
    assert prepared(book, check=check).arguments == arguments
