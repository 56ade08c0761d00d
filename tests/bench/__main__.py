"""Runs benches by name and prints their figures: a Markdown table, JSON, or the page of all."""

from __future__ import annotations

import argparse
import importlib
import json
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench import page
from bench.figures import rounded, shown, table

BENCHES = (
    "decisions",
    "races",
    "crash",
    "stop",
    "driver",
    "audit",
    "memory",
    "kubernetes_rollback",
    "kubernetes_size",
    "verdict",
    "graph",
)
"""Each a module with HOW (what is measured), ROUNDS (how often, unless told) and measure(rounds): its figures."""


def main() -> int:
    if sys.argv[1:2] == ["scenarios"]:  # has options and a table of its own
        return int(importlib.import_module("bench.scenarios.command").main(sys.argv[2:]))
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument(
        "names", metavar="NAME", nargs="*", help=f"{', '.join(BENCHES)}; without a name, all. Alone: scenarios"
    )
    parser.add_argument("--rounds", type=int, help="how often each is measured, instead of its own number")
    parser.add_argument("--json", action="store_true", help="a list of bench, figure, value, unit, goal, ok")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="also write a page of figures, goals and methods")
    given = parser.parse_args()
    if unknown := set(given.names) - set(BENCHES):
        parser.error(f"no bench is called {', '.join(sorted(unknown))}; there are {', '.join(BENCHES)}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # what was started is ended then too
    surroundings = page.surroundings()
    found = {name: list(_measured(name, given.rounds)) for name in given.names or BENCHES}
    figures = [figure for of_bench in found.values() for figure in of_bench]
    print(json.dumps(figures, indent=2) if given.json else table(figures, ("bench", *page.COLUMNS)))
    if given.write:
        given.write.write_text(page.text(found, given.rounds, surroundings), encoding="utf-8")
    return 1 if any(figure["ok"] is False for figure in figures) else 0


def _measured(name: str, rounds: int | None) -> Iterator[dict[str, Any]]:
    module, began = importlib.import_module(f"bench.{name}"), time.monotonic()
    print(f"{name} ...", file=sys.stderr, flush=True)
    for figure in module.measure(rounds or module.ROUNDS):
        print(f"  {figure.figure}: {shown(rounded(figure.value))} {figure.unit}", file=sys.stderr, flush=True)
        yield figure.of(name)
    print(f"  {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
