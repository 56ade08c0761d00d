"""A real Kubernetes for tests: etcd, the control plane, and kwok in place of kubelets; one a session, ended by pid."""
# Not called kubernetes.py: tests/ comes first on the path, and would hide the client library of that name.

from __future__ import annotations

import json
import os
import secrets
import shlex
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

HERE = Path(__file__).parents[1] / "cluster"
STAGES = ("pod/fast/pod-*.yaml", "node/fast/node-*.yaml", "node/heartbeat-with-lease/node-*.yaml")
"""What kwok ships for good pods and nodes."""
START_SECONDS, STOP_SECONDS, KUBECTL_SECONDS = 60, 5, 120
# Another cluster is touched only when whoever runs the tests says so with both.
GIVEN = os.environ.get("KUBECONFIG") if os.environ.get("RESPONDER_TEST_KUBECONFIG") == "1" else None

T = TypeVar("T")


class Refused(Exception):
    """kubectl failed, and said why."""


def wait_until(condition: Callable[[], T], what: str, seconds: float = 30) -> T:
    """What the condition gives once it gives anything; a refusal by kubectl counts as not yet."""
    end, last = time.monotonic() + seconds, ""
    while True:
        try:
            if reached := condition():
                return reached
        except Refused as refused:
            last = f" ({refused})"
        assert time.monotonic() < end, f"not within {seconds} s: {what}{last}"
        time.sleep(0.05)


@dataclass(frozen=True)
class Cluster:
    """One control plane on loopback, asked by real kubectl; whoever runs the tests lends it neither settings nor home."""

    folder: Path
    kubeconfig: Path
    server: str
    kubectl_program: Path
    environment: dict[str, str]
    commands: dict[str, list[object]] = field(default_factory=dict)
    """Each component's program and arguments; none for a cluster that the tests did not start."""
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def pids(self) -> dict[str, int]:
        return {name: process.pid for name, process in self.processes.items()}

    def kubectl(self, *arguments: object, check: bool = True, input: str = "") -> str:
        """What kubectl prints; with check=False its complaints too, whatever its result."""
        words = [str(word) for word in arguments]
        done = subprocess.run(
            [self.kubectl_program, "--kubeconfig", self.kubeconfig, *words],
            input=input, env=self.environment, capture_output=True, text=True, timeout=KUBECTL_SECONDS, check=False,
        )  # fmt: skip
        if not check:
            return done.stdout + done.stderr
        if done.returncode:
            raise Refused(f"kubectl {shlex.join(words)}: {done.stderr.strip()}")
        return done.stdout

    def get(self, *arguments: object) -> Any:
        """`kubectl get` as data."""
        return json.loads(self.kubectl("get", *arguments, "-o", "json"))

    def apply(self, text: str) -> str:
        return self.kubectl("apply", "-f", "-", input=text)

    def as_account(self, name: str, namespace: str) -> Cluster:
        """The same cluster as this ServiceAccount sees it: the kubeconfig has a fresh token of its own."""
        config = json.loads(self.kubectl("config", "view", "--raw", "--minify", "-o", "json"))
        config["users"][0]["user"] = {"token": self.kubectl("create", "token", name, "-n", namespace).strip()}
        file = self.folder / f"{namespace}-{name}.kubeconfig"
        file.write_text(json.dumps(config))
        return replace(self, kubeconfig=file)

    def start(self, name: str) -> None:
        """Start a component; the API server is ready when this returns."""
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [str(word) for word in self.commands[name]],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.environment, cwd=self.folder,
            )  # fmt: skip
        if name == "kube-apiserver":
            self.await_start(lambda: self.kubectl("get", "--raw", "/readyz"), f"{name} is ready")

    def await_start(self, condition: Callable[[], object], what: str) -> None:
        """Wait for a condition as long as every component runs; a failure shows the end of the logs."""

        def reached() -> object:
            ended = [name for name, process in self.processes.items() if process.poll() is not None]
            assert not ended, f"{', '.join(ended)} ended before: {what}"
            return condition()

        try:
            wait_until(reached, what, START_SECONDS)
        except AssertionError as failure:
            ended = [name for name, process in self.processes.items() if process.returncode is not None]
            logs = [self.folder / f"{name}.log" for name in ended or self.processes]
            tails = [f"{log}:\n" + "\n".join(log.read_text().splitlines()[-15:]) for log in logs]
            raise AssertionError("\n".join([str(failure), *tails])) from None

    def stop(self, name: str, by: signal.Signals = signal.SIGTERM) -> None:
        """End a component that may be running; what has not gone after a while is killed."""
        if process := self.processes.pop(name, None):
            process.send_signal(by)
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    @contextmanager
    def paused(self, name: str) -> Iterator[None]:
        """A component that hangs: it answers nobody, and loses nothing."""
        self.processes[name].send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.processes[name].send_signal(signal.SIGCONT)


def programs() -> Path | None:
    """The folder that tests/cluster/build made, if it did."""
    told = subprocess.run([HERE / "build", "--folder"], capture_output=True, text=True, check=True)
    folder = Path(told.stdout.strip())
    return folder if folder.is_dir() else None


