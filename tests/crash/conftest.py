"""One ill service a test, and runs that are ended whatever happens."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from bypass.world import World

from crash import at


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
