"""`scripts/bench scenarios`: runs scenarios one after the other, and says how many were healed and harmed."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from support.control_plane import programs, running

from bench.scenarios.given import OWN, read
from bench.scenarios.trial import Result, tried

STAGES = Path(__file__).with_name("stages.yml")
HOLD_SECONDS = 60


def main(words: Sequence[str]) -> int:
    """Exit code 1 where anything was harmed, or falsely called healed, or could not be run."""
    parser = argparse.ArgumentParser(prog="scripts/bench scenarios", description=__doc__)
    add = parser.add_argument
    add("names", metavar="NAME", nargs="*", help="only these; without a name, all")
    add("--from", dest="file", type=Path, default=OWN, metavar="FILE", help="scenarios in ITBench's JSON form, instead of our own")  # fmt: skip
    add("--json", action="store_true", help="a list of scenario, healed, handed_over, seconds, wrong_changes, touched, reason")  # fmt: skip
    add("--hold", type=float, default=HOLD_SECONDS, metavar="SECONDS", help="how long a service must stay well to count as healed (%(default)s)")  # fmt: skip
    add("--quick", action="store_true", help="the shipped runbooks with a watch of seconds: to try something, not for figures")  # fmt: skip
    given = parser.parse_args(words)
    if (found := programs()) is None:
        raise SystemExit("the test cluster is not built: tests/cluster/build")
    scenarios = read(given.file)
    if unheard := {*given.names} - {one.name for one in scenarios}:
        parser.error(f"{given.file} has no scenario {', '.join(sorted(unheard))}")
    results = []
    with tempfile.TemporaryDirectory() as folder, running(Path(folder), found, stages=[STAGES]) as cluster:
        for scenario in scenarios:
            if not given.names or scenario.name in given.names:
                results.append(tried(cluster, scenario, given.hold, quick=given.quick))
                print(line(results[-1]), file=sys.stderr, flush=True)
    if given.json:
        print(json.dumps([asdict(result) for result in results], indent=2))
    print(summary(results), file=sys.stderr if given.json else sys.stdout)
    return 1 if any(not one.ran or one.falsely_healed or one.wrong_changes for one in results) else 0


def line(result: Result) -> str:
    """One result for people."""
    word = "healed" if result.healed else "handed over" if result.handed_over else "neither healed nor handed over"
    wrong = f"; harmed: {', '.join(result.wrong_changes)}" if result.wrong_changes else ""
    return f"{result.scenario}: {word} after {result.seconds:g} s{wrong}\n    {result.reason}"


def summary(results: Sequence[Result]) -> str:
    """Of all scenarios that ran, how many were healed, harmed, and falsely called healed."""
    ran = [result for result in results if result.ran]

    def share(name: str, hits: Sequence[bool]) -> str:
        return f"{name:13} {sum(hits)} of {len(hits)} ({100 * sum(hits) / max(1, len(hits)):.0f} %)"

    return "\n".join([
        share("healed", [one.healed for one in ran]),
        share("handed over", [one.handed_over for one in ran]),
        share("false healed", [one.falsely_healed for one in ran]),
        share("harm", [bool(one.wrong_changes) for one in ran]),
        *(f"{result.scenario} {result.reason}" for result in results if not result.ran),
    ])  # fmt: skip
