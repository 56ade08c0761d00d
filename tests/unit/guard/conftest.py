"""What tests of the guard share: a history to tell."""

from __future__ import annotations

from pathlib import Path

import pytest
from history import History


@pytest.fixture
def history(tmp_path: Path) -> History:
    return History(tmp_path / "told")
