"""Responder's account in a real cluster: its rights are enough and no more, a stop denies all of them, and only a person lifts it."""

from __future__ import annotations

import json
import os
import re
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import reduce
from pathlib import Path
from typing import Any

import pytest
import yaml
from bypass.world import World, world
from support.control_plane import Cluster, wait_until
from support.kubernetes_shop import Shop
from typer.testing import CliRunner

from sre_responder import cli, errors
from sre_responder.effects import EFFECTS, Change
from sre_responder.effects.kubernetes import brake
from sre_responder.effects.kubernetes.api import KINDS
from sre_responder.effects.kubernetes.brake import State
from sre_responder.effects.kubernetes.known_good import capture
from sre_responder.effects.kubernetes.manifests import manifests
from sre_responder.effects.kubernetes.rights import RIGHTS, WIDE, WORKLOADS
from sre_responder.errors import EffectFailed, InputError, OutcomeUnknown
from sre_responder.model.actions import ACTIONS
from sre_responder.model.known_good import KnownGood
from sre_responder.system.process import space

pytestmark = pytest.mark.contract

PLAN = "a1b2c3d4" * 8
Undo = Callable[["Exercise", Change], subprocess.CompletedProcess[str]]


@dataclass(frozen=True)
class Account:
    """Responder's account as the manifests made it, for one namespace of workloads."""

    admin: Cluster
    cluster: Cluster
    home: str
    namespace: str

    @property
    def arguments(self) -> dict[str, Any]:
        """How the brake finds the cluster, as the account itself."""
        return {"kubeconfig": str(self.cluster.kubeconfig), "namespace": self.home}

    @property
    def as_admin(self) -> dict[str, Any]:
        return {**self.arguments, "kubeconfig": str(self.admin.kubeconfig)}

    def kubectl(self, *words: object, check: bool = True) -> str:
        return self.cluster.kubectl("-n", self.namespace, *words, check=check)

    def may(self, verb: str, resource: str) -> bool:
        kind, _, part = resource.partition("/")
        return self.kubectl("auth", "can-i", verb, kind, f"--subresource={part}", check=False).startswith("yes")


@contextmanager
def installed(admin: Cluster) -> Iterator[Account]:
    """What the command prints, applied by real kubectl, in namespaces of its own."""
    word = secrets.token_hex(4)
    home, namespace = f"responder-{word}", f"test-{word}"
    told = CliRunner().invoke(cli.app, ["kubernetes", "manifests", "--namespace", home, "--watch", namespace])
    assert told.exit_code == 0, told.output
    admin.kubectl("create", "namespace", namespace)
    admin.apply(told.output)
    try:
        account = Account(admin, admin.as_account("responder", home), home, namespace)
        bad = ("create", "deployment", "probe", "--image=probe", "--dry-run=server")
        wait_until(lambda: "by plan only" in admin.kubectl(
            "-n", namespace, *bad, f"--as=system:serviceaccount:{home}:responder", "--as-group=system:masters", check=False
        ), "the policies are at work")  # fmt: skip
        yield account
    finally:
        admin.kubectl("delete", "-f", "-", "--wait=false", "--ignore-not-found", input=told.output)
        admin.kubectl("delete", "namespace", namespace, "--wait=false")


@pytest.fixture(scope="module")
def shared(cluster: Cluster) -> Iterator[Account]:
    with installed(cluster) as account:
        yield account


@pytest.fixture
def account(shared: Account) -> Iterator[Account]:
    """The account, with no stop set before or after."""
    yield shared
    brake.release(shared.as_admin)


@pytest.fixture
def own_account(cluster: Cluster) -> Iterator[Account]:
    """One for a test that breaks it."""
    with installed(cluster) as account:
        yield account


@dataclass(frozen=True)
class Pair:
    """One workload as admin and account see it, which has served two images."""

    admin: Shop
    account: Shop

    def arguments(self, exercise: Exercise, **more: Any) -> dict[str, Any]:
        """What the account asks of the action: its own options, and other ways to find the workload."""
        words = {**self.account.arguments, **exercise.options(self.admin), **more}
        return {key: value for key, value in words.items() if value is not None}

    def perform(self, exercise: Exercise, **more: Any) -> Change:
        """Plan and act, as the account."""
        arguments, effect = self.arguments(exercise, **more), EFFECTS[exercise.action]
        change = effect.plan(arguments)
        effect.act({**arguments, "_plan": PLAN, "_incident": "INC-1234"}, change)
        return change

    def settle(self) -> None:
        """Well, with two pods and a finished rollout; a StatefulSet waits for its broken pods for ever."""
        image = f"shop=registry.test:5000/shop:{'1' if self.admin.tag == '1' else '2'}"
        what = f"{self.admin.kind}/{self.admin.name}"
        self.admin.kubectl("rollout", "resume", what, check=False)
        made = "networkpolicies,leases,services,resourcequotas,limitranges,horizontalpodautoscalers"
        self.admin.kubectl("delete", made, "--all")
        self.admin.kubectl("set", "image", what, image)
        given(self.admin, *KEPT)
        broken = any("waiting" in state for tag in ("1", "2") for state in self.admin.states(tag))
        if broken or self.admin.states("bad-pull-0") or self.admin.states("crash-0"):
            self.admin.kubectl("delete", "pods", "-l", f"app={self.admin.name}", "--wait=false")
        if self.admin.kind != "DaemonSet":
            self.admin.kubectl("scale", what, "--replicas=2")
        self.admin.kubectl("rollout", "status", what, "--timeout=60s")


@dataclass(frozen=True)
class Exercise:
    """How an action is made to use its rights."""

    action: str
    kinds: tuple[str, ...]
    options: Callable[[Shop], dict[str, Any]] = lambda shop: {}
    first: Callable[[Shop], object] = lambda shop: None
    """What an admin does first."""


def other_image(shop: Shop) -> dict[str, Any]:
    return {"to": f"registry.test:5000/shop:{'1' if shop.tag != '1' else '2'}"}


KEPT = ({"configMapRef": {"name": "settings"}}, {"secretRef": {"name": "key"}})
"""What nobody changes: a change of it would be the cause, for which no rollback is the cure."""


