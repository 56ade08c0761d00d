"""The lab's life: up, break, heal, status, down. Everything lives in one folder and ends by one mark."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
import xmlrpc.client
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict
from supervisor.xmlrpc import SupervisorTransport

from sre_responder.drive.prove import MARK, end, processes_of
from sre_responder.errors import EffectFailed, InputError
from sre_responder.lab import home as lab_home

Fault = Literal["cache", "process", "release", "region"]
FAULTS: tuple[Fault, ...] = get_args(Fault)
SEVERITIES: dict[Fault, str] = {"cache": "SEV3", "process": "SEV2", "release": "SEV2", "region": "SEV1"}
RUNGS: dict[Fault, int] = {"cache": 1, "process": 2, "release": 3, "region": 4}
START_SECONDS = 20
SHOP = Path(__file__).parent / "shop"


class Lab(BaseModel):
    """All that one needs to try things on the lab."""

    model_config = ConfigDict(frozen=True)
    id: str
    folder: Path
    home: Path
    ledger: str
    service: str = "checkout"
    environment: str = "staging"
    incident: str = ""
    edge_url: str
    cache_url: str
    health_url: str
    supervisor: str
    runtime_socket: str
    release_roots: dict[str, Path]
    pid: int


def default_folder() -> Path:
    """Where the lab lives when nobody says: short, for a Unix socket's path must be."""
    return Path(tempfile.gettempdir()) / f"sre-responder-lab-{os.getuid()}"


def load(folder: Path) -> Lab:
    """The lab that is up in a folder."""
    path = folder / "lab.json"
    if not path.is_file():
        raise InputError(f"no lab is up in {folder}.", cure="Run `responder lab up`.")
    return Lab.model_validate_json(path.read_text())


def up(folder: Path) -> Lab:
    """Start the shop; a lab that died in that folder is cleaned up first, one that lives is refused."""
    if len(str(folder)) > 80:
        raise InputError(f"{folder} is too long for a Unix socket.", cure="Choose a shorter folder with --folder.")
    if (folder / "mark").exists():
        mark = (folder / "mark").read_text()
        if (folder / "lab.json").exists() and processes_of(mark):
            raise InputError(f"a lab is up in {folder} already.", cure="Run `responder lab down` first.")
        end(mark)
        shutil.rmtree(folder)
    elif folder.exists() and any(folder.iterdir()):
        raise InputError(f"{folder} is not empty and not a lab.", cure="Choose another folder with --folder.")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    mark = f"lab-{secrets.token_hex(6)}"
    (folder / "mark").write_text(mark)
    for name in ("alerts", "log", "stop", "run"):
        (folder / name).mkdir()
    ports = dict(zip(("edge", "cache", "east", "west", "inventory", "load"), _free_ports(6), strict=True))
    roots = {region: folder / region for region in ("east", "west")}
    for root in roots.values():
        _deploy(root, "1.3.0", "good")
        _deploy(root, "1.4.0", "good")
    supervisor, runtime = folder / "run" / "super.sock", folder / "run" / "edge.sock"
    programs = {
        "inventory": ["inventory.py", ports["inventory"]],
        "checkout": ["app.py", ports["east"], roots["east"], f"http://127.0.0.1:{ports['inventory']}/"],
        "checkout-west": ["app.py", ports["west"], roots["west"], f"http://127.0.0.1:{ports['inventory']}/"],
        "cache": ["cache.py", ports["cache"], ports["east"], folder / "uplink-cut"],
        "edge": ["edge.py", ports["edge"], runtime, f"east:{ports['cache']}:ready", f"west:{ports['west']}:drain"],
        "load": ["load.py", ports["load"], ports["edge"]],
        "alerts": ["alerts.py", f"http://127.0.0.1:{ports['load']}/health.json", folder],
    }
    (folder / "supervisord.conf").write_text(_configuration(folder, supervisor, programs))
    environment = {**os.environ, MARK: mark, "PYTHONDONTWRITEBYTECODE": "1"}
    with open(folder / "log" / "supervisord.out", "wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "supervisor.supervisord", "-n", "-c", str(folder / "supervisord.conf")],
            stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True, env=environment,
        )  # fmt: skip
    lab = Lab(
        id=mark, folder=folder, home=folder / "home", ledger=f"sqlite:///{folder / 'state' / 'ledger.db'}",
        edge_url=f"http://127.0.0.1:{ports['edge']}/", cache_url=f"http://127.0.0.1:{ports['cache']}/",
        health_url=f"http://127.0.0.1:{ports['load']}/health.json", supervisor=f"unix://{supervisor}", runtime_socket=str(runtime),
        release_roots=roots, pid=process.pid,
    )  # fmt: skip
    try:
        lab = lab.model_copy(update={"incident": lab_home.write(lab)})
        await_rate(lab, lambda rate: rate is not None and rate > 0.99, START_SECONDS)
    except EffectFailed as error:
        reason = (folder / "log" / "supervisord.out").read_text()[-500:]
        raise EffectFailed(f"the lab did not start: {error.message} {reason}") from error
    finally:
        if not lab.incident or rate(lab) is None:
            end(mark)
    (folder / "lab.json").write_text(lab.model_dump_json(indent=2))
    return lab


def down(folder: Path) -> list[str]:
    """End every process and remove every file; gives what is left, which should be nothing."""
    mark = (folder / "mark").read_text() if (folder / "mark").exists() else None
    if mark is None:
        if folder.exists() and any(folder.iterdir()):
            raise InputError(f"{folder} is not a lab.", cure="Name the lab's folder with --folder.")
        return []
    left = [f"process {p.pid} {p.command}" for p in end(mark).left]
    if not left:
        shutil.rmtree(folder)
    return left + ([str(folder)] if folder.exists() else [])


