"""HTTP caches that take PURGE or BAN, as Varnish and Squid do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

import httpx

from sre_responder.effects.effect import Change, Effect
from sre_responder.errors import EffectFailed, InputError
from sre_responder.names import shown

_GONE = (200, 204, 404)  # 404: Squid and Varnish say so of what was not cached; it is not cached now either


def _plan(arguments: Mapping[str, Any]) -> Change:
    url, method = _url(arguments), _method(arguments)
    try:
        answer = httpx.head(url, timeout=float(arguments.get("timeout_s", 5)), follow_redirects=False)
        evidence: dict[str, Any] = {
            "status": answer.status_code,
            "age_s": answer.headers.get("age"),
            "cache": answer.headers.get("x-cache"),
        }
    except (httpx.ConnectError, httpx.UnsupportedProtocol) as error:
        raise InputError(f"no cache answers at {url}: {error}.", cure="Check url and that the cache runs.") from error
    except httpx.HTTPError as error:
        evidence = {"status": None, "reason": str(error)}  # a cache whose origin is gone can still be purged
    return Change(
        target=f"http_cache:{url}",
        before=_read(arguments),
        after={"url": url, "kept": False},
        undo_note="Nothing to undo: the cache fills again from its origin.",
        evidence=evidence,
        diff={"before": f"{url} may be answered from the cache\n", "after": f"{url} {method.lower()}d, fetched anew\n"},
    )


def _act(arguments: Mapping[str, Any], change: Change) -> dict[str, Any]:
    url, method = _url(arguments), _method(arguments)
    try:
        answer = httpx.request(method, url, timeout=float(arguments.get("timeout_s", 5)), follow_redirects=False)
    except httpx.HTTPError as error:
        raise EffectFailed(f"{method} {url} failed: {error}.") from error
    if answer.status_code not in _GONE:
        raise EffectFailed(
            f"{method} {url} was answered {answer.status_code}; nothing was purged.",
            cure="Allow this address to purge in the cache's rules.",
        )
    return {"url": url, "kept": False, "status": answer.status_code}


def _url(arguments: Mapping[str, Any]) -> str:
    url = str(arguments["url"])
    try:
        parts = urlsplit(url)
        sound = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        sound = False
    if not sound or "*" in unquote(url) or not url.isprintable() or " " in url:
        raise InputError(
            f"url '{shown(url)}' is not an http address of one object.",
            cure="Write http://host:port/path, no wildcard.",
        )
    return url


def _method(arguments: Mapping[str, Any]) -> str:
    return str(arguments.get("method", "purge")).upper()


def _read(arguments: Mapping[str, Any]) -> dict[str, Any]:
    return {"url": _url(arguments), "kept": True}


PURGE = Effect(_plan, _act, _read, lambda old, now: None)
"""Nothing that can be read later tells a purge from a cache that filled again, so a purge cut short stays unknown."""
