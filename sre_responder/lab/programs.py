"""The shop's programs under supervisord: its configuration, its start, and the way to ask it."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

SHOP = Path(__file__).parent / "shop"


def configuration(folder: Path, socket: Path, programs: Mapping[str, Sequence[object]]) -> str:
    """supervisord's file: each program is a script of the shop and its arguments."""
    parts = [
        "[supervisord]",
        f"logfile={_plain(folder / 'log' / 'supervisord.log')}",
        f"pidfile={_plain(pid_file(folder))}",
        "nodaemon=false",
        "minfds=64",
        "minprocs=16",
        "[unix_http_server]",
        f"file={_plain(socket)}",
        "chmod=0700",
        "[rpcinterface:supervisor]",
        "supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface",
    ]
    for name, (script, *arguments) in programs.items():
        # without site and the user's settings each starts in a tenth of a second
        words = [sys.executable, "-E", "-S", SHOP / str(script), *arguments]
        parts += [
            f"[program:{name}]",
            f"command={_plain(shlex.join(map(str, words)))}",
            "autorestart=true",
            "startsecs=0",
            "stopwaitsecs=3",
            f"stdout_logfile={_plain(folder / 'log' / name)}.log",
            "redirect_stderr=true",
        ]
    return "\n".join(parts) + "\n"


def start(folder: Path, mark: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Start supervisord; the process given ends as soon as the real one stands on its own."""
    command = [sys.executable, "-W", "ignore", "-m", "supervisor.supervisord", "-c", str(folder / "supervisord.conf")]
    environment = {**os.environ, **mark, "PYTHONDONTWRITEBYTECODE": "1"}
    with output(folder).open("wb") as out:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=environment, cwd="/")


def output(folder: Path) -> Path:
    return folder / "log" / "supervisord.out"


def pid_file(folder: Path) -> Path:
    return folder / "run" / "supervisord.pid"


def _plain(value: object) -> str:
    """A value that supervisord takes as it is: it would read a percent sign as the start of a name, a semicolon as a comment."""
    text = str(value)
    if ";" in text or "\n" in text:
        raise ValueError(f"a path with a semicolon or a line break: {text!r}")
    return text.replace("%", "%%")