@contextmanager
def running(folder: Path, found: Path, nodes: int = 3, stages: Sequence[Path] = ()) -> Iterator[Cluster]:
    """A cluster whose nodes are ready; `stages` say what else its pretended kubelet makes of pods. Remove a node's label `kubelet`, and that node is gone without a word."""
    with ExitStack() as held:
        etcd, peer, port = (reserved(held) for _ in range(3))
        token, pem = secrets.token_hex(16), (Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
        here = Cluster(
            folder=folder,
            kubeconfig=folder / "kubeconfig",
            server=f"https://127.0.0.1:{port}",
            kubectl_program=found / "kubectl",
            environment={"HOME": str(folder), "PATH": os.environ["PATH"]},
            commands=commands(found, etcd, peer, port, stages),
        )
        (folder / "sa.key").write_bytes(rsa.generate_private_key(65537, 2048).private_bytes(*pem))
        (folder / "tokens.csv").write_text(f"{token},admin,admin,system:masters\n")
        here.kubeconfig.write_text(json.dumps(access(here.server, folder / "tls/apiserver.crt", token)))
        for name in here.commands:
            held.callback(here.stop, name)
            here.start(name)
        here.apply(yaml.safe_dump_all(node(f"node-{number}") for number in range(1, nodes + 1)))
        here.await_start(lambda: all(map(takes_pods, here.get("nodes")["items"])), "the nodes take pods")
        yield here


def reserved(held: ExitStack) -> int:
    """A port that nobody else is given, not even while the component that has it is down."""
    place = held.enter_context(socket.socket())
    place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # so that the component may bind it too
    place.bind(("127.0.0.1", 0))
    return int(place.getsockname()[1])


def commands(found: Path, etcd: int, peer: int, port: int, more: Sequence[Path] = ()) -> dict[str, list[object]]:
    """How each component is called, in the order of their start; files without a folder lie in the cluster's own, where it runs."""
    store, peers = f"http://127.0.0.1:{etcd}", f"http://127.0.0.1:{peer}"
    stages = [
        *more,
        HERE / "stages.yml",
        *(file for pattern in STAGES for file in sorted((found / "stages").glob(pattern))),
    ]
    # A single healer at work needs no elections; tests with thousands of pods need more calls a second than the default.
    client = ["--kubeconfig=kubeconfig", "--leader-elect=false", "--secure-port=0"]
    client += ["--kube-api-qps=500", "--kube-api-burst=1000"]
    arguments: dict[str, list[object]] = {
        "etcd": [
            "--data-dir=etcd", "--unsafe-no-fsync", "--log-level=warn",
            "--listen-client-urls", store, "--advertise-client-urls", store, "--listen-peer-urls", peers,
            "--initial-advertise-peer-urls", peers, "--initial-cluster", f"default={peers}",
        ],
        "kube-apiserver": [
            "--etcd-servers", store, "--secure-port", port, "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1", "--endpoint-reconciler-type=none", "--cert-dir=tls",
            "--service-cluster-ip-range=10.0.0.0/24", "--authorization-mode=RBAC",
            "--token-auth-file=tokens.csv", "--service-account-issuer=https://kubernetes.default.svc",
            "--service-account-key-file=sa.key", "--service-account-signing-key-file=sa.key",
            # Without it a pod need not wait for its namespace's account.
            "--disable-admission-plugins=ServiceAccount",
        ],
        # A node that is gone is noticed after 20 seconds instead of 50.
        "kube-controller-manager": [
            *client, "--service-account-private-key-file=sa.key", "--node-monitor-grace-period=20s",
        ],
        "kube-scheduler": client,
        "kwok": [
            "--kubeconfig=kubeconfig", "--manage-all-nodes=false", "--manage-nodes-with-label-selector=kubelet",
            "--node-ip=127.0.0.1", "--cidr=10.1.0.1/16", "--node-lease-duration-seconds=20",
            *(word for stage in stages for word in ("--config", stage)),
        ],
    }  # fmt: skip
    return {name: [found / name, *words] for name, words in arguments.items()}


def access(server: str, certificate: Path, token: str) -> dict[str, Any]:
    """A kubeconfig. The API server writes its certificate, with the authority's, when it starts."""
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "test", "cluster": {"server": server, "certificate-authority": str(certificate)}}],
        "users": [{"name": "test", "user": {"token": token}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        "current-context": "test",
    }


def node(name: str) -> dict[str, Any]:
    room = {"cpu": "32", "memory": "256Gi", "pods": "10000"}
    labels = {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "kubelet": "kwok"}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels},
        "status": {"capacity": room, "allocatable": room},
    }


def takes_pods(node: dict[str, Any]) -> bool:
    ready = {"Ready": "True"}.items() <= {c["type"]: c["status"] for c in node["status"].get("conditions", [])}.items()
    return ready and not node["spec"].get("taints")


def given(kubeconfig: Path, folder: Path) -> Cluster:
    """The cluster of whoever runs the tests, who asked for it: nothing of it is started, stopped or paused."""
    kubectl = shutil.which("kubectl")
    assert kubectl, "RESPONDER_TEST_KUBECONFIG=1 needs kubectl on the PATH"
    here = Cluster(folder, kubeconfig, "", Path(kubectl), dict(os.environ))
    server = here.kubectl("config", "view", "--minify", "-o", "jsonpath={.clusters[0].cluster.server}")
    return replace(here, server=server)


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A real Kubernetes, for the whole session: conftest gives one worker all of its tests."""
    folder = tmp_path_factory.mktemp("cluster")
    if GIVEN:
        yield given(Path(GIVEN), folder)
        return
    if (found := programs()) is None:
        sentence = "the test cluster is not built: tests/cluster/build builds it, once, with Go"
        (pytest.fail if os.environ.get("RESPONDER_TEST_ALL") else pytest.skip)(sentence)
    with running(folder, found) as here:
        yield here
    shutil.rmtree(folder / "etcd")  # pytest keeps the rest: the logs


@pytest.fixture
def own_cluster(cluster: Cluster) -> Cluster:
    """The cluster, for tests that stop or pause its components, or need its pretended kubelet."""
    if not cluster.processes:
        pytest.skip("needs a cluster that the tests started themselves")
    return cluster


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[str]:
    """A namespace of the test's own."""
    name = f"test-{secrets.token_hex(4)}"
    cluster.kubectl("create", "namespace", name)
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false")