def given(shop: Shop, *sources: dict[str, Any]) -> None:
    """Its pods get their environment from there."""
    path = "/spec/template/spec/containers/0/envFrom"
    shop.kubectl(
        "patch", shop.kind, shop.name, "--type=json", "-p", json.dumps([{"op": "add", "path": path, "value": sources}])
    )


def one_pod(shop: Shop) -> dict[str, Any]:
    found = shop.kubectl(
        "get", "pods", "-l", f"app={shop.name}", "--field-selector", "status.phase=Running", "-o", "name"
    )
    return {"pod": found.split()[0].removeprefix("pod/")}


def begin_a_rollout(shop: Shop, tag: str = "bad-pull-0") -> None:
    shop.kubectl("set", "image", f"{shop.kind}/{shop.name}", f"shop=registry.test:5000/shop:{tag}")
    wait_until(lambda: any("waiting" in state for state in shop.states(tag)), "the bad one begins, and fails")


def break_a_pod(shop: Shop) -> None:
    """A pod that has come up crashes again and again, and no rollout is the reason."""
    pod = one_pod(shop)["pod"]
    container = {
        "name": "shop", "image": f"registry.test:5000/shop:{shop.tag}", "imageID": "", "ready": False, "restartCount": 3,
        "state": {"waiting": {"reason": "CrashLoopBackOff"}},
    }  # fmt: skip
    status = {"conditions": [{"type": "Ready", "status": "False"}], "containerStatuses": [container]}
    shop.kubectl("patch", "pod", pod, "--subresource=status", "--type=merge", "-p", json.dumps({"status": status}))


CAPTURED: dict[str, KnownGood] = {}
"""How everything of a workload was before it was broken, by the workload's name."""


def remembered(shop: Shop) -> dict[str, Any]:
    return {"_known_good": lambda: CAPTURED[shop.name]}


def captured(shop: Shop) -> None:
    CAPTURED[shop.name] = replace(capture(shop.arguments), at=time.time() + 1)  # the API keeps times by the second


def broken(how: Callable[[Shop], object]) -> Callable[[Shop], None]:
    """All that belongs to the workload, which then is broken."""

    def first(shop: Shop) -> None:
        labels = {"app": shop.name}
        opened = {"podSelector": {"matchLabels": labels}, "policyTypes": ["Ingress"], "ingress": [{}]}
        closed = {"podSelector": {"matchLabels": labels}, "policyTypes": ["Ingress"]}
        for api, kind, name, spec in (
            ("v1", "Service", shop.name, {"selector": labels, "ports": [{"port": 80}]}),
            ("networking.k8s.io/v1", "NetworkPolicy", shop.name, opened),
            ("networking.k8s.io/v1", "NetworkPolicy", f"{shop.name}-closed", closed),
            ("v1", "ResourceQuota", "all", {"hard": {"pods": "99"}}),
            ("v1", "LimitRange", "all", {"limits": [{"type": "PersistentVolumeClaim", "max": {"storage": "1Ti"}}]}),
        ):
            document = {"apiVersion": api, "kind": kind, "metadata": {"name": name}, "spec": spec}
            shop.kubectl("apply", "-f", "-", input=yaml.safe_dump(document))
        captured(shop)
        how(shop)

    return first


def patched(kind: str, name: str = "", **fields: Any) -> Callable[[Shop], object]:
    return lambda shop: shop.kubectl("patch", kind, name or shop.name, "--type=merge", "-p", json.dumps(fields))


def deleted(kind: str, name: str = "") -> Callable[[Shop], object]:
    return lambda shop: shop.kubectl("delete", kind, name or shop.name)


def refused(kind: str, **spec: Any) -> Callable[[Shop], object]:
    """A quota or a range of limits refuses the workload's pods."""

    def do(shop: Shop) -> None:
        shop.kubectl("patch", kind, "all", "--type=merge", "-p", json.dumps({"spec": spec}))
        if kind == "resourcequota":
            where = (kind, "all", "-n", shop.namespace)
            wait_until(lambda: shop.cluster.get(*where)["status"].get("hard") == spec["hard"], "it counts")
        shop.kubectl("delete", "pods", "-l", f"app={shop.name}")
        wait_until(lambda: "ReplicaFailure" in json.dumps(shop.document["status"]), "its pods are refused")

    return do


def with_settings(how: Callable[[Shop], object]) -> Callable[[Shop], None]:
    """Its pods read a ConfigMap of its own, which then is broken."""

    def do(shop: Shop) -> None:
        shop.kubectl("delete", "configmap", shop.name, "--ignore-not-found")
        shop.kubectl("create", "configmap", shop.name)
        given(shop, *KEPT, {"configMapRef": {"name": shop.name}})
        shop.kubectl("rollout", "status", f"{shop.kind}/{shop.name}", "--timeout=60s")
        captured(shop)
        how(shop)

    return do


def autoscaled_low(shop: Shop) -> None:
    shop.kubectl("autoscale", "deployment", shop.name, "--min=1", "--max=5", check=False)
    captured(shop)
    patched("horizontalpodautoscaler", spec={"minReplicas": 1, "maxReplicas": 1})(shop)


RESTORED: dict[str, tuple[tuple[str, ...], Callable[[Shop], object]]] = {
    "Service": (("Deployment", "DaemonSet"), patched("service", spec={"selector": {"app": "other"}})),
    "deleted Service": (("Deployment",), deleted("service")),
    "NetworkPolicy": (("Deployment",), lambda shop: (deleted("networkpolicy", f"{shop.name}-closed")(shop), patched("networkpolicy", spec={"ingress": None})(shop))),
    "deleted NetworkPolicy": (("Deployment",), deleted("networkpolicy")),
    "settings": (("Deployment", "StatefulSet"), with_settings(patched("configmap", data={"mode": "bad"}))),
    "deleted settings": (("Deployment",), with_settings(deleted("configmap"))),
    "count": (("Deployment", "StatefulSet"), lambda shop: shop.kubectl("scale", f"{shop.kind}/{shop.name}", "--replicas=0")),
    "quota": (("Deployment",), refused("resourcequota", hard={"pods": "0"})),
    "limits": (("Deployment",), refused("limitrange", limits=[{"type": "Pod", "min": {"cpu": "1"}}])),
    "autoscaler": (("Deployment",), autoscaled_low),
}  # fmt: skip
ALL = ("Deployment", "StatefulSet", "DaemonSet")
COUNTED = ("Deployment", "StatefulSet")
EXERCISES = {
    "quarantine": Exercise(
        "kubernetes_isolate", ("Deployment", "DaemonSet"), lambda shop: {"how": "quarantine"}, begin_a_rollout
    ),
    "network policy": Exercise("kubernetes_isolate", ALL, lambda shop: {"how": "network_policy"}),
    "scale to zero": Exercise("kubernetes_isolate", COUNTED, lambda shop: {"how": "scale_to_zero"}),
    "pause": Exercise("kubernetes_pause_rollout", ("Deployment",), first=begin_a_rollout),
    "evict": Exercise("kubernetes_evict", ALL, one_pod),
    "restart": Exercise("kubernetes_restart", ALL),
    "scale": Exercise("kubernetes_scale", COUNTED, lambda shop: {"replicas": 3}),
    "rollback": Exercise("kubernetes_rollback", ALL, other_image),
    **{
        f"restore {what}": Exercise("kubernetes_restore", kinds, remembered, broken(how))
        for what, (kinds, how) in RESTORED.items()
    },
}


