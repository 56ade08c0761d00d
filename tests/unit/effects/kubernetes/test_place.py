"""Two ways to a cluster are one where both lead to one API server, whatever the file and the context are called."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from sre_responder.effects import EFFECTS
from sre_responder.effects.effect import Change

CHANGE = Change("x", {}, {})


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing of whoever runs the tests is found."""
    for name in ("KUBECONFIG", "KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


def config(file: Path, current: str, **servers: str) -> str:
    """A kubeconfig with a context and a cluster of each name."""
    file.parent.mkdir(exist_ok=True)
    file.write_text(yaml.safe_dump({
        "current-context": current,
        "clusters": [{"name": f"c-{name}", "cluster": {"server": server}} for name, server in servers.items()],
        "contexts": [{"name": name, "context": {"cluster": f"c-{name}"}} for name in servers],
    }))  # fmt: skip
    return str(file)


def same(own: dict[str, Any], other: dict[str, Any], action: str = "kubernetes_restart") -> bool:
    return EFFECTS[action].same(CHANGE, {"namespace": "shop", **own}, {"namespace": "shop", **other})


@pytest.mark.parametrize(
    ("server", "expected"),
    [
        ("https://10.0.0.1:6443", True),
        ("https://10.0.0.1:6443/", True),
        ("HTTPS://10.0.0.1:6443", True),
        ("https://10.0.0.1:6444", False),
        ("https://10.0.0.1:6443/k8s/clusters/c-1", False),
        ("https://10.0.0.2:6443", False),
    ],
)
def test_two_contexts_are_one_cluster_where_their_server_is_one(tmp_path: Path, server: str, expected: bool) -> None:
    file = config(tmp_path / "k", "dev", dev="https://10.0.0.1:6443", prod=server)
    assert same({"kubeconfig": file, "context": "dev"}, {"kubeconfig": file, "context": "prod"}) is expected
    other = config(tmp_path / "p", "prod", prod=server)
    assert same({"kubeconfig": file}, {"kubeconfig": other}) is expected


def test_the_default_file_and_its_current_context_are_what_is_meant_where_nothing_is_named(tmp_path: Path) -> None:
    file = config(tmp_path / ".kube" / "config", "prod", prod="https://10.0.0.1:6443")
    assert same({}, {})
    assert same({}, {"kubeconfig": file, "context": "prod"})
    assert same({"kubeconfig": file}, {"context": "prod"})


def test_a_pods_own_cluster_is_the_one_of_a_file_with_its_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.96.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    assert same({}, {"kubeconfig": config(tmp_path / "p", "prod", prod="https://10.96.0.1")})


@pytest.mark.parametrize("text", [None, "", "[]", "contexts: [x]", "contexts: 5\n", "clusters: [{name: c}]"])
def test_a_file_that_leads_nowhere_is_no_cluster_of_another(tmp_path: Path, text: str | None) -> None:
    file = config(tmp_path / "k", "dev", dev="https://10.0.0.1:6443")
    if text is not None:
        (tmp_path / "other").write_text(text)
    assert not same({"kubeconfig": file}, {"kubeconfig": str(tmp_path / "other")})


def test_a_namespace_tells_workloads_apart_and_not_nodes(tmp_path: Path) -> None:
    file = config(tmp_path / "k", "dev", dev="https://10.0.0.1:6443")
    own, other = {"kubeconfig": file}, {"kubeconfig": file, "context": "dev", "namespace": "pay"}
    assert not same(own, other)
    assert same(own, other, "kubernetes_drain"), "whose pods are on a node is not known"
    assert EFFECTS["kubernetes_restart"].same(CHANGE, {"namespace": "shop", **own}, {"kubeconfig": file})
