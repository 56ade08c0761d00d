# Copyright: the Responder maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What runs a release, restarted on its host: programs of supervisord, a service of systemd, or a hook over HTTP. Standard library only."""

from __future__ import annotations

import http.client
import socket
import urllib.error
import urllib.parse
import urllib.request
import xmlrpc.client
from xml.parsers.expat import ExpatError

from ansible_collections.sre.responder.plugins.module_utils import _systemd as systemd
from ansible_collections.sre.responder.plugins.module_utils._release_history import ReleaseError

RUNS = ("RUNNING", "STARTING", "BACKOFF")
_NOT_RUNNING, _ALREADY_STARTED = 70, 60  # supervisor.xmlrpc.Faults
_FAILED = (OSError, xmlrpc.client.Error, http.client.HTTPException, ExpatError)
"""What a call may raise where supervisord does not answer, or something else does."""
_LOOK_SECONDS = 10
_MOST_BYTES = 1_048_576


class RestartError(ReleaseError):
    """What runs the release cannot be restarted, or was not."""


def looked_at(what: dict) -> dict:
    """What would be restarted, as evidence of the plan; RestartError where it cannot be."""
    if what["http"]:
        url = what["http"]["url"]
        parts = urllib.parse.urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
            raise RestartError(
                "restart.http.url must begin with http:// or https:// and carry no user name or password."
            )
        return {"hook": f"{what['http']['method']} {url.partition('?')[0]}"}
    if what.get("systemd"):
        return _service(what["systemd"]["unit"])
    return {_full(info): info["statename"] for info in _members(what["supervisor"], _LOOK_SECONDS)}


def again(what: dict) -> str:
    """Restart it and say what was done; RestartError where it does not run then."""
    if what["http"]:
        return _called(what["http"]["url"], what["http"]["method"], what["seconds"])
    if what.get("systemd"):
        unit = systemd.service(what["systemd"]["unit"])["Id"]
        systemd.restart(unit, what["seconds"])
        return f"restarted {unit}"
    given, seconds = what["supervisor"], what["seconds"]
    chosen, server = _members(given, _LOOK_SECONDS), _server(given["server"], seconds)
    for info in chosen:
        name = f"{info['group']}:{info['name']}"
        try:
            if info["statename"] in RUNS:
                _but(_NOT_RUNNING, server.stopProcess, name)
            _but(_ALREADY_STARTED, server.startProcess, name)
        except _FAILED as error:
            raise RestartError(f"{_full(info)} did not come back: {error}.") from error
    return f"restarted {', '.join(_full(info) for info in chosen)}"


def undo(what: dict) -> list:
    """The same restart as tasks for a person."""
    if what["http"]:
        call = {"url": what["http"]["url"], "method": what["http"]["method"], "status_code": list(range(200, 300))}
        return [{"name": "Have what runs the release read current anew", "ansible.builtin.uri": call}]
    if what.get("systemd"):
        unit = systemd.service(what["systemd"]["unit"])["Id"]
        return [{"name": f"Restart {unit}", "ansible.builtin.systemd_service": {"name": unit, "state": "restarted"}}]
    server, program = what["supervisor"]["server"], what["supervisor"]["program"]
    words = ["supervisorctl", "-s", server, "restart", program]
    return [{"name": f"Restart {program}", "ansible.builtin.command": {"argv": words}, "changed_when": True}]


def _service(name: str) -> dict:
    """A service of systemd and what is restarted with it; one that a bad release made systemd give up may be started soon again."""
    found = systemd.service(name)
    unit = found["Id"]
    systemd.may_restart(unit)
    if systemd.limited(found):
        raise RestartError(
            f"systemd has started {unit} as often as it may ({systemd.limit(found)}) and would refuse to start it now. "
            f"Wait for that time, or: systemctl reset-failed {unit}"
        )
    if (working := systemd.working(found)) and not systemd.starts_itself(found):
        raise RestartError(f"{working}. Wait until that has ended.")
    restarted, stopped = systemd.with_it(found)
    return {
        unit: systemd.state(found),
        **dict.fromkeys(restarted, "restarted with it"),
        **dict.fromkeys(stopped, "stopped"),
    }


def _called(url: str, method: str, seconds: int) -> str:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(urllib.request.Request(url, method=method), timeout=seconds) as answer:
            return f"{method} {url.partition('?')[0]} answered {answer.status}"
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise RestartError(f"{method} {url.partition('?')[0]} failed: {error}.") from error


def _members(given: dict, seconds: int) -> list:
    """The program of that name, or those of GROUP:* but for what a person stopped."""
    program, place = given["program"], given["server"]
    try:
        known = _server(place, seconds).getAllProcessInfo()
    except _FAILED as error:
        raise RestartError(f"supervisord at {place} cannot be asked: {error}.") from error
    if program.endswith(":*"):
        group = [info for info in known if info["group"] == program[:-2]]
        found = [info for info in group if info["statename"] != "STOPPED"] or group
    else:
        found = [info for info in known if program in (info["name"], f"{info['group']}:{info['name']}")][:2]
    if not found or (len(found) > 1 and not program.endswith(":*")):
        names = ", ".join(sorted(_full(info) for info in known)) or "none"
        raise RestartError(f"'{program[:80]}' is not one program of supervisord at {place}; it knows {names}.")
    return found


def _full(info: dict) -> str:
    return info["name"] if info["group"] == info["name"] else f"{info['group']}:{info['name']}"


def _but(fault: int, call, name: str) -> None:
    """Call and wait; a program that came there by itself meanwhile is no error."""
    try:
        call(name, True)
    except xmlrpc.client.Fault as error:
        if error.faultCode != fault:
            raise


def _server(place: str, seconds: int):
    """supervisord's interface, with a deadline on every call."""
    if not place.startswith(("unix:///", "http://")) or "@" in place:
        raise RestartError(
            "restart.supervisor.server must be unix:///PATH or http://HOST:PORT, without user name and password."
        )
    return xmlrpc.client.ServerProxy("http://supervisord", transport=_Transport(place, seconds)).supervisor


class _Transport(xmlrpc.client.Transport):
    def __init__(self, place: str, seconds: int) -> None:
        super().__init__()
        self.place, self.seconds = place, seconds

    def make_connection(self, host):
        """A connection for each call, for the server closes it when it likes."""
        self.close()
        if self.place.startswith("unix://"):
            made = _Local(self.place[len("unix://") :], self.seconds)
        else:
            made = http.client.HTTPConnection(urllib.parse.urlsplit(self.place).netloc, timeout=self.seconds)
        self._connection = host, made  # what the library closes after an error
        return made

    def parse_response(self, response):
        """The answer, read up to a size that no supervisord needs."""
        with response:  # an error raised here would keep its socket open
            text = response.read(_MOST_BYTES + 1)
        if len(text) > _MOST_BYTES:
            raise OSError(f"its answer is larger than {_MOST_BYTES} bytes")
        parser, made = self.getparser()
        parser.feed(text)
        parser.close()
        return made.close()


class _Local(http.client.HTTPConnection):
    def __init__(self, path: str, seconds: int) -> None:
        super().__init__("localhost", timeout=seconds)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)