@pytest.fixture(scope="module")
def pairs(shared: Account) -> Callable[[str], Pair]:
    """`pairs(KIND)` is the workload of that kind, made when it is first asked for."""
    made: dict[str, Pair] = {}

    def pair(kind: str) -> Pair:
        if kind not in made:
            shop = Shop(shared.admin, shared.namespace, kind, f"shop-{kind.lower()}")
            for what in ("configmap/settings", "secret/generic/key"):
                shop.kubectl("create", *what.split("/"), check=False)  # another kind's may be there
            for tag in ("1", "2"):
                document = yaml.safe_load(shop.manifest(tag))
                document["spec"]["template"]["spec"]["containers"][0]["envFrom"] = [*KEPT]
                shop.kubectl("apply", "-f", "-", input=yaml.safe_dump(document))
                shop.kubectl("rollout", "status", f"{kind}/{shop.name}", "--timeout=60s")
            made[kind] = Pair(shop, replace(shop, cluster=shared.cluster))
        return made[kind]

    return pair


@pytest.fixture(scope="module")
def alone(shared: Account) -> Callable[[str], None]:
    """`alone(ACTION)` leaves the account that action's role and no other, so that each right is the action's own."""
    made = [one for one in manifests(shared.home, [shared.namespace]) if one["kind"] == "RoleBinding"]
    roles = {one["roleRef"]["name"]: one for one in made if one["metadata"]["namespace"] == shared.namespace}
    now = [""]

    def only(action: str) -> None:
        name = f"{shared.home}-{action.replace('_', '-')}"
        if now != [name]:
            shared.admin.kubectl("delete", "rolebinding", "-n", shared.namespace, "--all")
            wait_until(lambda: not shared.may("create", "leases"), "the account may do nothing")
            shared.admin.apply(yaml.safe_dump(roles[name]))
            wait_until(lambda: shared.may("create", "leases"), f"the account has {name}")
            now[:] = [name]

    return only


@pytest.fixture
def undo(
    account: Account, undo_by_hand: Callable[[str, Change], subprocess.CompletedProcess[str]], monkeypatch: pytest.MonkeyPatch
) -> Callable[[Exercise, Change], subprocess.CompletedProcess[str]]:  # fmt: skip
    """Undoes a change by its playbook, as the account."""
    monkeypatch.setenv("PATH", f"{account.admin.kubectl_program.parent}{os.pathsep}{os.environ['PATH']}")
    return lambda exercise, change: undo_by_hand(exercise.action, change)


@pytest.mark.parametrize(("name", "kind"), [(name, kind) for name, one in EXERCISES.items() for kind in one.kinds])
def test_an_action_is_done_and_undone_with_its_own_role_and_no_other(
    account: Account, alone: Callable[[str], None], pairs: Callable[[str], Pair], undo: Undo, name: str, kind: str
) -> None:
    pair, exercise = pairs(kind), EXERCISES[name]
    effect = EFFECTS[exercise.action]
    pair.settle()
    exercise.first(pair.admin)
    alone(exercise.action)
    change = pair.perform(exercise)
    assert effect.became(change, effect.read(pair.arguments(exercise, _target=change.target))) == "done"
    assert "could not be looked at" not in str(change.evidence)
    if ACTIONS[exercise.action].undoable and change.undo:  # what may be secret is not kept to undo it with
        undone = undo(exercise, change)
        assert undone.returncode == 0, undone.stdout + undone.stderr
        assert effect.became(change, effect.read(pair.arguments(exercise, _target=change.target))) == "not_done"


KIND_OF = {
    "statefulsets": "StatefulSet", "controllerrevisions": "StatefulSet", "pods": "StatefulSet", "daemonsets": "DaemonSet",
}  # fmt: skip
LISTED = [("list", resource) for resource in WORKLOADS]
WORDS = {plural: rf"({kind}|{plural})" for kind, (_, plural) in KINDS.items()} | {"pods/eviction": "eviction of pod"}
WARNED = ("configmaps", "secrets", "poddisruptionbudgets")
ELSEWHERE = {*WIDE, "kubernetes_hold"}
"""Tested with what they need besides: test_kubernetes_drain.py has nodes of its own, test_kubernetes_hold.py who keeps a workload."""
EACH = [
    (action, resource, verb)
    for action, rules in RIGHTS.items()
    if action not in ELSEWHERE
    for rule in rules
    for resource in rule.resources
    for verb in rule.verbs
]  # fmt: skip


