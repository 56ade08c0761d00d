"""`responder check` on real platforms: a workload of a cluster, and an exec plugin that says itself why it has no credentials."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import yaml
from support.control_plane import Cluster
from support.kubernetes_shop import Shop

from sre_responder.check import Answer, check
from sre_responder.home import Home

pytestmark = pytest.mark.contract

PLUGIN = """\
#!/bin/sh
[ -n "$AWS_PROFILE" ] || { echo 'Unable to locate credentials. Configure them by "login".' >&2; exit 253; }
cat <<'END'
CREDENTIAL
END
"""


@pytest.fixture
def shop(own_cluster: Cluster, namespace: str) -> Shop:
    made = Shop(own_cluster, namespace)
    made.release("1")
    return made


def asked(folder: Path, shop: Shop, **changes: str) -> list[Answer]:
    """What check says of a service whose annotations lead to the shop."""
    annotations = {
        "responder/environments": "dev", "responder/kubeconfig": str(shop.cluster.kubeconfig), "responder/kubernetes-kind": shop.kind,
        "responder/kubernetes-name": shop.name, "backstage.io/kubernetes-namespace": shop.namespace, **changes,
    }  # fmt: skip
    component = {"kind": "Component", "metadata": {"name": "shop", "annotations": annotations}}
    (folder / "catalogue.yml").write_text(yaml.safe_dump({"apiVersion": "backstage.io/v1alpha1", **component}))
    (folder / "policy.yml").write_text("profile: homelab\n")
    home = Home(folder, f"sqlite:///{folder / 'ledger.db'}", folder / "state")
    return check(home, [(home.catalogue.service("shop"), "dev")])


def test_a_workload_is_found_and_one_that_is_not_there_is_told(shop: Shop, tmp_path: Path) -> None:
    [found] = asked(tmp_path, shop)
    assert (found.state, shop.name in found.reason) == ("reached", True)
    [lost] = asked(tmp_path, shop, **{"responder/kubernetes-name": "nothing"})
    assert (lost.state, "nothing" in lost.reason) == ("not reached", True)
    assert not (tmp_path / "ledger.db").exists()


def test_a_plugin_that_finds_no_account_says_so_itself_and_with_its_variable_it_is_reached(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = yaml.safe_load(Path(shop.cluster.kubeconfig).read_text())
    user = config["users"][0]["user"]
    status = {"token": user["token"]} if "token" in user else _pair(user)
    credential = {"kind": "ExecCredential", "apiVersion": "client.authentication.k8s.io/v1", "status": status}
    plugin, file = tmp_path / "get-token", tmp_path / "kubeconfig"
    plugin.write_text(PLUGIN.replace("CREDENTIAL", json.dumps(credential)))
    plugin.chmod(0o700)
    call = {"apiVersion": credential["apiVersion"], "command": str(plugin), "interactiveMode": "IfAvailable"}
    config["users"][0]["user"] = {"exec": call}
    file.write_text(yaml.safe_dump(config))
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    [lost] = asked(tmp_path, shop, **{"responder/kubeconfig": str(file)})
    assert (lost.state, 'Configure them by "login"' in lost.reason) == ("not reached", True)
    monkeypatch.setitem(os.environ, "AWS_PROFILE", "p")
    [found] = asked(tmp_path, shop, **{"responder/kubeconfig": str(file)})
    assert found.state == "reached", found


def _pair(user: dict[str, str]) -> dict[str, str]:
    """A client certificate as a plugin hands it over."""
    return {
        "clientCertificateData": Path(user["client-certificate"]).read_text(),
        "clientKeyData": Path(user["client-key"]).read_text(),
    }
