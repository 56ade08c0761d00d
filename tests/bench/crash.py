"""Whether a crash anywhere on the way of one mutation breaks a promise."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import product

from crash.at import PROMISES, VICTIMS
from crash.inside.sitecustomize import POINTS
from crash.matrix import observe

from bench.figures import Figure

ROUNDS = 1
HOW = """\
At each point of the way of one mutation the worker, the play, the driver or all of them are killed (kill -9), in a
real run each; then an operator settles what is unknown and runs again. After each the disk, the ledger and the exit
codes are held against the same promises. The whole matrix in words: `python tests/crash/matrix.py`."""


def measure(rounds: int) -> Iterator[Figure]:
    cells = list(product(POINTS, VICTIMS)) * rounds
    with ProcessPoolExecutor(2) as pool:
        broken = [
            (*cell, seen.broken) for cell, seen in zip(cells, pool.map(observe, cells), strict=True) if seen.broken
        ]
    for point, victim, promises in broken:
        print(f"  {victim} killed {point}: {'; '.join(promises)}", file=sys.stderr)
    yield Figure("points", len(POINTS))
    yield Figure("combinations of a point and what dies there", len(cells))
    yield Figure("promises that each is held against", len(PROMISES))
    yield Figure("promises broken", sum(len(promises) for _, _, promises in broken), "", "= 0")
