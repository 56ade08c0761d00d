"""The crash matrix as a Markdown table of what is really seen: `python tests/crash/matrix.py`."""

from __future__ import annotations

import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # it runs from any folder

from crash.at import GOOD, VICTIMS, Aftermath, crash
from crash.inside.sitecustomize import POINTS

HEAD = """\
What is left when something of a run dies (kill -9) at a step of the way of one mutation. Each cell is one real run: what was on
disk and on the record once its last process was gone, what `responder settle` found, and how the next `responder run` ended.
"""


def observe(cell: tuple[str, str]) -> Aftermath:
    with tempfile.TemporaryDirectory() as folder:
        return crash(Path(folder).resolve(), *cell)


def words(seen: Aftermath) -> str:
    """One cell: how it ended, what it left, what became of it."""
    parts = [
        f"exit {seen.code}",
        "changed" if seen.release == GOOD else "unchanged",
        f"outcome {', '.join(map(str, seen.outcomes))}" if seen.attempts else "no intent",
    ]
    if seen.frozen:
        parts.append(f"frozen, settled: {str(seen.settled).replace('_', ' ')}")
    parts.append(f"run again: {seen.code_then}, {seen.counted} counted")
    return "; ".join(parts) + "".join(f"; **broken: {promise}**" for promise in seen.broken)


def main() -> int:
    cells = list(product(POINTS, VICTIMS))
    with ProcessPoolExecutor(2) as pool:
        seen = dict(zip(cells, pool.map(observe, cells), strict=True))
    print(HEAD)
    print("|", " | ".join(("point", *VICTIMS)), "|")
    print("|---" * (1 + len(VICTIMS)), "|", sep="")
    for point in POINTS:
        print("|", " | ".join((point, *(words(seen[point, victim]) for victim in VICTIMS))), "|")
    return int(any(one.broken for one in seen.values()))


if __name__ == "__main__":
    sys.exit(main())
