"""How much memory a long run takes under the driver."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
from bypass.world import world

from bench.figures import Figure
from bench.runners import Runner, bare, driven, lengthen

ROUNDS = 1
HOW = """\
A run of 500 tasks under `responder run` and under `ansible-runner run`. Many times a second the memory of the whole
tree of processes is read: each page counts once, however many share it (PSS), and the peak is kept; beside it the
peak of the first process alone (RSS), which is the driver."""

TASKS = 500


@dataclass(frozen=True)
class Peak:
    """The most that a run took, in bytes."""

    tree: int
    first: int

    def or_more(self, other: Peak) -> Peak:
        return Peak(max(self.tree, other.tree), max(self.first, other.first))


def measure(rounds: int) -> Iterator[Figure]:
    with tempfile.TemporaryDirectory() as folder, world(Path(folder)) as here:
        here.heals("1")
        here.write(lambda play: lengthen(play, TASKS))
        ours, others = Peak(0, 0), Peak(0, 0)
        for number in range(rounds):
            here.put_back()
            ours = ours.or_more(_peak(driven(here)))
            here.put_back()
            others = others.or_more(_peak(bare(here, here.root / f"bare-{number}")))
    for name, peak in (("responder run", ours), ("ansible-runner run", others)):
        yield Figure(f"{TASKS} tasks: {name}, all processes", peak.tree / 2**20, "MiB")
        yield Figure(f"{TASKS} tasks: {name}, its first process alone", peak.first / 2**20, "MiB")
    yield Figure(f"{TASKS} tasks: responder run / ansible-runner run, all processes", ours.tree / others.tree)


def _peak(runner: Runner) -> Peak:
    process = runner.start()
    peak = Peak(0, 0)
    while process.poll() is None:
        peak = peak.or_more(_now(process.pid))
        time.sleep(0.05)
    if process.returncode:
        raise AssertionError(f"{' '.join(runner.words)} ended with {process.returncode}")
    return peak


def _now(pid: int) -> Peak:
    """What the tree takes at this moment; a process that ends meanwhile takes nothing."""
    try:
        first = psutil.Process(pid)
        resident, family = first.memory_info().rss, [first, *first.children(recursive=True)]
    except psutil.Error:
        return Peak(0, 0)
    return Peak(sum(_share(process) for process in family), resident)


def _share(process: psutil.Process) -> int:
    try:
        return int(process.memory_full_info().pss)
    except psutil.Error:
        return 0
