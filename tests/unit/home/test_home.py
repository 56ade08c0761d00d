"""The home: who chooses it, what a new one holds, and its one secret key."""

from __future__ import annotations

import multiprocessing
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from sre_responder import home
from sre_responder.errors import InputError
from sre_responder.home import Home, find, write
from sre_responder.home.policy import PROFILES, Profile


@pytest.fixture(autouse=True)
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The system's folder, which a test may make."""
    monkeypatch.setattr(home, "SYSTEM", tmp_path / "etc")
    return tmp_path / "etc"


@pytest.mark.parametrize(
    ("environ", "with_system", "folder"),
    [
        ({"RESPONDER_HOME": "/srv/home", "HOME": "/home/dana"}, True, "/srv/home"),
        ({"HOME": "/home/dana"}, True, "{tmp}/etc"),
        ({"HOME": "/home/dana", "XDG_CONFIG_HOME": "/config"}, True, "{tmp}/etc"),
        ({"HOME": "/home/dana"}, False, "/home/dana/.config/sre-responder"),
        ({"HOME": "/home/dana", "XDG_CONFIG_HOME": "/config"}, False, "/config/sre-responder"),
        ({"HOME": "/home/dana", "RESPONDER_HOME": ""}, False, "/home/dana/.config/sre-responder"),
    ],
)
def test_home_is_the_operators_choice_else_the_systems_else_the_users(
    tmp_path: Path, system: Path, environ: dict[str, str], with_system: bool, folder: str
) -> None:
    if with_system:
        system.mkdir()
    assert find(environ).folder == Path(folder.format(tmp=tmp_path))


@pytest.mark.parametrize(
    ("environ", "url", "state"),
    [
        ({"HOME": "/h"}, "sqlite:////h/.local/state/sre-responder/ledger.db", "/h/.local/state/sre-responder"),
        ({"HOME": "/h", "XDG_STATE_HOME": "/s"}, "sqlite:////s/sre-responder/ledger.db", "/s/sre-responder"),
        ({"HOME": "/h", "RESPONDER_LEDGER": "sqlite:////l/x.db"}, "sqlite:////l/x.db", "/l"),
        (
            {"HOME": "/h", "RESPONDER_LEDGER": "postgresql+psycopg://u@db/r"},
            "postgresql+psycopg://u@db/r",
            "/h/.local/state/sre-responder",
        ),
    ],
)
def test_ledger_is_the_operators_choice_else_stands_in_the_users_state_folder(
    environ: dict[str, str], url: str, state: str
) -> None:
    found = find(environ)
    assert (found.ledger_url, found.state) == (url, Path(state))


def test_a_relative_home_is_made_absolute_so_that_a_changed_folder_does_not_change_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = find({"RESPONDER_HOME": "here", "RESPONDER_LEDGER": "sqlite:///state/ledger.db"})
    assert (found.folder, found.state) == (tmp_path / "here", tmp_path / "state")


@pytest.mark.parametrize(
    ("read", "file"),
    [
        (lambda home: home.policy, "policy.yml"),
        (lambda home: home.policy_digest, "policy.yml"),
        (lambda home: home.catalogue, "catalogue.yml"),
    ],
)
def test_a_missing_file_is_named_with_the_command_that_writes_it(
    tmp_path: Path, read: Callable[[Home], object], file: str
) -> None:
    with pytest.raises(InputError, match="does not exist") as raised:
        read(Home(tmp_path, "sqlite://", tmp_path))
    assert str(tmp_path / file) in raised.value.message
    assert "responder init" in raised.value.cure


@pytest.mark.parametrize("profile", PROFILES)
def test_a_new_home_is_whole_and_valid(tmp_path: Path, profile: Profile) -> None:
    written = write(tmp_path / "home", profile)
    here = Home(tmp_path / "home", "sqlite://", tmp_path)
    assert {path.name for path in written} == {
        "policy.yml",
        "catalogue.yml",
        "people.yml",
        "allowed_signers",
        "runbooks.lock",
    }
    assert here.policy.profile == profile
    assert list(here.catalogue.services) == ["checkout"]
    assert here.people.people == ()
    assert [book.metadata.id for book in here.runbooks if not book.registered] == []


def test_a_second_init_leaves_every_file_as_it_is(tmp_path: Path) -> None:
    write(tmp_path, "homelab")
    for path in tmp_path.glob("*.yml"):
        path.write_text(path.read_text() + "# mine\n")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert write(tmp_path, "production") == []
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_a_catalogue_folder_needs_no_catalogue_file(tmp_path: Path) -> None:
    (tmp_path / "catalogue").mkdir()
    assert tmp_path / "catalogue.yml" not in write(tmp_path, "homelab")


def _take(state: Path, gate: multiprocessing.synchronize.Barrier, taken: multiprocessing.Queue[bytes]) -> None:
    here = Home(state, "sqlite://", state)
    gate.wait()
    taken.put(here.secret)


def test_of_processes_that_race_for_the_secret_key_all_get_the_same(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    gate, taken = context.Barrier(4), context.Queue()
    racers = [context.Process(target=_take, args=(tmp_path / "state", gate, taken)) for _ in range(4)]
    for racer in racers:
        racer.start()
    keys = {taken.get(timeout=30) for _ in racers}
    for racer in racers:
        racer.join(30)
        assert racer.exitcode == 0
    taken.close()
    taken.join_thread()
    assert [len(key) for key in keys] == [32]
    assert [path.name for path in (tmp_path / "state").iterdir()] == ["digest.key"], "no draft is left"


def test_the_secret_key_stays_and_is_its_owners_alone(tmp_path: Path) -> None:
    state = tmp_path / "state"
    key = Home(state, "sqlite://", state).secret
    assert Home(state, "sqlite://", state).secret == key
    assert stat.S_IMODE((state / "digest.key").stat().st_mode) == 0o600
    assert stat.S_IMODE(state.stat().st_mode) == 0o700
