"""What a plan costs in a namespace with 200 ReplicaSets and 5,000 pods, against one with the workload alone."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from support.control_plane import Cluster, programs, running, wait_until
from support.kubernetes_shop import Shop

from bench.figures import Figure, ratio

ROUNDS = 5
HOW = """\
The plan of `kubernetes_rollback`, as the guard asks for it, in a process of its own: for a Deployment that is alone in its
namespace, and for one beside 199 others with 5,000 pods in all, in turn. The peak of the process's memory (RSS), the
client library included."""

DEPLOYMENTS, PODS = 200, 25
PLANS = """
import json, resource, sys, time
from sre_responder.effects import EFFECTS
arguments = json.loads(sys.argv[1])
plan = EFFECTS["kubernetes_rollback"].plan
plan(arguments)
began = time.perf_counter()
plan(arguments)
print(json.dumps([time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]))
"""


def measure(rounds: int) -> Iterator[Figure]:
    found = programs()
    if found is None:
        raise SystemExit("the test cluster is not built: tests/cluster/build")
    with tempfile.TemporaryDirectory() as folder, running(Path(folder), found) as cluster:
        alone, among = _shop(cluster, "alone", 1), _shop(cluster, "among", DEPLOYMENTS)
        taken: dict[str, list[tuple[float, float]]] = {"alone": [], "among": []}
        for _ in range(rounds):
            for shop in (alone, among):
                taken[shop.namespace].append(_planned(shop))
    seconds = {name: [one[0] for one in values] for name, values in taken.items()}
    yield Figure("a plan, alone in its namespace, median", statistics.median(seconds["alone"]) * 1000, "ms")
    yield Figure("a plan among 5,000 pods, median", statistics.median(seconds["among"]) * 1000, "ms")
    yield Figure("among 5,000 pods / alone", ratio(seconds["among"], seconds["alone"]))
    for name, words in (("alone", "alone"), ("among", "among 5,000 pods")):
        yield Figure(f"memory of a plan {words}, peak", max(one[1] for one in taken[name]), "MiB")


def _shop(cluster: Cluster, namespace: str, deployments: int) -> Shop:
    """A namespace whose Deployment `shop` has two revisions; the others are there for their number."""
    cluster.kubectl("create", "namespace", namespace)
    others = [Shop(cluster, namespace, name=f"other-{number}") for number in range(1, deployments)]
    texts = [yaml.safe_load(other.manifest("1", replicas=PODS)) for other in others]
    if texts:
        cluster.kubectl("-n", namespace, "apply", "-f", "-", input=yaml.safe_dump_all(texts))
    shop = Shop(cluster, namespace)
    shop.release("1", replicas=PODS)
    shop.release("2", replicas=PODS)

    def all_ready() -> bool:
        found = cluster.get("deployments", "-n", namespace)["items"]
        return sum(item["status"].get("readyReplicas", 0) for item in found) == deployments * PODS

    wait_until(all_ready, "every pod is ready", 300)
    return shop


def _planned(shop: Shop) -> tuple[float, float]:
    arguments: dict[str, Any] = {**shop.arguments, "to": "previous"}
    done = subprocess.run(
        [sys.executable, "-c", PLANS, json.dumps(arguments)], capture_output=True, text=True, check=True
    )
    seconds, memory = json.loads(done.stdout)
    return seconds, memory