def break_(lab: Lab, fault: str, environment: str = "staging") -> dict[str, Any]:
    """Inject one fault; gives its record with the time at which it began."""
    if fault not in FAULTS:
        raise InputError(f"fault '{fault[:40]}' is not known.", cure=f"Use one of {', '.join(FAULTS)}.")
    record = {
        "id": f"{fault}-{secrets.token_hex(3)}", "fault": fault, "severity": SEVERITIES[fault], "environment": environment, "at": time.time(),
    }  # fmt: skip
    (lab.folder / "fault.json").write_text(json.dumps(record))
    match fault:
        case "cache":
            urllib.request.urlopen(urllib.request.Request(lab.cache_url, method="POST", data=b""), timeout=5).close()
        case "process":
            os.kill(_supervisor(lab).getProcessInfo("checkout")["pid"], signal.SIGUSR1)
        case "release":
            _deploy(lab.release_roots["east"], f"1.5.{secrets.randbelow(9000)}", "bad")
            urllib.request.urlopen(urllib.request.Request(lab.cache_url, method="PURGE"), timeout=5).close()
        case "region":
            (lab.folder / "uplink-cut").touch()
    return record


def heal(lab: Lab) -> None:
    """Put everything back as it was at the start, by hand: the way out of any experiment."""
    (lab.folder / "uplink-cut").unlink(missing_ok=True)
    (lab.folder / "fault.json").unlink(missing_ok=True)
    root = lab.release_roots["east"]
    if (root / "current").readlink().name != "1.4.0":
        _deploy(root, "1.4.0", "good")
    supervisor = _supervisor(lab)
    for program in ("cache", "edge", "checkout"):
        if supervisor.getProcessInfo(program)["statename"] == "RUNNING":
            supervisor.stopProcess(program)
        supervisor.startProcess(program)
    await_rate(lab, lambda rate: rate is not None and rate > 0.99, START_SECONDS)


def rate(lab: Lab) -> float | None:
    """The shop's success rate as its customers see it now; None where it cannot be read."""
    try:
        with urllib.request.urlopen(lab.health_url, timeout=2) as answer:
            value = json.load(answer)["success_rate"]
    except (OSError, ValueError):
        return None
    return None if value is None else float(value)


def status(lab: Lab) -> dict[str, Any]:
    """The lab as it is: fault, success rate, releases, and the programs that run."""
    fault = lab.folder / "fault.json"
    programs = {entry["name"]: entry["statename"] for entry in _supervisor(lab).getAllProcessInfo()}
    return {
        **lab.model_dump(mode="json"),
        "fault": json.loads(fault.read_text()) if fault.exists() else None,
        "success_rate": rate(lab),
        "releases": {region: (root / "current").readlink().name for region, root in lab.release_roots.items()},
        "programs": programs,
    }


def await_rate(lab: Lab, good: Any, seconds: float) -> float | None:
    """Wait until the success rate satisfies `good`; EffectFailed where it does not in time."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        now = rate(lab)
        if good(now):
            return now
        time.sleep(0.05)
    raise EffectFailed(
        f"the shop's success rate is {rate(lab)} after {seconds:g} s.", cure=f"Read {lab.folder / 'log'}."
    )


def await_alert(lab: Lab, fault: str, seconds: float = 20) -> Path:
    """The alert's file, once the alert has fired."""
    path, until = lab.folder / "alerts" / f"{fault}.json", time.monotonic() + seconds
    while not path.exists():
        if time.monotonic() > until:
            raise EffectFailed(f"no alert fired in {seconds:g} s.", cure=f"Read {lab.folder / 'log'}.")
        time.sleep(0.05)
    return path


def _deploy(root: Path, version: str, behaviour: str) -> None:
    """Deploy a release as any tool of this kind does: folder, link, one line in the history."""
    folder = root / "releases" / version
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "release.json").write_text(json.dumps({"version": version, "behaviour": behaviour}))
    draft = root / ".current"
    draft.symlink_to(Path("releases") / version)
    draft.replace(root / "current")
    with open(root / "deployments.log", "a", encoding="utf-8") as history:
        history.write(f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} {version}\n")


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def _supervisor(lab: Lab) -> Any:
    proxy = xmlrpc.client.ServerProxy(
        "http://127.0.0.1", transport=SupervisorTransport(None, None, serverurl=lab.supervisor)
    )
    return proxy.supervisor


def _configuration(folder: Path, supervisor: Path, programs: dict[str, list[Any]]) -> str:
    blocks = [
        f"[supervisord]\nlogfile={folder}/log/supervisord.log\npidfile={folder}/run/supervisord.pid\nnodaemon=true\n",
        f"[unix_http_server]\nfile={supervisor}\nchmod=0700\n",
        "[rpcinterface:supervisor]\nsupervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface\n",
    ]
    for name, words in programs.items():
        line = " ".join([sys.executable, "-E", "-S", str(SHOP / words[0]), *map(str, words[1:])])
        blocks.append(
            f"[program:{name}]\ncommand={line}\nautorestart=true\nstartsecs=0\nstopwaitsecs=3\n"
            f"stdout_logfile={folder}/log/{name}.log\nredirect_stderr=true\n"
        )
    return "\n".join(blocks)
