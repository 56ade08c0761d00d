"""How often a service that fails some of its requests is called healed: what the verdict promises, and what it does."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import product

from bench.figures import Figure
from sre_responder.evidence.verdict import watch
from sre_responder.model.criterion import Criterion
from sre_responder.model.look import Sample

ROUNDS = 4000
HOW = """\
The real verdict over a service that answers a share of its requests well, each by chance, on a clock that only sleeping
moves: of so many watches, how many ended as improved. Beside it what the binomial distribution says. The simulation is
seeded, so every machine gets the same figures. With the defaults (`hold_s: 10`, `interval_s: 0.2`, 51 samples, all good)
a service that fails half of its requests must not pass more than once in 10,000; nor may it with the fewest samples that
a window may take (`minimum_samples: 20`). A longer `watch_s` changes nothing: only the window at the end counts."""

SETTINGS = {
    "defaults": Criterion(),
    "defaults, watch_s 60": Criterion(watch_s=60),
    "hold_s 0 (20 samples)": Criterion(hold_s=0),
    "hold_s 30 (151 samples)": Criterion(hold_s=30),
    "hold_s 60, good_share 0.95 (301 samples)": Criterion(hold_s=60, good_share=0.95),
    "minimum_samples 5, hold_s 0": Criterion(minimum_samples=5, hold_s=0),
}
TOO_FEW = "minimum_samples 5, hold_s 0"
SUCCESS_RATES = (0.5, 0.9, 0.99)


class _Service:
    """Answers well by chance; its own clock."""

    def __init__(self, success_rate: float, seed: str) -> None:
        self.now, self.success_rate, self.random = 0.0, success_rate, random.Random(seed)

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def take(self) -> Sample:
        return Sample(self.now, self.random.random() < self.success_rate, "simulated")


def measure(rounds: int) -> Iterator[Figure]:
    for (name, criterion), rate in product(SETTINGS.items(), SUCCESS_RATES):
        service = _Service(rate, f"{name} {rate}")
        healed = sum(
            watch(criterion, service.take, service.clock, service.sleep).state == "improved" for _ in range(rounds)
        )
        goal = "<= 0.0001" if rate == 0.5 and name != TOO_FEW else None
        yield Figure(f"{name}: {rate:.0%} good, called healed", healed / rounds, "", goal)
        yield Figure(f"{name}: {rate:.0%} good, probability", criterion.chance(rate), "", goal)
