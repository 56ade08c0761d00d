"""A real systemd in namespaces of its own, reached over SSH. It sees no unit of this machine, and cannot write to its disk."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ansible.module_utils
import psutil

import ansible_collections.sre.responder.plugins
from sre_responder.drive.group import group

START_SECONDS = 20
PYTHON = os.path.realpath(sys.executable)
"""Behind all links: those of a virtual environment may not be seen there."""
BOOT = """
set -eu
mount --make-rprivate /
cut -d' ' -f2 /proc/self/mounts | while read -r place; do
    [ "$place" = /proc ] || mount -o remount,bind,ro "$place" || exit 1
done
mount --bind /proc/sys /proc/sys
mount -o remount,bind,ro /proc/sys
mount -t tmpfs none /run
mkdir /run/kept /run/sshd
mount --bind "$1" /run/kept
mount -o remount,bind,rw /run/kept
mount -t tmpfs -o mode=1777 none /tmp
mkdir -p "$1"
mount --bind /run/kept "$1"
mount --bind "$1/machine-id" /etc/machine-id
mount -t cgroup2 none /sys/fs/cgroup
mount -t tmpfs none /etc/systemd/system
hostname inner
[ ! -e /etc/hostname ] || mount --bind "$1/hostname" /etc/hostname
# A unit that reached this machine's own /tmp could empty it, as systemd-tmpfiles does at boot.
[ "$(stat -f -c %T /tmp)" = tmpfs ]
if touch "$2.written" 2>/dev/null; then exit 1; fi
exec env -i container=responder SYSTEMD_UNIT_PATH="$1/units" PATH="$PATH" "$2" --system --unit=boot.target --log-target=console --show-status=no
"""
"""Everything of this machine becomes read-only before systemd starts; its own units are all it knows."""
CALL = """
import importlib, json, sys
sys.path.insert(0, sys.argv[1])
from ansible.module_utils.testing import patch_module_args
with patch_module_args(json.loads(sys.argv[3])):
    importlib.import_module(f"ansible_collections.sre.responder.plugins.modules.{sys.argv[2]}").main()
"""
MINIMAL = {
    **dict.fromkeys(("sysinit.target", "basic.target", "shutdown.target", "sockets.target"), "[Unit]\n"),
    "boot.target": "[Unit]\nDefaultDependencies=no\nWants=sshd.service systemd-journald.service\n",
    "systemd-journald.socket": "[Unit]\nDefaultDependencies=no\n[Socket]\nListenStream=/run/systemd/journal/stdout\n"
    "ListenDatagram=/run/systemd/journal/socket\nPassCredentials=yes\n",
    "systemd-journald.service": "[Unit]\nDefaultDependencies=no\nRequires=systemd-journald.socket\nAfter=systemd-journald.socket\n"
    "[Service]\nType=notify\nExecStart=/lib/systemd/systemd-journald\n",
}


@dataclass(frozen=True)
class Machine:
    """A running systemd, and how an inventory reaches it."""

    pid: int
    folder: Path
    reached: dict[str, Any]

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command beside it, as root."""
        inside = ["nsenter", "--target", str(self.pid), "--mount", "--pid", "--uts", "--ipc", "--cgroup"]
        environ = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"}
        return subprocess.run([*inside, *command], env=environ, capture_output=True, text=True, timeout=60, check=False)

    def module(
        self, name: str, *, check: bool, through: Sequence[str] = (), python: str = PYTHON, **arguments: Any
    ) -> dict[str, Any]:
        """What a module of ours answers there, called as Ansible calls it, with the arguments that the guard gives.

        `through` are words before the command that change its surroundings.
        """
        given = {"incident": "INC-1", "service": "s", "environment": "dev", **arguments, "_ansible_check_mode": check}
        lib = str(self.folder / "lib")
        done = self.run(*through, python, "-I", "-c", CALL, lib, name, json.dumps(given))
        assert done.stdout.strip().startswith("{"), done.stderr
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    def systemctl(self, *words: str) -> str:
        done = self.run("systemctl", *words)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def show(self, unit: str, name: str) -> str:
        return self.systemctl("show", "--value", "-p", name, unit)

    def unit(self, name: str, text: str) -> str:
        """Write a unit, have systemd read it, and give its name."""
        (self.folder / "units" / name).write_text(text)
        self.systemctl("daemon-reload")
        return name

    def mask(self, name: str) -> None:
        """Mask a unit, as `systemctl mask` does."""
        (self.folder / "units" / name).unlink()
        (self.folder / "units" / name).symlink_to("/dev/null")
        self.systemctl("daemon-reload")

    def service(self, name: str, command: str = "/bin/sleep 600", unit: str = "", **settings: object) -> str:
        """Write a service, start it, and give its name."""
        more = "".join(f"{key}={value}\n" for key, value in settings.items())
        self.unit(name, f"[Unit]\n{unit}\n[Service]\nExecStart={command}\n{more}")
        self.run("systemctl", "start", name)
        return name


