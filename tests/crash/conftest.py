"""What a test gets: an ill service or a lab of its own, and runs that are ended whatever happens."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from bypass.world import World
from crash import at
from crash.shop import Shop

from sre_responder.lab import sandbox
from sre_responder.ledger import Ledger


@pytest.fixture
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    """The ill world; a test's `policy` parameter goes into its policy."""
    with at.ill(tmp_path, **getattr(request, "param", {})) as here:
        yield here


@pytest.fixture
def start(world: World) -> Iterator[Callable[..., Any]]:
    """`start(**surroundings)` begins a driven run; its processes are gone when the test is over."""
    with ExitStack() as running:
        yield lambda **environ: running.enter_context(at.running(world, environ))


@pytest.fixture
def shop() -> Iterator[Shop]:
    """A lab in a folder with a short name, for the sockets in it."""
    folder = Path(tempfile.mkdtemp(prefix="sre-crash-"))
    lab = sandbox.up(folder)
    try:
        environ = {**os.environ, "RESPONDER_HOME": str(lab.home), "RESPONDER_LEDGER": lab.ledger}
        yield Shop(lab, Ledger(lab.ledger), environ)
    finally:
        left = sandbox.down(folder)
        shutil.rmtree(folder, ignore_errors=True)
        assert left == []
