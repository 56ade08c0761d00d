"""The embedded shop's life: up, break, heal, status, down. Everything lives in one folder and ends by one mark."""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import signal
import socket
import tempfile
import time
import urllib.error
import urllib.request
import xmlrpc.client
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import ValidationError

from sre_responder.effects.supervisor import supervisord
from sre_responder.errors import EffectFailed, InputError
from sre_responder.lab import home as lab_home
from sre_responder.lab import programs, releases
from sre_responder.lab.lab import Lab
from sre_responder.model import names
from sre_responder.system.prove import MARK, end, processes_of

Fault = Literal["cache", "process", "release", "region"]
FAULTS: tuple[Fault, ...] = get_args(Fault)
SEVERITIES: dict[Fault, str] = {"cache": "SEV3", "process": "SEV2", "release": "SEV2", "region": "SEV1"}
RUNGS: dict[Fault, int] = {"cache": 1, "process": 2, "release": 3, "region": 4}
START_SECONDS = 20
PATH_LIMIT = 80
"""Characters of the folder's path: a Unix socket's path ends at 107, and supervisord adds its own."""


def default_folder() -> Path:
    """Where the lab lives when nobody says: short, for a Unix socket's path must be."""
    return Path(tempfile.gettempdir()) / f"sre-responder-lab-{os.getuid()}"


def load(folder: Path) -> Lab:
    """The lab that is up in a folder."""
    path = folder / "lab.json"
    if not path.is_file():
        raise InputError(f"no lab is up in {folder}.", cure="Run `responder lab up`.")
    try:
        return Lab.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise InputError(
            f"{path} cannot be read.", cure="Run `responder lab down`, then `responder lab up`."
        ) from error


def up(folder: Path) -> Lab:
    """Start the shop; a lab that died in that folder is cleaned up first, one that lives is refused."""
    folder = folder.absolute()
    if len(str(folder)) > PATH_LIMIT or not str(folder).isprintable() or ";" in str(folder):
        raise InputError(f"{folder} cannot hold Unix sockets.", cure="Choose a short, plain folder with --folder.")
    died = _mark(folder)
    if died:
        if _lives(folder, died):
            raise InputError(f"a lab is up in {folder} already.", cure="Run `responder lab down` first.")
        end(died)
        shutil.rmtree(folder)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    mark = f"lab-{secrets.token_hex(6)}"
    (folder / "mark").write_text(mark)
    try:
        lab = _start(folder, mark)
    except BaseException as error:
        reason = programs.output(folder).read_text()[-500:] if programs.output(folder).exists() else ""
        end(mark)
        shutil.rmtree(folder)
        if isinstance(error, EffectFailed):
            raise EffectFailed(f"the lab did not start: {error.message} {reason}".strip()) from error
        raise
    return lab


def _start(folder: Path, mark: str) -> Lab:
    for name in ("alerts", "log", "stop", "run"):
        (folder / name).mkdir()
    ports = dict(zip(("edge", "cache", "east", "west", "inventory", "load"), _free_ports(6), strict=True))
    urls = {name: f"http://127.0.0.1:{port}/" for name, port in ports.items()}
    roots = {region: folder / region for region in ("east", "west")}
    for root in roots.values():
        releases.deploy(root, releases.FIRST)
        releases.deploy(root, releases.GOOD)
    supervisor, runtime = folder / "run" / "super.sock", folder / "run" / "edge.sock"
    lab = Lab(
        id=mark,
        folder=folder,
        home=folder / "home",
        ledger=f"sqlite:///{folder / 'state' / 'ledger.db'}",
        edge_url=urls["edge"],
        cache_url=urls["cache"],
        inventory_url=urls["inventory"],
        health_url=f"{urls['load']}health.json",
        supervisor=f"unix://{supervisor}",
        runtime_socket=str(runtime),
        release_roots=roots,
        alerts=folder / "alerts",
    )
    shop: dict[str, list[object]] = {
        "inventory": ["inventory.py", ports["inventory"]],
        "checkout": ["app.py", ports["east"], roots["east"], lab.inventory_url],
        "checkout-west": ["app.py", ports["west"], roots["west"], lab.inventory_url],
        "cache": ["cache.py", ports["cache"], ports["east"], _uplink_cut(lab)],
        "edge": ["edge.py", ports["edge"], runtime, f"east:{ports['cache']}:ready", f"west:{ports['west']}:drain"],
        "load": ["load.py", ports["load"], ports["edge"]],
        "alerts": ["alerts.py", lab.health_url, folder],
    }
    (folder / "supervisord.conf").write_text(programs.configuration(folder, supervisor, shop), encoding="utf-8")
    starting = programs.start(folder, {MARK: mark})
    try:
        lab = lab.model_copy(update={"incident": lab_home.write(lab)})  # while the shop starts
    finally:
        starting.wait(START_SECONDS)
    await_rate(lab, _healthy, START_SECONDS)
    (folder / "lab.json").write_text(lab.model_dump_json(indent=2), encoding="utf-8")
    return lab


