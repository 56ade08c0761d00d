"""Whatever dies at whatever step of a mutation: nothing is lost, nothing counts twice, and the next run goes on."""

from __future__ import annotations

from pathlib import Path

import pytest
from crash.at import BAD, GOOD, VICTIMS, crash
from crash.inside.sitecustomize import POINTS

pytestmark = pytest.mark.slow

NOTHING, NOT_DONE, DONE = (BAD, (), None), (BAD, ("unknown",), "not_done"), (GOOD, ("unknown",), "done")
LEFT = {
    "before the plan": NOTHING,
    "after the plan": NOTHING,
    "after the undo capsule": NOTHING,
    "in the decision, before its commit": NOTHING,
    "after the decision": NOT_DONE,
    "after the last look": NOT_DONE,
    "in the effect, before the change": NOT_DONE,
    "in the effect, after the change": DONE,
    "after the effect": DONE,
    "after its record": DONE,
    "during the evidence": DONE,
    "before the outcome's commit": DONE,
    "after the outcome": (GOOD, ("improved",), None),
}
"""What stands on the disk and on the record, and what the probe says of it, when everything dies at once."""


@pytest.mark.parametrize("point", POINTS)
def test_everything_dies_at_once(tmp_path: Path, point: str) -> None:
    found = crash(tmp_path, point, "everything")
    assert found.broken == []
    assert (found.release, found.outcomes, found.settled) == LEFT[point]


@pytest.mark.parametrize("point", POINTS)
def test_the_driver_dies_and_its_worker_brings_to_an_end_what_it_began(tmp_path: Path, point: str) -> None:
    found = crash(tmp_path, point, "driver")
    assert found.broken == []
    assert (found.release, found.outcomes, found.frozen) == (GOOD, ("improved",), ())


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("victim", [victim for victim in VICTIMS if victim not in ("everything", "driver")])
def test_the_driver_that_lives_tells_what_died_below_it(tmp_path: Path, point: str, victim: str) -> None:
    """How far the others come before the driver ends them is theirs to race for; that it is told and held is not."""
    found = crash(tmp_path, point, victim)
    assert found.broken == []
    assert found.code == (5 if found.unknown else 1)