BY_UNDO = {
    ("kubernetes_rollback", "replicasets", "get"),
    ("kubernetes_rollback", "replicasets", "patch"),
    ("kubernetes_scale", "horizontalpodautoscalers", "get"),
    ("kubernetes_isolate", "horizontalpodautoscalers", "get"),
    ("kubernetes_isolate", "horizontalpodautoscalers", "patch"),
    ("kubernetes_isolate", "pods", "delete"),
    ("kubernetes_isolate", "networkpolicies", "delete"),
    ("kubernetes_restore", "services", "delete"),
    ("kubernetes_restore", "configmaps", "delete"),
    ("kubernetes_restore", "networkpolicies", "delete"),
}
BY: dict[tuple[str, ...], str] = {
    ("kubernetes_isolate", "daemonsets"): "network policy",
    ("kubernetes_isolate", "networkpolicies"): "network policy",
    ("kubernetes_isolate", "statefulsets"): "scale to zero",
    ("kubernetes_isolate", "deployments"): "scale to zero",
    ("kubernetes_isolate", "horizontalpodautoscalers"): "scale to zero",
    ("kubernetes_isolate", "leases"): "scale to zero",
    ("kubernetes_restore", "leases"): "restore count",
    ("kubernetes_restore", "deployments"): "restore count",
    ("kubernetes_restore", "statefulsets"): "restore count",
    ("kubernetes_restore", "replicasets"): "restore quota",
    ("kubernetes_restore", "controllerrevisions"): "restore settings",
    ("kubernetes_restore", "configmaps"): "restore settings",
    ("kubernetes_restore", "networkpolicies"): "restore NetworkPolicy",
    ("kubernetes_restore", "resourcequotas"): "restore quota",
    ("kubernetes_restore", "limitranges"): "restore limits",
    ("kubernetes_restore", "horizontalpodautoscalers"): "restore autoscaler",
    **{
        ("kubernetes_restore", resource, verb): f"restore deleted {what}"
        for resource, what in (
            ("services", "Service"),
            ("configmaps", "settings"),
            ("networkpolicies", "NetworkPolicy"),
        )
        for verb in ("create", "delete")
    },
}
"""Which exercise uses a right, where it is not the action's first."""


def test_every_action_is_exercised() -> None:
    assert {one.action for one in EXERCISES.values()} == set(RIGHTS) - ELSEWHERE


def left_by_a_dead_process(shop: Shop) -> None:
    """The lock of a healer on this machine that was killed: it is taken over."""
    dead = subprocess.Popen(["true"])
    dead.wait()
    uid = shop.document["metadata"]["uid"]
    held = {"holderIdentity": f"{socket.gethostname()}/{dead.pid}/0.00/{space()}"}
    metadata = {"name": f"responder-{uid}"}
    lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": held}
    shop.kubectl("apply", "-f", "-", input=json.dumps(lease))


@contextmanager
def without(account: Account, action: str, resource: str, verb: str) -> Iterator[None]:
    """The action's role with one verb less on one resource."""
    role = f"{account.home}-{action.replace('_', '-')}"
    before = account.admin.get("clusterrole", role)["rules"]
    rules = [
        {**rule, "resources": [one], "verbs": [v for v in rule["verbs"] if (one, v) != (resource, verb)]}
        for rule in before
        for one in rule["resources"]
    ]
    rules = [rule for rule in rules if rule["verbs"]]
    account.admin.kubectl("patch", "clusterrole", role, "--type=merge", "-p", json.dumps({"rules": rules}))
    wait_until(lambda: not account.may(verb, resource), f"the account may not {verb} {resource}")
    try:
        yield
    finally:
        account.admin.kubectl("patch", "clusterrole", role, "--type=merge", "-p", json.dumps({"rules": before}))
        wait_until(lambda: account.may(verb, resource), f"the account may {verb} {resource}")


@pytest.fixture
def scaler(shared: Account, pairs: Callable[[str], Pair]) -> Iterator[None]:
    """An autoscaler of the Deployment."""
    shop = pairs("Deployment").admin
    shop.kubectl("autoscale", "deployment", shop.name, "--min=2", "--max=5")
    yield
    shop.kubectl("delete", "horizontalpodautoscaler", shop.name)


@pytest.mark.parametrize(("action", "resource", "verb"), EACH)
def test_with_one_verb_less_the_error_names_that_verb_and_resource(
    account: Account, own_cluster: Cluster, alone: Callable[[str], None], pairs: Callable[[str], Pair], undo: Undo,
    request: pytest.FixtureRequest, action: str, resource: str, verb: str,
) -> None:  # fmt: skip
    first = next(name for name, one in EXERCISES.items() if one.action == action)
    exercise, kind = (
        EXERCISES[BY.get((action, resource, verb), BY.get((action, resource), first))],
        KIND_OF.get(resource, "Deployment"),
    )
    pair = pairs(kind if kind in exercise.kinds else "Deployment")
    pair.settle()
    if (action, resource) == ("kubernetes_restart", "controllerrevisions"):
        begin_a_rollout(pair.admin, "crash-0")
    if resource == "pods" and verb in ("patch", "delete") and action in ("kubernetes_rollback", "kubernetes_restart"):
        (begin_a_rollout if action == "kubernetes_rollback" else break_a_pod)(pair.admin)
    if resource == "horizontalpodautoscalers":
        request.getfixturevalue("scaler")
    if (resource, verb) == ("leases", "patch"):
        left_by_a_dead_process(pair.admin)
    exercise.first(pair.admin)
    by_label = {"name": None, "kubernetes_id": pair.admin.name} if (verb, resource) in LISTED else {}
    words = rf"(?i)cannot {verb} {WORDS[resource]}\b.*cannot {verb} resource \"{resource}\""
    alone(action)
    # The controllers are held while a watch is refused, or a pod is broken: else they might have done all before.
    alone_at_work = verb == "watch" or (action, resource) == ("kubernetes_restart", "pods")
    held = own_cluster.paused("kube-controller-manager") if alone_at_work else nullcontext()
    with without(account, action, resource, verb), held:
        if resource in WARNED and action != "kubernetes_restore":
            change = EFFECTS[action].plan(pair.arguments(exercise))
            assert f"could not be looked at: cannot {verb}" in str(change.evidence)
        elif (action, resource, verb) in BY_UNDO:
            undone = undo(
                exercise, pair.perform(exercise, timeout_s=1 if resource == "horizontalpodautoscalers" else 20)
            )
            assert re.search(rf'cannot {verb} resource .{{0,2}}"{resource}', undone.stdout + undone.stderr)
        elif (resource, verb) == ("leases", "delete"):
            pair.perform(exercise)  # what cannot be removed stays, until its holder is dead
            assert "responder-" in pair.admin.kubectl("get", "leases", "-o", "name")
        else:
            with pytest.raises(
                (EffectFailed, OutcomeUnknown), match=words
            ):  # without watch it is written, and not seen
                pair.perform(exercise, **by_label)