def down(folder: Path) -> list[str]:
    """End every process and remove every file; gives what is left, which should be nothing."""
    folder = folder.absolute()
    mark = _mark(folder)
    if mark is None:
        return []
    left = [f"process {process.pid} {process.command}" for process in end(mark).left]
    if not left:
        shutil.rmtree(folder)
    return left + ([str(folder)] if folder.exists() else [])


def break_(lab: Lab, fault: str, environment: str = "staging") -> dict[str, Any]:
    """Inject one fault into the shop of that environment; gives its record with the time at which it began."""
    if fault not in FAULTS:
        raise InputError(f"fault '{fault[:40]}' is not known.", cure=f"Use one of {', '.join(FAULTS)}.")
    record = {
        "id": f"{fault}-{secrets.token_hex(3)}",
        "fault": fault,
        "severity": SEVERITIES[fault],
        "environment": environment,
        "at": time.time(),
    }
    lab_home.place(lab, names.environment(environment))
    draft = lab.folder / "fault.draft"
    draft.write_text(json.dumps(record))
    draft.replace(_fault(lab))
    try:
        match fault:
            case "cache":
                _cache(lab, "POST")
            case "process":
                os.kill(_running(lab, "checkout"), signal.SIGUSR1)
            case "release":
                releases.deploy(lab.release_roots["east"], f"1.5.{secrets.randbelow(9000)}", "bad")
                _cache(lab, "PURGE")  # what was kept of the release before would hide the bad one
            case "region":
                _uplink_cut(lab).touch()
    except OSError as error:
        _fault(lab).unlink(missing_ok=True)
        raise EffectFailed(f"the lab in {lab.folder} does not answer: {error}.", cure=_AGAIN) from error
    return record


def heal(lab: Lab) -> None:
    """Put everything back as it was at the start, by hand: the way out of any experiment."""
    _uplink_cut(lab).unlink(missing_ok=True)
    _fault(lab).unlink(missing_ok=True)
    for root in lab.release_roots.values():
        if releases.current(root) != releases.GOOD:
            releases.deploy(root, releases.GOOD)
    known = {entry["name"]: entry["statename"] for entry in _programs(lab)}
    with supervisord(lab.supervisor) as server:
        for program, state in known.items():
            if state == "RUNNING" and program in ("cache", "edge", "checkout"):
                server.stopProcess(program)
                state = "STOPPED"
            if state != "RUNNING":
                server.startProcess(program)
    _await_answers([lab.cache_url, lab.edge_url], START_SECONDS)  # else the rate is still that of before
    await_rate(lab, _healthy, START_SECONDS)


def status(lab: Lab) -> dict[str, Any]:
    """The lab as it is: fault, success rate, releases, and the programs that run."""
    fault = _fault(lab)
    found = _programs(lab)
    return {
        **lab.model_dump(mode="json"),
        "fault": json.loads(fault.read_text()) if fault.exists() else None,
        "success_rate": rate(lab),
        "releases": {region: releases.current(root) for region, root in lab.release_roots.items()},
        "programs": {entry["name"]: entry["statename"] for entry in found},
        "pids": {entry["name"]: entry["pid"] for entry in found},
    }


