"""What every test gets: a surrounding without settings of the person who runs it, and real components by name."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import pytest
from support.postgresql import Server, programs, server

pytest_plugins = [
    "support.control_plane",
    "support.kubernetes_shop",
    "support.kubernetes_site",
    "support.kubernetes_team",
]

for one, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    if (
        signal.getsignal(one) is signal.SIG_IGN
    ):  # as nohup, or a shell in the background, has all that is started ignore it
        signal.signal(one, handler)

SETTINGS = ("RESPONDER_", "ANSIBLE_")
ALL = "RESPONDER_TEST_ALL"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What needs the cluster is marked so, and one worker has it all: there is one cluster a session."""
    for item in items:
        if "cluster" in getattr(item, "fixturenames", ()):
            item.add_marker("cluster")
            item.add_marker(pytest.mark.xdist_group("cluster"))


@pytest.fixture(autouse=True)
def no_settings_of_ours(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The home, ledger and Ansible settings of whoever runs the tests must not decide their result."""
    for name in list(os.environ):
        if name.startswith(SETTINGS) and name != ALL:
            monkeypatch.delenv(name)
    yield


@pytest.fixture(scope="session")
def component() -> Callable[[str, str], Path]:
    """`component(PROGRAM, PACKAGE)` is the program's path; where it is missing the test skips, under --all it fails."""

    def find(program: str, package: str) -> Path:
        found = shutil.which(
            program, path=os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"))
        )
        if found:
            return Path(found)
        missing(program, package)

    return find


def missing(program: str, package: str) -> NoReturn:
    sentence = f"{program} is not installed (Debian package {package})"
    if os.environ.get(ALL):
        pytest.fail(sentence)
    pytest.skip(sentence)


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Server]:
    """A real PostgreSQL, for the whole session."""
    if programs() is None:
        missing("initdb", "postgresql")
    with server() as here:
        yield here


@pytest.fixture
def database(postgresql: Server) -> Iterator[str]:
    """The URL of an empty database of the test's own."""
    name = f"test_{secrets.token_hex(6)}"
    postgresql.sql(f"CREATE DATABASE {name}")
    yield postgresql.url(name)
    postgresql.sql(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a ledger is made: the same tests hold for both databases."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'state' / 'ledger.db'}"
    return str(request.getfixturevalue("database"))
