"""One fresh world a test."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

_spec = importlib.util.spec_from_file_location("bypass_world", Path(__file__).with_name("world.py"))
assert _spec is not None and _spec.loader is not None
_module = importlib.util.module_from_spec(_spec)
sys.modules["bypass_world"] = _module
_spec.loader.exec_module(_module)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Any]:
    with _module.world(tmp_path) as here:
        yield here
