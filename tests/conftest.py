"""What every test gets: a surrounding without settings of the person who runs it, and real components by name."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

SETTINGS = ("RESPONDER_", "ANSIBLE_")
ALL = "RESPONDER_TEST_ALL"


@pytest.fixture(autouse=True)
def no_settings_of_ours(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The home, ledger and Ansible settings of whoever runs the tests must not decide their result."""
    for name in list(os.environ):
        if name.startswith(SETTINGS) and name != ALL:
            monkeypatch.delenv(name)
    yield


@pytest.fixture
def component() -> Callable[[str, str], Path]:
    """`component(PROGRAM, PACKAGE)` is the program's path; where it is missing the test skips, under --all it fails."""

    def find(program: str, package: str) -> Path:
        found = shutil.which(
            program, path=os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"))
        )
        if found:
            return Path(found)
        sentence = f"{program} is not installed (Debian package {package})"
        if os.environ.get(ALL):
            pytest.fail(sentence)
        pytest.skip(sentence)

    return find
