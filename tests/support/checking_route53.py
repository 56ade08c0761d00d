"""A proxy before moto that refuses a batch of Route 53 as AWS documents it: a DELETE must be what the zone has now, a CREATE must be new.

moto itself deletes whatever has the name. Faults can be ordered beside: answers instead of Route 53's own, changes that stay PENDING.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from xml.etree import ElementTree

import httpx

XML = "https://route53.amazonaws.com/doc/2013-04-01/"
_NAME = f"{{{XML}}}"
KEY = ("Name", "Type", "SetIdentifier")

ElementTree.register_namespace("", XML)


@dataclass
class Checking:
    """What the proxy was asked, and what it shall do."""

    moto: str
    asked: list[str] = field(default_factory=list)
    """Each request as `GET rrset`: the last part of its path that is no id."""
    instead: dict[str, list[tuple[int, str]]] = field(default_factory=dict)
    """Answers, by request, that are given before Route 53 is asked: status and body; a status of 0 closes the connection."""
    after: dict[str, list[int]] = field(default_factory=dict)
    """Requests that Route 53 has carried out, and whose answer is this status without a word, or none at all (0)."""
    pending: int = 0
    """How often a change is still PENDING when it is asked for."""
    meanwhile: Callable[[], None] = lambda: None
    """Runs before a batch is checked: what somebody else does at that moment."""
    rewrite: Callable[[str, str], str] = lambda request, body: body
    """Changes an answer of Route 53."""
    legacy: bool = False
    """Whether a batch is refused in the form that the API's reference shows."""
    url: str = ""

    def answer(self, method: str, path: str, headers: dict[str, str], body: bytes) -> tuple[int, str]:
        words = [word for word in path.partition("?")[0].split("/") if word]
        request = f"{method} {next((word for word in reversed(words) if word in _KINDS), words[-1])}"
        self.asked.append(request)
        if self.instead.get(request):
            return self.instead[request].pop(0)
        if request == "GET change" and self.pending:
            self.pending -= 1
            status, text = self._forward(method, path, headers, body)
            return status, text.replace("INSYNC", "PENDING")
        if request == "POST rrset":
            self.meanwhile()
            zone = words[words.index("hostedzone") + 1]
            root = ElementTree.fromstring(body)
            if wrong := self._wrong(zone, headers, root):
                return 400, self._refused(wrong)
            body = _for_moto(root)
        status, text = self._forward(method, path, headers, body)
        if self.after.get(request):
            return self.after[request].pop(0), ""
        return status, self.rewrite(request, text)

    def _forward(self, method: str, path: str, headers: dict[str, str], body: bytes) -> tuple[int, str]:
        kept = {
            name: value
            for name, value in headers.items()
            if name.lower() not in ("content-length", "host", "accept-encoding")
        }
        answer = httpx.request(method, f"{self.moto}{path}", headers=kept, content=body, timeout=30, trust_env=False)
        return answer.status_code, answer.text

    def _wrong(self, zone: str, headers: dict[str, str], root: ElementTree.Element) -> str:
        """Why Route 53 would make none of a batch; empty if it would make all of it. One after the other, as it does."""
        there = {_key(record): _plain(record) for record in self._present(zone, headers)}
        for one in root.iter(f"{_NAME}Change"):
            record = one.find(f"{_NAME}ResourceRecordSet")
            assert record is not None
            action, key = one.findtext(f"{_NAME}Action"), _key(record)
            what = f"resource record set [name='{key[0]}', type='{key[1]}', set identifier='{key[2]}']"
            if action == "DELETE" and there.get(key) != _plain(record):
                why = "the values provided do not match the current values" if key in there else "it was not found"
                return f"Tried to delete {what} but {why}"
            if action == "CREATE" and key in there:
                return f"Tried to create {what} but it already exists"
            if action == "DELETE":
                del there[key]
            else:
                there[key] = _plain(record)
        return ""

    def _present(self, zone: str, headers: dict[str, str]) -> list[ElementTree.Element]:
        found, start = [], ""
        while True:
            _, text = self._forward("GET", f"/2013-04-01/hostedzone/{zone}/rrset?maxitems=300{start}", headers, b"")
            root = ElementTree.fromstring(text)
            found += root.iter(f"{_NAME}ResourceRecordSet")
            if root.findtext(f"{_NAME}IsTruncated") != "true":
                return found
            start = f"&name={root.findtext(f'{_NAME}NextRecordName')}&type={root.findtext(f'{_NAME}NextRecordType')}"

    def _refused(self, message: str) -> str:
        if self.legacy:
            return f'<InvalidChangeBatch xmlns="{XML}"><Messages><Message>{message}</Message></Messages></InvalidChangeBatch>'
        return error("InvalidChangeBatch", message)


_KINDS = ("rrset", "change", "status", "healthcheck", "hostedzone", "hostedzonesbyname")


def error(code: str, message: str) -> str:
    """The body of a refusal of AWS."""
    return (
        f'<ErrorResponse xmlns="{XML}"><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>'
        "<RequestId>b25f48e8-84fd-11e6-80d9-574e0c4664cb</RequestId></ErrorResponse>"
    )


def _key(record: ElementTree.Element) -> tuple[str, ...]:
    name, type, identifier = (record.findtext(f"{_NAME}{tag}") or "" for tag in KEY)
    return f"{name.rstrip('.')}.", type, identifier


def _plain(element: ElementTree.Element) -> Any:
    """What an element says, whatever the order; what is empty says nothing. A name is one with its last dot."""
    children = [(child.tag, _plain(child)) for child in element]
    if children:
        return sorted(((tag, said) for tag, said in children if said), key=json.dumps)
    text = (element.text or "").strip()
    return f"{text.rstrip('.')}." if element.tag == f"{_NAME}Name" else text


def _for_moto(root: ElementTree.Element) -> bytes:
    """A batch as moto carries it out rightly: it would delete by identifier alone, so a pair of DELETE and CREATE is one UPSERT."""
    changes = root.find(f".//{_NAME}Changes")
    assert changes is not None
    made = {_key(record): one for one in changes if (record := one.find(f"{_NAME}ResourceRecordSet")) is not None}
    for one in list(changes):
        if one not in made.values():
            changes.remove(one)
    for one in made.values():
        action = one.find(f"{_NAME}Action")
        assert action is not None
        action.text = "UPSERT" if action.text == "CREATE" else action.text
    return ElementTree.tostring(root)


def serve(checking: Checking) -> ThreadingHTTPServer:
    """Run the proxy on a free port of loopback until `shutdown()`; its address is `checking.url`."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, text = checking.answer(self.command, self.path, dict(self.headers), body)
            if not status:
                self.close_connection = True
                return
            self.send_response(status)
            self.send_header("Content-Type", "text/xml")
            self.send_header("Content-Length", str(len(text.encode())))
            self.end_headers()
            self.wfile.write(text.encode())

        do_POST = do_DELETE = do_GET

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    checking.url = f"http://127.0.0.1:{server.server_port}"
    return server