def rate(lab: Lab) -> float | None:
    """The shop's success rate as its customers see it now; None where it cannot be read."""
    try:
        with urllib.request.urlopen(lab.health_url, timeout=2) as answer:
            value = json.load(answer)["success_rate"]
    except (OSError, ValueError):
        return None
    return None if value is None else float(value)


def await_rate(lab: Lab, good: Callable[[float | None], bool], seconds: float) -> float | None:
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
    path, until = lab.alerts / f"{fault}.json", time.monotonic() + seconds
    while not path.exists():
        if time.monotonic() > until:
            raise EffectFailed(f"no alert fired in {seconds:g} s.", cure=f"Read {lab.folder / 'log'}.")
        time.sleep(0.05)
    return path


_AGAIN = "Run `responder lab up`: it cleans up first."


def _healthy(rate: float | None) -> bool:
    return rate is not None and rate > 0.99


def _mark(folder: Path) -> str | None:
    """The mark of the lab in this folder; None where the folder is free. Anything else there is left alone."""
    if folder.is_symlink() or (folder.exists() and (not folder.is_dir() or folder.stat().st_uid != os.getuid())):
        raise InputError(f"{folder} is not a folder of yours.", cure="Choose another with --folder.")
    if not folder.exists() or not any(folder.iterdir()):
        return None
    try:
        mark = (folder / "mark").read_text()
    except (OSError, UnicodeDecodeError):
        mark = ""
    if not re.fullmatch(r"lab-[0-9a-f]{12}", mark):
        raise InputError(f"{folder} is not empty and not a lab.", cure="Choose another folder with --folder.")
    return mark


def _lives(folder: Path, mark: str) -> bool:
    """Whether that lab's own supervisord runs; processes that it left behind are no lab."""
    try:
        pid = int(programs.pid_file(folder).read_text())
    except (OSError, ValueError):
        return False
    return (folder / "lab.json").exists() and any(process.pid == pid for process in processes_of(mark))


def _programs(lab: Lab) -> list[dict[str, Any]]:
    died = EffectFailed(f"the lab in {lab.folder} has died.", cure=_AGAIN)
    if not _lives(lab.folder, lab.id):
        raise died
    try:
        with supervisord(lab.supervisor) as server:
            return list(server.getAllProcessInfo())
    except (OSError, xmlrpc.client.Error) as error:
        raise died from error


def _running(lab: Lab, program: str) -> int:
    """The process of a program that runs: 0 or -1 in its place would signal far more than that."""
    pid = next((entry["pid"] for entry in _programs(lab) if entry["name"] == program), 0)
    if pid <= 1:
        raise EffectFailed(f"{program} does not run.", cure="Run `responder lab heal`.")
    return int(pid)


def _cache(lab: Lab, method: str) -> None:
    request = urllib.request.Request(lab.cache_url, method=method, data=b"" if method == "POST" else None)
    try:
        urllib.request.urlopen(request, timeout=5).close()
    except urllib.error.HTTPError as error:
        error.close()
        if error.code != 404:  # which says that nothing was kept
            raise


def _await_answers(urls: Sequence[str], seconds: float) -> None:
    until = time.monotonic() + seconds
    for url in urls:
        while True:
            try:
                urllib.request.urlopen(url, timeout=2).close()
                break
            except OSError as error:
                if isinstance(error, urllib.error.HTTPError):
                    error.close()
                if time.monotonic() > until:
                    raise EffectFailed(f"{url} does not answer after {seconds:g} s: {error}.") from error
                time.sleep(0.02)


def _fault(lab: Lab) -> Path:
    return lab.folder / "fault.json"


def _uplink_cut(lab: Lab) -> Path:
    return lab.folder / "uplink-cut"


def _free_ports(count: int) -> list[int]:
    """Free ports below the range from which outgoing connections take theirs, so that none is taken meanwhile."""
    found: list[int] = []
    while len(found) < count:
        port = 20000 + secrets.randbelow(12000)
        with socket.socket() as probe:
            if port not in found and probe.connect_ex(("127.0.0.1", port)) != 0:
                found.append(port)
    return found
