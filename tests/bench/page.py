"""The page of all figures: what was measured, how, on what, and by which command."""

from __future__ import annotations

import importlib
import os
import platform
import sqlite3
import subprocess
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

from support.postgresql import programs

from bench.figures import table

COLUMNS = ("figure", "value", "unit", "goal", "ok")
TOP = """\
# Performance

Written by `scripts/bench --write docs/performance.md`; nothing here is typed by hand. Figures that compare are ratios
of runs that stood side by side; single times are of this machine alone. Under each table stands the command that gives
its figures.

| measured on | |
| --- | --- |
"""


def text(found: Mapping[str, Sequence[Mapping[str, Any]]], rounds: int | None, surroundings: Mapping[str, str]) -> str:
    """The page of these figures by bench."""
    option = f" --rounds {rounds}" if rounds else ""
    sections = [
        f"\n## {name}\n\n{importlib.import_module(f'bench.{name}').HOW}\n\n{table(figures, COLUMNS)}\n\n"
        f"    scripts/bench {name}{option}\n"
        for name, figures in found.items()
    ]
    return TOP + "".join(f"| {name} | {value} |\n" for name, value in surroundings.items()) + "".join(sections)


def surroundings() -> Mapping[str, str]:
    """What the figures depend on, as it is now."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    server = programs()
    postgresql = server and subprocess.run(
        [server / "postgres", "--version"], capture_output=True, text=True, check=True
    )
    return {
        "processors": f"{os.cpu_count()}, {platform.machine()}",
        "memory": f"{memory:.0f} GiB",
        "other work": f"load average {os.getloadavg()[0]:.1f} when it began",
        "Python": platform.python_version(),
        "ansible-core": version("ansible-core"),
        "ansible-runner": version("ansible-runner"),
        "SQLite": sqlite3.sqlite_version,
        "PostgreSQL": postgresql.stdout.split()[2] if postgresql else "none",
        "sre-responder": version("sre-responder"),
    }