@pytest.fixture
def wide(account: Account) -> Iterator[Account]:
    """The account with every right there is, so that nothing but admission can hold it."""
    admin = account.admin
    admin.kubectl(
        "create", "clusterrolebinding", account.home, "--clusterrole=cluster-admin",
        f"--serviceaccount={account.home}:responder",
    )  # fmt: skip
    wait_until(lambda: account.may("create", "pods"), "the account may do everything")
    yield account
    admin.kubectl("delete", "clusterrolebinding", account.home)
    wait_until(lambda: not account.may("create", "pods"), "the account may do its own work only")


@pytest.fixture
def pod(account: Account) -> str:
    name = f"pod-{secrets.token_hex(4)}"
    account.admin.kubectl("-n", account.namespace, "run", name, "--image=shop:1")
    return name


EVICTION = '{"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "POD"}}'
WRITES = {
    "a pod is made": ("run", "another", "--image=shop:1"),
    "a pod is deleted": ("delete", "pod", "POD"),
    "pods are deleted by their label": ("delete", "pod", "-l", "run=POD"),
    "a pod is evicted": ("create", "--raw", "/api/v1/namespaces/NAMESPACE/pods/POD/eviction", "-f", "-"),
    "a pod is labelled": ("label", "pod", "POD", "quarantine=yes"),
    "a command is run in a pod": ("exec", "POD", "--", "true"),
    "a workload is scaled": ("scale", "deployment/shop-deployment", "--replicas=0"),
    "a workload is changed under a plan": ("annotate", "deployment", "shop-deployment", f"responder.sre/plan={PLAN}", "--overwrite"),
    "a workload is deleted": ("delete", "deployment", "shop-deployment"),
    "a network policy is made": ("create", "-f", "-"),
    "a node is cordoned": ("cordon", "node-1"),
    "a namespace is made": ("create", "namespace", "another"),
    "its own rights are changed": ("delete", "clusterrolebinding", "HOME"),
    "another stop is written over it": ("annotate", "serviceaccount", "responder", "-n", "HOME", "responder.sre/stop-reason=x", "--overwrite"),
    "the stop is lifted": ("annotate", "serviceaccount", "responder", "-n", "HOME", "responder.sre/stopped-"),
    "the stop is said to be none": ("annotate", "serviceaccount", "responder", "-n", "HOME", "responder.sre/stopped=false", "--overwrite"),
    "the account is deleted": ("delete", "serviceaccount", "responder", "-n", "HOME"),
    "a token is made": ("create", "token", "responder", "-n", "HOME"),
    "its namespace is deleted": ("delete", "namespace", "HOME", "--wait=false"),
}  # fmt: skip
AUTOSCALER = json.dumps({
    "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "x"},
    "spec": {"maxReplicas": 9, "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "fresh"}},
})  # fmt: skip
NETWORK_POLICY = '{"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "x"}, "spec": {"podSelector": {}}}'


def test_under_a_stop_every_write_is_denied_even_to_an_account_with_all_rights_and_reads_go_on(
    wide: Account, pairs: Callable[[str], Pair], pod: str
) -> None:
    pairs("Deployment")
    brake.set_stop(wide.arguments, "the vendor is at work")
    let_through = []
    for case, words in WRITES.items():
        words = tuple(
            w.replace("POD", pod).replace("HOME", wide.home).replace("NAMESPACE", wide.namespace) for w in words
        )
        text = EVICTION.replace("POD", pod) if "evicted" in case else NETWORK_POLICY
        told = wide.cluster.kubectl("-n", wide.namespace, *words, input=text, check=False)
        if f"ValidatingAdmissionPolicy '{wide.home}-" not in told:  # the stop's, or one that denies it at any time
            let_through.append((case, told))
    assert let_through == []
    assert pod in wide.kubectl("get", "pods")
    assert wide.kubectl("auth", "whoami")
    brake.release(wide.as_admin)
    wide.kubectl("annotate", "pod", pod, f"responder.sre/plan={PLAN}")


def test_a_stop_between_plan_and_act_denies_the_act_and_the_plan_holds_once_it_is_lifted(
    account: Account, alone: Callable[[str], None], pairs: Callable[[str], Pair]
) -> None:
    pair = pairs("Deployment")
    pair.settle()
    alone("kubernetes_rollback")
    arguments = {**pair.arguments(EXERCISES["rollback"]), "_plan": PLAN, "_incident": "INC-1234"}
    change, before = EFFECTS["kubernetes_rollback"].plan(arguments), pair.admin.document["spec"]
    brake.set_stop(account.arguments, "the vendor is at work")
    with pytest.raises(
        errors.Refused, match=r"admission denies it: .* an emergency stop is set: the vendor is at work"
    ):
        EFFECTS["kubernetes_rollback"].act(arguments, change)
    assert pair.admin.document["spec"] == before
    assert EFFECTS["kubernetes_rollback"].read(arguments) == change.before
    brake.release(account.as_admin)
    EFFECTS["kubernetes_rollback"].act(arguments, change)
    assert arguments["to"].endswith(f":{pair.admin.tag}")


def test_the_writes_of_others_go_on_under_a_stop_and_name_no_plan(
    account: Account, pairs: Callable[[str], Pair], pod: str
) -> None:
    shop = pairs("Deployment").admin
    brake.set_stop(account.arguments, "the vendor is at work")
    shop.kubectl("delete", "pod", pod)
    shop.kubectl("scale", f"deployment/{shop.name}", "--replicas=3")
    shop.kubectl("rollout", "status", f"deployment/{shop.name}", "--timeout=30s")
    shop.kubectl("scale", f"deployment/{shop.name}", "--replicas=2")


def test_the_state_of_the_stop_is_told_to_whoever_asks(account: Account) -> None:
    for arguments in (account.arguments, account.as_admin):
        assert brake.state(arguments) == State("clear")
    brake.set_stop(account.as_admin, "the vendor is at work")
    for arguments in (account.arguments, account.as_admin):
        assert brake.state(arguments) == State("stopped", "the vendor is at work")


def test_an_earlier_stop_keeps_its_reason_and_a_later_one_is_proven_too(account: Account) -> None:
    assert brake.set_stop(account.arguments, "first") == "first"
    for arguments in (account.arguments, account.as_admin):
        assert brake.set_stop(arguments, "second") == "first"


def test_the_account_lifts_no_stop_and_is_told_who_does(account: Account) -> None:
    brake.set_stop(account.arguments, "the vendor is at work")
    with pytest.raises(EffectFailed, match="may not lift it") as refused:
        brake.release(account.arguments)
    command = refused.value.cure.split("`")[1].split()
    assert brake.state(account.as_admin).word == "stopped"
    account.admin.kubectl(*command[1:])
    wait_until(lambda: brake.state(account.as_admin).word == "clear", "the command lifts it")


OWN = {
    "a cloud role": ("annotate", "serviceaccount", "responder", "eks.amazonaws.com/role-arn=admin"),
    "a cloud role together with a stop": ("annotate", "serviceaccount", "responder", "responder.sre/stopped=true", "role=admin"),
    "a label": ("label", "serviceaccount", "responder", "a=b"),
    "a pull secret": ("patch", "serviceaccount", "responder", "-p", '{"imagePullSecrets": [{"name": "x"}]}'),
    "a stop that is none": ("annotate", "serviceaccount", "responder", "responder.sre/stopped=false"),
    "a token": ("create", "token", "responder"),
    "another account": ("create", "serviceaccount", "another"),
    "itself, deleted": ("delete", "serviceaccount", "responder"),
}  # fmt: skip


def test_of_accounts_even_one_with_all_rights_may_change_nothing_but_set_the_stop(wide: Account) -> None:
    told = {case: wide.cluster.kubectl("-n", wide.home, *words, check=False) for case, words in OWN.items()}
    assert [said for said in told.values() if "may set the stop, and change nothing else" not in said] == []
    stop = ("annotate", "serviceaccount", "responder", "responder.sre/stopped=true", "responder.sre/stop-reason=hand")
    wide.cluster.kubectl("-n", wide.home, *stop)
    wait_until(lambda: brake.state(wide.as_admin) == State("stopped", "hand"), "the stop is at work")


def test_the_account_has_no_right_over_policies_roles_and_other_accounts(account: Account) -> None:
    beyond = (
        "validatingadmissionpolicies",
        "validatingadmissionpolicybindings",
        "clusterroles",
        "rolebindings",
        "serviceaccounts",
    )
    verbs = ("create", "update", "patch", "delete")
    assert [(verb, resource) for resource in beyond for verb in verbs if account.may(verb, resource)] == []


def test_a_stop_that_nothing_denies_is_not_proven(own_account: Account) -> None:
    brake.set_stop(own_account.as_admin, "the vendor is at work")
    own_account.admin.kubectl("delete", "validatingadmissionpolicybinding", f"{own_account.home}-stop")
    wait_until(lambda: brake.state(own_account.as_admin).word == "unknown", "nothing denies any more")
    with pytest.raises(EffectFailed, match=r"a dry run was not denied .*responder kubernetes manifests"):
        brake.set_stop(own_account.as_admin, "the vendor is at work")


def test_a_cluster_whose_policy_is_gone_is_unknown_before_any_stop_is_needed(own_account: Account) -> None:
    own_account.admin.kubectl("delete", "validatingadmissionpolicybinding", f"{own_account.home}-stop")
    wait_until(lambda: brake.state(own_account.as_admin).word == "unknown", "nothing would deny")
    for arguments in (own_account.arguments, own_account.as_admin):
        assert "nothing would deny under a stop" in brake.state(arguments).reason


def test_a_cluster_without_the_manifests_is_told_as_that(cluster: Cluster, namespace: str) -> None:
    arguments = {"kubeconfig": str(cluster.kubeconfig), "namespace": namespace}
    with pytest.raises(InputError, match="cannot get ServiceAccount responder"):
        brake.set_stop(arguments, "the vendor is at work")
    assert brake.state(arguments).word == "unknown"


@pytest.mark.slow  # the API server believes a token for ten seconds after it last looked
def test_an_account_that_is_deleted_can_do_nothing_and_hinders_nobody(own_account: Account) -> None:
    admin = own_account.admin
    admin.kubectl("delete", "serviceaccount", "responder", "-n", own_account.home)
    admin.kubectl("-n", own_account.namespace, "create", "configmap", "written-by-another")
    wait_until(
        lambda: "Unauthorized" in own_account.kubectl("get", "deployments", check=False)
        or "must be logged in" in own_account.kubectl("get", "deployments", check=False),
        "its token is void",
    )  # fmt: skip


def test_applying_the_manifests_again_lifts_no_stop(account: Account) -> None:
    brake.set_stop(account.arguments, "the vendor is at work")
    words = ["kubernetes", "manifests", "--namespace", account.home, "--watch", account.namespace]
    account.admin.apply(CliRunner().invoke(cli.app, words).output)
    assert brake.state(account.as_admin) == State("stopped", "the vendor is at work")


UNPLANNED = {
    "another image": ("set", "image", "deployment/NAME", "shop=registry.test:5000/shop:evil"),
    "another count": ("scale", "deployment/NAME", "--replicas=0"),
    "a restart": ("rollout", "restart", "deployment/NAME"),
    "a plan that is no digest": ("annotate", "deployment", "NAME", "responder.sre/plan=yes", "--overwrite"),
    "a dry run's word in a real write": ("annotate", "deployment", "NAME", "responder.sre/plan=planned", "--overwrite"),
    "a deletion": ("delete", "deployment", "NAME"),
    "a workload of its own": ("create", "deployment", "another", "--image=evil"),
    "a pod of its own": ("run", "another", "--image=evil"),
    "a label of a pod": ("label", "pod", "POD", "quarantine=yes"),
    "a pod's end": ("delete", "pod", "POD"),
    "the end of all pods": ("delete", "pods", "--all"),
    "an eviction": ("create", "--raw", "/api/v1/namespaces/NAMESPACE/pods/POD/eviction", "-f", "-"),
    "a command in a pod": ("exec", "POD", "--", "true"),
    "a cordon": ("cordon", "node-1"),
    "an autoscaler": ("create", "-f", "-"),
    "a network policy": ("create", "-f", "-"),
    "the end of a network policy": ("delete", "networkpolicy", "theirs"),
}


def test_a_token_alone_changes_nothing_that_an_action_does_whatever_its_rights(wide: Account) -> None:
    shop = Shop(wide.admin, wide.namespace, "Deployment", "fresh")
    shop.release("1")
    theirs = NETWORK_POLICY.replace('"x"', '"theirs"')
    shop.kubectl("apply", "-f", "-", input=theirs)
    before, pod = shop.document["spec"], next(name for name in shop.pods() if name.startswith("fresh-"))
    inputs = {
        "an eviction": EVICTION.replace("POD", pod),
        "a network policy": NETWORK_POLICY,
        "an autoscaler": AUTOSCALER,
    }

    def tried(case: str, words: tuple[str, ...]) -> str:
        known = {"NAMESPACE": wide.namespace, "NAME": shop.name, "POD": pod}
        told = [reduce(lambda text, item: text.replace(*item), known.items(), word) for word in words]
        return wide.cluster.kubectl("-n", wide.namespace, *told, input=inputs.get(case, ""), check=False)

    wide.admin.kubectl(
        "annotate", "node", "node-1", "responder.sre/plan-"
    )  # of another test, by which it was written once
    told = {case: tried(case, words) for case, words in UNPLANNED.items()}
    shop.kubectl("delete", "-f", "-", input=theirs)
    denied = f"ValidatingAdmissionPolicy '{wide.home}-plan'"
    assert {case: said for case, said in told.items() if denied not in said} == {}
    assert shop.document["spec"] == before
    dry = ("annotate", "deployment", shop.name, "responder.sre/plan=planned", "--dry-run=server")
    assert "dry run" in wide.kubectl(*dry)
    wide.kubectl("annotate", "deployment", shop.name, f"responder.sre/plan={PLAN}")


@dataclass(frozen=True)
class Post:
    """A home whose policy names clusters, and the command there."""

    environ: dict[str, str]

    def __call__(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "sre_responder.cli", *words],
            env=self.environ, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip


@pytest.fixture
def post(tmp_path: Path) -> Callable[..., Post]:
    def at(*clusters: dict[str, Any]) -> Post:
        stop = {"file": str(tmp_path / "EMERGENCY_STOP"), "clusters": list(clusters)}
        (tmp_path / "home").mkdir()
        (tmp_path / "home/policy.yml").write_text(yaml.safe_dump({"profile": "homelab", "stop": stop}))
        environ = {"HOME": str(tmp_path), "PATH": os.environ["PATH"], "RESPONDER_HOME": str(tmp_path / "home")}
        post = Post({**environ, "RESPONDER_LEDGER": f"sqlite:///{tmp_path}/ledger.db"})
        assert post("init").returncode == 0
        return post

    return at


def test_the_command_sets_and_proves_the_stop_and_lifting_the_last_one_releases_it(
    account: Account, post: Callable[..., Post]
) -> None:
    responder = post({**account.as_admin, "environment": "production"})
    for scope in (("--environment", "staging"), ("--environment", "production", "--service", "checkout")):
        assert "denies" not in responder("stop", "of less than the cluster", *scope).stderr
    assert brake.state(account.as_admin) == State("clear")
    first = responder("stop", "all of production", "--environment", "production")
    assert (first.returncode, f"/{account.home}: denies" in first.stderr) == (0, True), first.stderr
    told = account.kubectl(
        "annotate", "serviceaccount", "responder", "-n", account.home, "responder.sre/x=y", check=False
    )
    assert re.search(r"an emergency stop is set: STOP-3 by \S+: all of production", told)
    second = responder("stop", "everything")
    assert (second.returncode, ": denies" in second.stderr) == (0, True), second.stderr
    assert responder("lift", "STOP-3").returncode == 0
    assert brake.state(account.as_admin).word == "stopped"
    last = responder("lift", "STOP-4")
    assert (last.returncode, ": released" in last.stderr) == (0, True), last.stderr
    assert brake.state(account.as_admin) == State("clear")
    assert ": released" in responder("audit", "show", "--json").stdout


def test_a_home_that_has_the_account_alone_stops_the_cluster_and_is_told_that_it_cannot_lift(
    account: Account, post: Callable[..., Post]
) -> None:
    responder = post(account.arguments)
    assert responder("stop", "everything").returncode == 0
    lifted = responder("lift", "STOP-1")
    assert (lifted.returncode, "STOP-1 is lifted; cluster" in lifted.stderr) == (1, True)
    assert re.search(r"denies still: this account may not lift it: .*kubectl annotate serviceaccount", lifted.stderr)
    assert responder("stops", "--json").stdout.strip() == "[]"


def test_a_stop_of_somebody_else_is_not_lifted_with_ones_own(account: Account, post: Callable[..., Post]) -> None:
    responder = post(account.as_admin)
    brake.set_stop(account.as_admin, "by another ledger")
    assert responder("stop", "everything").returncode == 0
    lifted = responder("lift", "STOP-1")
    assert (lifted.returncode, "somebody else stopped it: by another ledger" in lifted.stderr) == (1, True)
    assert brake.state(account.as_admin) == State("stopped", "by another ledger")


def test_a_cluster_that_does_not_answer_is_not_proven_and_the_others_are_stopped(
    account: Account, post: Callable[..., Post], tmp_path: Path
) -> None:
    config = json.loads(account.admin.kubectl("config", "view", "--raw", "--minify", "-o", "json"))
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # bound, and nobody listens
        config["clusters"][0]["cluster"]["server"] = f"https://127.0.0.1:{nobody.getsockname()[1]}"
        (tmp_path / "dead").write_text(json.dumps(config))
        dead = {"kubeconfig": str(tmp_path / "dead"), "namespace": account.home}
        stopped = post(dead, account.as_admin)("stop", "everything", "--json")
    assert stopped.returncode == 4, stopped.stderr
    done = json.loads(stopped.stdout)
    assert [
        said for said in done["left"] if "not proven: cannot get ServiceAccount" in said and "does not answer" in said
    ]
    assert [said for said in done["ended"] if said.endswith("denies")]
    assert done["stop"] == "STOP-1"


def test_a_cluster_that_hangs_delays_no_stop_beyond_its_seconds(
    account: Account, post: Callable[..., Post], tmp_path: Path
) -> None:
    config = json.loads(account.admin.kubectl("config", "view", "--raw", "--minify", "-o", "json"))
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()  # takes connections and says nothing
        config["clusters"][0]["cluster"]["server"] = f"https://127.0.0.1:{silent.getsockname()[1]}"
        (tmp_path / "silent").write_text(json.dumps(config))
        stopped = post({"kubeconfig": str(tmp_path / "silent"), "namespace": account.home})(
            "stop", "everything", "--json"
        )
    assert (stopped.returncode, "not proven: no answer within 5 s" in stopped.stdout) == (4, True), stopped.stdout


def stopped_rows(responder: Post) -> list[tuple[str, str]]:
    """What status says is stopped, and the command that clears it."""
    rows = json.loads(responder("status", "--json").stdout)["stopped"]
    return [(row["what"], row["command"]) for row in rows]


def test_status_tells_how_the_stop_of_a_cluster_stands_with_the_command_that_clears_it(
    account: Account, post: Callable[..., Post]
) -> None:
    responder = post(account.as_admin)
    assert stopped_rows(responder) == []
    responder("stop", "the vendor is at work")
    ledgers, clusters = stopped_rows(responder)
    assert ledgers[1] == clusters[1] == "responder lift STOP-1"
    assert re.search(rf"/{account.home} denies: STOP-1 by \S+: the vendor is at work", clusters[0])
    assert "denies: STOP-1" in responder("status").stdout
    brake.release(account.as_admin)
    _, (said, command) = stopped_rows(responder)
    assert (f"/{account.home} does not deny, though STOP-1 covers it" in said, command) == (True, "responder deliver")
    assert f"/{account.home}: denies" in responder(*command.split()[1:]).stderr
    assert brake.state(account.as_admin).word == "stopped"
    responder("lift", "STOP-1")
    assert stopped_rows(responder) == []


def test_a_stop_that_no_stop_of_the_ledger_covers_is_told_as_that_and_lifted_by_hand(
    account: Account, post: Callable[..., Post]
) -> None:
    responder = post({**account.as_admin, "environment": "production"})
    brake.set_stop(account.as_admin, "by another ledger")
    responder("stop", "elsewhere", "--environment", "staging")
    _, (said, command) = stopped_rows(responder)
    assert said.endswith("denies, though no stop of this ledger covers it: by another ledger")
    account.admin.kubectl(*command.split()[1:])
    wait_until(lambda: len(stopped_rows(responder)) == 1, "the command lifts it")


def checked(responder: Post) -> tuple[int, str]:
    """The exit code of doctor, and what it says of the clusters."""
    done = responder("doctor", "--json")
    return done.returncode, next(r["problem"] for r in json.loads(done.stdout)["checks"] if r["check"] == "clusters")


def test_doctor_fails_where_a_cluster_does_not_deny_what_is_written(
    own_account: Account, post: Callable[..., Post]
) -> None:
    responder = post(own_account.as_admin)
    assert checked(responder) == (0, "")
    responder("stop", "everything")
    assert checked(responder) == (0, "")
    own_account.admin.kubectl("delete", "validatingadmissionpolicybinding", f"{own_account.home}-stop")
    wait_until(lambda: brake.state(own_account.as_admin).word == "unknown", "nothing denies any more")
    code, problem = checked(responder)
    assert (code, "and a dry run is not denied" in problem) == (2, True)
    [_, (said, command)] = stopped_rows(responder)
    assert ("nobody knows whether it denies" in said, command) == (True, "responder doctor")


def test_doctor_fails_where_a_cluster_cannot_be_asked(post: Callable[..., Post], tmp_path: Path) -> None:
    code, problem = checked(post({"kubeconfig": str(tmp_path / "none")}))
    assert (code, "no cluster is known" in problem) == (2, True)


@pytest.fixture
def shop(account: Account, tmp_path: Path) -> Iterator[World]:
    """A service that is ill, in a home whose policy names the cluster; two failures are a cascade."""
    stop = {"file": str(tmp_path / "stop/EMERGENCY_STOP"), "clusters": [account.as_admin | {"environment": "staging"}]}
    with world(tmp_path, stop=stop, cascade={"services": 2}) as here:
        yield here


RAISED_BY_FILE = {
    "a driver": lambda shop: shop.drive(),
    "a plain ansible-playbook": lambda shop: shop.play(),
    "an undo": lambda shop: shop.responder("undo", "1"),
    "a timer": lambda shop: shop.responder("deliver"),
}


@pytest.mark.parametrize("who", RAISED_BY_FILE)
def test_a_stop_file_that_is_seen_stops_the_cluster_too(account: Account, shop: World, who: str) -> None:
    if who == "an undo":
        shop.drive()
    (shop.root / "stop/EMERGENCY_STOP").write_text("storm")
    RAISED_BY_FILE[who](shop)
    stopped = State("stopped", "STOP-1 by the stop file: storm")
    wait_until(lambda: brake.state(account.as_admin) == stopped, "the cluster denies", 10)


@pytest.mark.parametrize("driven", [True, False])
def test_a_cascade_stops_the_cluster_too(account: Account, shop: World, driven: bool) -> None:
    """The last step of the last run raises it, and nothing is refused after it."""
    catalogue, names = shop.home.folder / "catalogue.yml", ("--environment", "staging")
    catalogue.write_text(catalogue.read_text() + "---\n" + catalogue.read_text().replace("checkout", "stock"))
    told = shop.responder("incident", "open", "--service", "stock", *names, "--severity", "SEV3", "--json")
    incident = json.loads(told.stdout)["incident"]
    shop.play()
    assert brake.state(account.as_admin) == State("clear")
    shop.put_back()
    if driven:
        shop.responder("run", "roll-back", "--incident", incident, "--service", "stock", *names)
    else:
        shop.play("-e", json.dumps({"incident": incident, "service": "stock"}))
    wait_until(lambda: brake.state(account.as_admin).word == "stopped", "the cluster denies", 10)
    assert brake.state(account.as_admin).reason.startswith(
        "STOP-1 by responder: cascade: remedies failed on 2 services"
    )


def test_runs_that_meet_a_stop_which_the_cluster_knows_add_nothing_to_the_record(account: Account, shop: World) -> None:
    shop.responder("stop", "storm", "--environment", "staging")
    for _ in range(2):
        assert shop.drive().returncode == 4
    assert [entry.data["stop"] for entry in shop.entries("stop.clusters")] == ["STOP-1"]