def impossible() -> str | None:
    """Why no systemd can be started here; None where one can."""
    if os.geteuid() != 0:
        return "only root starts a systemd in namespaces of its own"
    tried = subprocess.run(
        ["unshare", "--fork", "--pid", "--mount", "--mount-proc", "--cgroup", "--uts", "--ipc", "true"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return f"no namespaces can be made here: {tried.stderr.strip()}" if tried.returncode else None


@contextmanager
def machine(folder: Path, systemd: Path, reached: dict[str, Any], sshd: list[object]) -> Iterator[Machine]:
    """Start a systemd with this sshd, whose files lie in the folder; it ends with all that it started."""
    folder.chmod(0o755)
    units = folder / "units"
    units.mkdir()
    for name, text in MINIMAL.items():
        (units / name).write_text(text)
    for package in (ansible.module_utils, ansible_collections.sre.responder.plugins):
        path = Path(next(iter(package.__path__)))
        shutil.copytree(
            path, folder / "lib" / package.__name__.replace(".", "/"), ignore=shutil.ignore_patterns("__pycache__")
        )
    (folder / "lib/ansible/__init__.py").touch()
    daemon = " ".join(map(str, sshd))
    (units / "sshd.service").write_text(f"[Unit]\nDefaultDependencies=no\n[Service]\nExecStart={daemon}\n")
    (folder / "machine-id").write_text("0123456789abcdef0123456789abcdef\n")
    (folder / "hostname").write_text("inner\n")
    (folder / "boot.sh").write_text(BOOT)
    own = ["unshare", "--fork", "--kill-child", "--pid", "--mount", "--mount-proc", "--cgroup", "--uts", "--ipc"]
    with group(f"systemd-{os.getpid()}") as place, (folder / "systemd.log").open("wb") as log:
        assert place is not None, "no control group of version 2 can be made here"
        join = ["sh", "-c", 'echo $$ > "$0/cgroup.procs"; exec "$@"', str(place)]
        outer = subprocess.Popen(
            [*join, *own, "sh", folder / "boot.sh", str(folder), str(systemd)],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        )  # fmt: skip
        try:
            until(lambda: outer.poll() is not None or _listens(reached["ansible_port"]), "its sshd listens")
            assert outer.poll() is None, (folder / "systemd.log").read_text(errors="replace")
            [inner] = psutil.Process(outer.pid).children()
            yield Machine(inner.pid, folder, {**reached, "ansible_python_interpreter": PYTHON})
        finally:
            outer.send_signal(signal.SIGKILL)  # and with it process 1 there, whose end is the end of all others
            outer.wait()
            _remove(place)


def until(reached: Callable[[], object], what: str) -> None:
    """Wait for something that systemd does by itself."""
    end = time.monotonic() + START_SECONDS
    while not reached():
        assert time.monotonic() < end, f"not within {START_SECONDS} s: {what}"
        time.sleep(0.05)


def _listens(port: int) -> bool:
    with suppress(OSError):
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    return False


def _remove(place: Path) -> None:
    """Remove a control group with those below it, once their processes are gone."""

    def removed() -> bool:
        for below, _, _ in os.walk(place, topdown=False):
            with suppress(OSError):
                os.rmdir(below)
        return not place.exists()

    until(removed, "its processes are gone")
