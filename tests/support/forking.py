"""A process that has imported the library, and becomes each command that it is sent: `forks.py` starts it and tells how."""

from __future__ import annotations

import ctypes
import gc
import importlib
import json
import os
import pkgutil
import runpy
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress

import sre_responder
from support.disk import wait_for_no_disk

LONGEST = 1 << 17
"""Bytes of one message."""
PROGRAMS = frozenset(["__main__", "lab", "migrations"])
"""Modules, and folders of them, that do something once they are imported."""
OF_ANSIBLE = (
    "cryptography.hazmat.backends", "cryptography.hazmat.primitives.ciphers", "cryptography.hazmat.primitives.kdf.pbkdf2",
    "cryptography.hazmat.primitives.padding", "distro", "jinja2.nativetypes", "jinja2.sandbox", "multiprocessing.queues",
    "multiprocessing.reduction", "packaging.version",
)  # fmt: skip
"""Others' modules that Ansible imports. Its own are not imported before: they read settings while they are."""


def serve(channel: socket.socket) -> tuple[bytes, list[int]] | None:
    """Fork for each message. Gives, in the fork, what it was sent; here None, once nobody can send any more."""
    while True:
        message, streams, _, _ = socket.recv_fds(channel, LONGEST, 3)
        if not message:
            return None
        child = os.fork()
        if child == 0:
            channel.close()
            return message, streams
        for stream in streams:
            os.close(stream)
        channel.send(b"%d" % child)
        channel.send(b"%d" % os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


def become(command: Sequence[str], environ: Mapping[str, str], folder: str, streams: Sequence[int]) -> None:
    """Be what a start of this command would be, up to the first line of its program, and run it."""
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environ)
    time.tzset()
    tempfile.tempdir = None
    program = command[0]
    _show([sys.executable, *command], [f"{name}={value}" for name, value in environ.items()])
    sys.argv, sys.path[0] = [*command], os.path.dirname(program)
    sys.orig_argv[:] = [sys.executable, *command]
    runpy.run_path(program, run_name="__main__")


def _show(words: Sequence[str], variables: Sequence[str]) -> None:
    """Let /proc/PID show this command and this environment, for this process and all that it forks.

    The kernel reads them from the memory where it put them for the process that forked; `forks.py` had it leave room.
    """
    with open("/proc/self/stat") as file:
        places = [int(word) for word in file.read().rpartition(")")[2].split()[45:49]]
    for (begins, ends), texts in zip((places[:2], places[2:]), (words, variables), strict=True):
        data = b"".join(os.fsencode(text) + b"\0" for text in texts)
        assert len(data) <= ends - begins, f"{len(data)} bytes are more than there is room for: see forks.py"
        ctypes.memmove(begins, data.ljust(ends - begins, b"\0"), ends - begins)
    with open("/proc/self/comm", "w") as file:
        file.write(os.path.basename(words[1]))


if __name__ == "__main__":
    for module in pkgutil.walk_packages(sre_responder.__path__, "sre_responder."):
        if PROGRAMS.isdisjoint(module.name.split(".")):
            importlib.import_module(module.name)
    for name in OF_ANSIBLE:
        with suppress(ModuleNotFoundError):  # of those that Ansible itself can do without
            importlib.import_module(name)
    assert not any(name.partition(".")[0] == "ansible" for name in sys.modules), (
        "its settings would be of the wrong place"
    )
    assert threading.active_count() == 1, "a thread would be missing in the fork, with whatever it had locked"
    wait_for_no_disk()
    gc.freeze()
    if (sent := serve(socket.socket(fileno=int(sys.argv[1])))) is not None:
        become(*json.loads(sent[0]), sent[1])
