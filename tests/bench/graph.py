"""How long the guard takes to know how far an action reaches, in a graph of a large company."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.figures import Figure, percentile
from sre_responder.home import observed
from sre_responder.home.catalogue import Catalogue, Service
from sre_responder.home.graph import Graph
from sre_responder.home.observed import Call, Seen

HOW = (
    "10,000 services and 100,000 random calls between them, so that a change to one reaches almost all: the file that `responder graph "
    "refresh` leaves is read and merged with the catalogue, and the radius of 20 services is taken. Processor time, for nothing is waited for."
)
ROUNDS = 10
SERVICES, EDGES, ASKED = 10_000, 100_000, 20


def measure(rounds: int) -> Iterator[Figure]:
    names = [f"service-{number}" for number in range(SERVICES)]
    catalogue = Catalogue({name: Service(name, "x", None, (), {}) for name in names}, Path("catalogue.yml"))
    chance = random.Random(1)
    calls = {(f"shop/{chance.choice(names)}", f"shop/{chance.choice(names)}") for _ in range(2 * EDGES)}
    seen = Seen(at=0.0, calls=tuple(Call(*pair, 1.0, 0.0) for pair in sorted(calls)[:EDGES]))
    loads, answers = [], []
    with TemporaryDirectory() as folder:
        place = Path(folder, observed.FILE)
        observed.save(place, {"istio@mesh": seen})
        for _ in range(rounds):
            began = time.process_time()
            graph = Graph(catalogue, observed.load(place).sources)
            _ = graph.dependencies
            loads.append(time.process_time() - began)
            for name in chance.sample(names, ASKED):
                began = time.process_time()
                graph.radius(name)
                answers.append(time.process_time() - began)
    yield Figure("load from the file, median", percentile(loads, 0.5), "s", "<= 1")
    yield Figure("one radius, p95", 1000 * percentile(answers, 0.95), "ms", "<= 50")
