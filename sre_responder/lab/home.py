"""The lab's own home: its policy, catalogue, people and demo keys, in the formats that every home has."""

from __future__ import annotations

import subprocess

import yaml

from sre_responder.home import runbook
from sre_responder.lab.lab import Lab
from sre_responder.ledger import Ledger, incidents

PEOPLE = {"dana": ["operator"], "iris": ["operator", "incident_commander"]}


def write(lab: Lab) -> str:
    """Write home and ledger; gives the number of an open incident to try things on."""
    lab.home.mkdir()
    (lab.home / "runbooks").mkdir()
    (lab.home / "keys").mkdir(mode=0o700)
    digests = {entry.metadata.id: entry.digest for entry in runbook.registry(lab.home)}
    policy = {
        "profile": "production",
        "stop": {"file": str(lab.folder / "stop" / "EMERGENCY_STOP")},
        "loop": {"healthy_seconds": 1},
        "order": {"canary_seconds": 1},
        "approvals": {"standing": {digests["service-errors"]: [1, 2]}},
        "notifications": [{"kind": "file", "path": str(lab.folder / "notifications.jsonl")}],
    }
    _write(lab, "policy.yml", "# The lab's policy: production's limits, with rungs 1 and 2 granted by digest.", policy)
    place(lab, lab.environment)
    people = [{"name": name, "principal": f"{name}@shop.test", "roles": roles} for name, roles in PEOPLE.items()]
    _write(
        lab,
        "people.yml",
        "# Demo people. Their keys lie in keys/, openly: never do this elsewhere.",
        {"people": people},
    )
    rows = []
    for name in PEOPLE:
        key = lab.home / "keys" / name
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(key)],
            check=True,
            stdin=subprocess.DEVNULL,
        )
        rows.append(f'{name}@shop.test namespaces="sre-responder" {key.with_suffix(".pub").read_text()}')
    (lab.home / "allowed_signers").write_text("".join(rows), encoding="utf-8")
    runbook.register(lab.home, [entry.folder for entry in runbook.registry(lab.home)])
    ledger = Ledger(lab.ledger)
    ledger.upgrade()
    with ledger.transaction() as connection:
        number, _ = incidents.open_(
            connection, ledger.now(connection), service=lab.service, environment=lab.environment, severity="SEV3",
            title="An incident to try things on", actor="lab",
        )  # fmt: skip
    return number


def place(lab: Lab, environment: str) -> None:
    """Let the catalogue say in which environment the one shop stands."""
    services = [_component(environment, *row) for row in _services(lab)]
    draft = lab.home / "catalogue.draft"
    draft.write_text(yaml.safe_dump_all(services, sort_keys=False), encoding="utf-8")
    draft.replace(lab.home / "catalogue.yml")


def _services(lab: Lab) -> list[tuple[str, str, list[str], dict[str, str]]]:
    checkout = {
        "responder/probe-url": lab.health_url,
        "responder/cache-url": lab.cache_url,
        "responder/supervisor-server": lab.supervisor,
        "responder/supervisor-program": "checkout",
        "responder/release-root": str(lab.release_roots["east"]),
        "responder/haproxy-socket": lab.runtime_socket,
        "responder/haproxy-backend": "checkout",
        "responder/haproxy-server": "east",
        "responder/haproxy-failover-to": "west",
        "responder/log-file": str(lab.folder / "log" / "checkout.log"),
        "responder/process": str(lab.release_roots["east"]),
    }
    edge = {"responder/probe-url": lab.edge_url}
    return [
        ("web", "edge", ["shop-edge"], edge),
        ("shop-edge", "edge", ["checkout"], edge),
        ("checkout", "middleware", ["inventory"], checkout),
        ("inventory", "backend", [], {"responder/probe-url": lab.inventory_url}),
    ]


def _component(
    environment: str, name: str, tier: str, needs: list[str], annotations: dict[str, str]
) -> dict[str, object]:
    return {
        "apiVersion": "backstage.io/v1alpha1",
        "kind": "Component",
        "metadata": {
            "name": name,
            "annotations": {"responder/environments": environment, "responder/tier": tier, **annotations},
        },
        "spec": {
            "type": "service",
            "lifecycle": "production",
            "owner": "shop",
            "dependsOn": [f"component:{one}" for one in needs],
        },
    }


def _write(lab: Lab, name: str, comment: str, value: object) -> None:
    (lab.home / name).write_text(f"{comment}\n{yaml.safe_dump(value, sort_keys=False)}", encoding="utf-8")
