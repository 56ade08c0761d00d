"""One fresh world a test, and a user to whom permissions mean something."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import bypass.world
import pytest

OBEDIENT = "-dac_override,-dac_read_search"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[bypass.world.World]:
    with bypass.world.world(tmp_path, forked=True) as here:
        yield here


@pytest.fixture
def ordinary(tmp_path: Path) -> tuple[str, ...]:
    """The words that run a command as one who obeys permissions; root does not, so to root they prove nothing."""
    words = ("setpriv", f"--bounding-set={OBEDIENT}", f"--inh-caps={OBEDIENT}") if os.getuid() == 0 else ()
    (tmp_path / "closed").touch(mode=0o000)
    seen = subprocess.run([*words, "cat", str(tmp_path / "closed")], capture_output=True, text=True, check=False)
    if "Permission denied" not in seen.stderr:
        pytest.skip("permissions bind nobody here")
    return words
