"""What a rollback on Kubernetes costs: guarded, with kubernetes.core, with kubectl, and the bare effect in process."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from bypass.world import Play, World, world
from support.control_plane import Cluster, programs, running, wait_until
from support.kubernetes_shop import Shop

from bench.community import collections
from bench.driver import UNLIMITED, durations
from bench.figures import Figure, ratio
from bench.runners import bare
from sre_responder.effects import EFFECTS

ROUNDS = 5
HOW = """\
One play on a real control plane breaks a Deployment and returns it to the revision before, three times: with
`kubernetes_rollback` under the guard, with `kubernetes.core.k8s_rollback`, and with `kubectl rollout undo` as a
command; ansible-runner says how long each task took. The guarded one plans by a dry run, decides, writes the undo
playbook, patches, waits until all is rolled out, and takes a sample of evidence; the others patch, and look at nothing.
Then the effect alone, in a process that has the client library: its plan, and its act with the wait for the rollout."""

KUBECTL, CORE, GUARDED = "with kubectl", "with kubernetes.core", "guarded"


def measure(rounds: int) -> Iterator[Figure]:
    found = programs()
    if found is None:
        raise SystemExit("the test cluster is not built: tests/cluster/build")
    with (
        tempfile.TemporaryDirectory() as folder,
        running(Path(folder), found) as cluster,
        tempfile.TemporaryDirectory() as home,
        world(Path(home), **UNLIMITED) as here,
    ):
        shop = _shop(cluster, here)
        yield from _of_a_task(here, shop, rounds)
        yield from _of_the_effect(shop, rounds)


def _shop(cluster: Cluster, here: World) -> Shop:
    cluster.kubectl("create", "namespace", "bench")
    shop = Shop(cluster, "bench")
    shop.release("1")
    file = here.home.folder / "catalogue.yml"
    service = yaml.safe_load(file.read_text())
    service["metadata"]["annotations"] |= {
        "responder/kubeconfig": str(cluster.kubeconfig),
        "backstage.io/kubernetes-namespace": shop.namespace,
        "responder/kubernetes-name": shop.name,
    }
    file.write_text(yaml.safe_dump(service))
    return shop


def _of_a_task(here: World, shop: Shop, rounds: int) -> Iterator[Figure]:
    here.write(lambda play: _three_ways(play, shop))
    path = collections("kubernetes.core")
    taken: dict[str, list[float]] = defaultdict(list)
    for number in range(rounds + 1):
        folder = here.root / f"tasks-{number}"
        bare(here, folder, ANSIBLE_COLLECTIONS_PATH=str(path)).run()
        for name, seconds in durations(folder / "artifacts" / "run" / "job_events").items():
            taken[name].append(seconds)
        if shop.tag != "1":
            raise AssertionError("nothing was rolled back")
    ways = {name: taken[name][1:] for name in (GUARDED, CORE, KUBECTL)}  # the first fills caches
    for name, seconds in ways.items():
        yield Figure(f"a rollback {name}, median", statistics.median(seconds) * 1000, "ms")
    yield Figure("guarded / kubernetes.core", ratio(ways[GUARDED], ways[CORE]), "", "<= 0.25")
    yield Figure("guarded / kubectl", ratio(ways[GUARDED], ways[KUBECTL]))


def _three_ways(play: Play, shop: Shop) -> None:
    """The same rollback three times, each of a workload that has just become ill."""
    names = {name: value for name, value in play["tasks"][1]["sre.responder.release_rollback"].items() if name != "to"}
    config, kubectl = str(shop.cluster.kubeconfig), str(shop.cluster.kubectl_program)
    of = f"{kubectl} --kubeconfig {config} -n {shop.namespace}"
    ill = (
        f"{of} set image deployment/shop shop=registry.test:5000/shop:bad-pull-2 && "
        f"until {of} get pods -o yaml | grep -q ImagePullBackOff; do sleep 0.1; done"
    )
    fall_ill: dict[str, Any] = {"name": "Break", "ansible.builtin.shell": ill}
    core = {
        "kubeconfig": config,
        "api_version": "apps/v1",
        "kind": "Deployment",
        "name": "shop",
        "namespace": shop.namespace,
    }
    undo = [kubectl, "--kubeconfig", config, "-n", shop.namespace, "rollout", "undo", "deployment/shop"]
    play["vars"]["runbook"]["success"] = {
        "source": "kubernetes",
        "minimum_samples": 1,
        "hold_s": 0,
        "interval_s": 0.05,
        "watch_s": 0.01,
    }
    play["tasks"] = [
        {"name": "Look", "sre.responder.diagnose": names},
        fall_ill,
        {"name": GUARDED, "sre.responder.kubernetes_rollback": names},
        fall_ill,
        {"name": CORE, "kubernetes.core.k8s_rollback": core},
        fall_ill,
        {"name": KUBECTL, "ansible.builtin.command": {"argv": undo}},
    ]


def _of_the_effect(shop: Shop, rounds: int) -> Iterator[Figure]:
    effect, arguments = EFFECTS["kubernetes_rollback"], {**shop.arguments, "to": "previous"}
    plans, acts = [], []
    for number in range(rounds + 1):
        shop.release_bad()
        wait_until(lambda: effect.plan(arguments).busy is None, "the rollout fails")
        began = time.perf_counter()
        change = effect.plan(arguments)
        planned = time.perf_counter()
        effect.act(arguments, change)
        if number:  # the first imports the client library
            plans.append((planned - began) * 1000)
            acts.append((time.perf_counter() - planned) * 1000)
    yield Figure("the effect's plan in process, median", statistics.median(plans), "ms")
    yield Figure("the effect's act in process, median", statistics.median(acts), "ms")
