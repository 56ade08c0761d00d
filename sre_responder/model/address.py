"""Addresses of HTTP services: what is wrong with one, how it is shown without secrets, and which proxy leads to it."""

from __future__ import annotations

import ipaddress
import socket
from contextlib import suppress
from urllib.parse import SplitResult, unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from sre_responder.model.names import shown as printable

THIS_MACHINE = "this machine"


def problem(url: str) -> str | None:
    """Why nothing can be asked at an address, without the address; None if something can."""
    if "{{" in url or "{%" in url:
        return "contains Jinja, which is not evaluated here"
    parts = _parts(url)
    if parts is None or not url.isprintable() or " " in url:
        return "is not a valid address"
    if parts.scheme not in ("http", "https") or "://" not in url:
        return "does not start with http:// or https://"
    if not parts.hostname:
        return "names no host"
    if has_login(url):
        return "contains a user name or password"
    return None


def has_login(url: str) -> bool:
    """Whether it carries a user name or a password, also where the rest of it is wrong."""
    return "@" in url.partition("://")[2].partition("/")[0].partition("?")[0]


def shown(url: str) -> str:
    """An address for people: without login and query, which may hold secrets."""
    before, scheme, rest = url.partition("://")
    if not before.isalnum():
        before, scheme, rest = "", "", url
    place, question, _ = rest.partition("?")
    if _parts(url) is None:  # a password with a slash, perhaps: where the login ends cannot be told
        place = place.rpartition("@")[2]
    host, slash, path = place.partition("/")
    return printable(f"{before}{scheme}{host.rpartition('@')[2]}{slash}{path}{'?...' if question else ''}")


def loopback(url: str) -> bool:
    """Whether it is on this machine, which no proxy can reach for us."""
    parts = _parts(url)
    host = (parts.hostname if parts else "") or ""
    if _localhost(host):
        return True
    try:
        found = ipaddress.ip_address(host)
    except ValueError:
        return _old_notation(host).startswith("127.")
    mapped = getattr(found, "ipv4_mapped", None) or found
    return bool(mapped.is_loopback or mapped.is_unspecified)


def one(a: str, b: str) -> bool:
    """Whether two addresses may lead to one place: the same port and path, on hosts that share a name or an address.

    A host that has no address here is known by its name alone.
    """
    first, second = _parts(a), _parts(b)
    if first is None or second is None:
        return a == b
    alike = first.hostname and second.hostname and _rest(first) == _rest(second)
    return bool(alike) and not machine(str(first.hostname)).isdisjoint(machine(str(second.hostname)))


def machine(host: str) -> frozenset[str]:
    """All by which a host is known here: its name, its addresses, and THIS_MACHINE where it is that."""
    found = {host.strip().lower().rstrip(".")}
    with suppress(OSError, UnicodeError):
        found |= {_plain(str(answer[4][0])) for answer in socket.getaddrinfo(host.strip(), None)}
    if _localhost(host):
        found.add(THIS_MACHINE)
    return frozenset(found | {THIS_MACHINE for address in found if _own(address)})


def proxy_for(url: str) -> str | None:
    """The proxy that the environment names for an address; none for this machine."""
    parts = _parts(url)
    if parts is None or not parts.hostname or loopback(url) or proxy_bypass(parts.netloc.rpartition("@")[2]):
        return None
    named = getproxies()
    found = named.get(parts.scheme) or named.get("all")
    return found if not found or "://" in found else f"http://{found}"


def _parts(url: str) -> SplitResult | None:
    try:
        parts = urlsplit(url)
        return parts if parts.port != 0 else None
    except ValueError:
        return None


def _rest(parts: SplitResult) -> tuple[int | None, str, str]:
    """What an address says behind its host; a default port and a slash at the end say nothing."""
    port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    return port, unquote(parts.path).rstrip("/"), unquote(parts.query)


def numeric(host: str) -> bool:
    """Whether it is an address and no name."""
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return bool(_old_notation(host))
    return True


def _plain(address: str) -> str:
    """An address of IPv4 that is written as one of IPv6, as the former."""
    try:
        return str(getattr(ipaddress.ip_address(address), "ipv4_mapped", None) or address)
    except ValueError:
        return address


def _own(address: str) -> bool:
    """Whether it is an address of this machine: nobody else's can be bound here."""
    try:
        found = ipaddress.ip_address(address)
        with socket.socket(socket.AF_INET if found.version == 4 else socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            probe.bind((address, 0))
    except (ValueError, OSError):
        return False
    return True


def _localhost(host: str) -> bool:
    """Whether a name means this machine whatever DNS says (RFC 6761)."""
    return host == "localhost" or host.endswith(".localhost")


def _old_notation(host: str) -> str:
    """An address such as 127.1 in full; empty if it is a name."""
    try:
        return socket.inet_ntoa(socket.inet_aton(host))
    except OSError:
        return ""
