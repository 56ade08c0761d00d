"""One fresh world a test, and a user to whom permissions mean something."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

for _name in ("world", "slow"):
    _spec = importlib.util.spec_from_file_location(f"bypass_{_name}", Path(__file__).with_name(f"{_name}.py"))
    assert _spec is not None and _spec.loader is not None
    sys.modules[f"bypass_{_name}"] = importlib.util.module_from_spec(_spec)
    _spec.loader.exec_module(sys.modules[f"bypass_{_name}"])

OBEDIENT = "-dac_override,-dac_read_search"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Any]:
    with sys.modules["bypass_world"].world(tmp_path) as here:
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
