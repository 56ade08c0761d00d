"""The main job, as the README promises it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

RUNGS = {"cache": 1, "process": 2, "release": 3, "region": 4}


@pytest.mark.slow
@pytest.mark.parametrize("fault", RUNGS)
def test_each_fault_heals_at_its_own_rung_and_leaves_nothing(fault: str) -> None:
    done = subprocess.run(
        [str(Path(sys.executable).parent / "responder"), "demo", "--fault", fault, "--json"],
        capture_output=True, text=True, timeout=600, stdin=subprocess.DEVNULL, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    [found] = json.loads(done.stdout)["faults"]
    assert (found["healed"], found["rung"], found["audit_ok"], found["leftovers"]) == (True, RUNGS[fault], True, [])
    assert found["actions"] == RUNGS[fault]
    assert found["refusals"] == (1 if fault in ("release", "region") else 0)
    assert all(len(line) <= 80 for line in done.stderr.splitlines())
