"""A real PostgreSQL for tests: one server a test session, one database a test, ended by pid."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

SETTINGS = "-c fsync=off -c full_page_writes=off -c max_connections=200 -c unix_socket_directories="


def programs() -> Path | None:
    """Where Debian, or the PATH, keeps PostgreSQL's own programs."""
    found = [*sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), reverse=True)]
    on_path = shutil.which("initdb")
    return found[0].parent if found else Path(on_path).parent if on_path else None


@dataclass(frozen=True)
class Server:
    """One server on a loopback port; trusts this machine, for it holds nothing but tests."""

    bin: Path
    folder: Path
    port: int

    def url(self, database: str, user: str = "postgres") -> str:
        return f"postgresql+psycopg://{user}@127.0.0.1:{self.port}/{database}"

    def sql(self, statement: str, database: str = "postgres") -> None:
        command = [self.bin / "psql", "-qX", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-p", str(self.port)]
        subprocess.run([*command, "-U", "postgres", "-d", database, "-c", statement], check=True, capture_output=True)

    def control(self, *arguments: str) -> None:
        log, settings = self.folder / "log", f"{SETTINGS} -c port={self.port} -c listen_addresses=127.0.0.1"
        command = [self.bin / "pg_ctl", "-D", self.folder / "data", "-l", log, "-w", "-o", settings, *arguments]
        subprocess.run([*_unprivileged(), *command], check=True, stdout=subprocess.DEVNULL, cwd="/")


def _unprivileged() -> list[str]:
    """PostgreSQL refuses to run as root."""
    return ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] if os.getuid() == 0 else []


@contextmanager
def server() -> Iterator[Server]:
    found = programs()
    assert found is not None, "ask programs() first"
    folder = Path(tempfile.mkdtemp(prefix="sre-pg-"))
    if os.getuid() == 0:
        shutil.chown(folder, "postgres", "postgres")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        here = Server(found, folder, probe.getsockname()[1])
    initdb = [found / "initdb", "-D", folder / "data", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync"]
    try:
        subprocess.run([*_unprivileged(), *initdb], check=True, stdout=subprocess.DEVNULL, cwd="/")
        here.control("start")
        yield here
    finally:
        if (folder / "data" / "postmaster.pid").exists():
            here.control("stop", "-m", "immediate")
        shutil.rmtree(folder, ignore_errors=True)
