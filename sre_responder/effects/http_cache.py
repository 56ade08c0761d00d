"""HTTP caches that take PURGE or BAN, as Varnish and Squid do."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Literal
from urllib.parse import unquote, urlsplit

import httpx

from sre_responder.effects.action import NO_UNDO, Action, Options, option
from sre_responder.effects.effect import Change, Effect, with_act
from sre_responder.errors import EffectFailed, InputError
from sre_responder.model.address import has_login, loopback, numeric, one
from sre_responder.model.address import shown as address
from sre_responder.system.outbound import through, way

_GONE = (200, 204, 404)  # 404: Squid and Varnish say so of what was not cached; it is not cached now either
_AGE_SLACK_SECONDS = 2


_MARKS = ("x-varnish", "x-cache", "via")
"""Headers by which a cache says that it answered itself; an origin that a method was handed on to bears none of them."""


def _plan(arguments: Mapping[str, Any]) -> Change:
    url, method = _url(arguments), _method(arguments)
    try:
        answer = _ask("HEAD", url, arguments)
        evidence: dict[str, Any] = {"status": answer.status_code, "age_s": _age(answer), "marks": _marks(answer)}
    except (httpx.ConnectError, httpx.UnsupportedProtocol) as error:
        raise InputError(
            f"no cache answers at {url}{through(url)}: {error}.", cure="Check url and that the cache runs."
        ) from error
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
    began, marks = time.monotonic(), change.evidence.get("marks", [])
    try:
        answer = _ask(method, url, arguments)
    except httpx.HTTPError as error:
        raise EffectFailed(f"{method} {url} failed{through(url)}: {error}.") from error
    if answer.status_code not in _GONE:
        raise EffectFailed(
            f"{method} {url} was answered {answer.status_code}{through(url)}; nothing was purged.",
            cure="Allow this address to purge in the cache's rules.",
        )
    if marks and not set(marks) & set(_marks(answer)):
        raise EffectFailed(
            f"{method} {url} was answered {answer.status_code} by something behind the cache; nothing was purged.",
            cure=f"Teach the cache {method}: it handed the request on.",
        )
    if (age := _age_now(url, arguments)) > time.monotonic() - began + _AGE_SLACK_SECONDS:
        raise EffectFailed(f"{url} is still answered from the cache, {age} s old, after {method}.")
    return {"url": url, "kept": False, "status": answer.status_code}


def _age_now(url: str, arguments: Mapping[str, Any]) -> float:
    """The age of what the cache answers now: other evidence than the purge's own answer. 0 where it cannot be told."""
    try:
        return _age(_ask("HEAD", url, arguments)) or 0
    except httpx.HTTPError:
        return 0  # the origin is gone: nothing is answered from the cache either


def _ask(method: str, url: str, arguments: Mapping[str, Any]) -> httpx.Response:
    """One request, and its answer without the body, which nobody needs and which may have any length. InputError if the environment's proxy or certificate authorities cannot be used."""
    try:
        chosen = way(url)
    except OSError as error:
        raise InputError(
            f"{url} cannot be asked{through(url)}: {error}.", cure="Correct the proxy or SSL_CERT_FILE of this machine."
        ) from error
    client = httpx.Client(**chosen, timeout=_seconds(arguments), follow_redirects=False)
    with client, client.stream(method, url) as answer:
        return answer


def _age(answer: httpx.Response) -> int | None:
    text = answer.headers.get("age", "")
    return int(text) if text.isascii() and text.isdigit() else None


def _marks(answer: httpx.Response) -> list[str]:
    return [name for name in _MARKS if name in answer.headers]


def _seconds(arguments: Mapping[str, Any]) -> float:
    return float(arguments.get("timeout_s", 5))


def _url(arguments: Mapping[str, Any]) -> str:
    url = str(arguments["url"])
    if has_login(url):
        raise InputError(
            f"url '{address(url)}' contains a user name or password, which would stand in the record.",
            cure="Leave them out; allow this machine's address to purge in the cache's rules.",
        )
    try:
        parts = urlsplit(url)
        sound = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        sound = False
    if not sound or "*" in unquote(url) or not url.isprintable() or " " in url:
        raise InputError(
            f"url '{address(url)}' is not an http address of one object.",
            cure="Write http://host:port/path, no wildcard.",
        )
    return url


def _method(arguments: Mapping[str, Any]) -> str:
    return str(arguments.get("method", "purge")).upper()


def _read(arguments: Mapping[str, Any]) -> dict[str, Any]:
    return {"url": _url(arguments), "kept": True}


def _look(arguments: Mapping[str, Any]) -> str:
    evidence = _plan(arguments).evidence
    if evidence["status"] is None:
        raise EffectFailed(f"{address(_url(arguments))} gave no answer: {evidence['reason']}.", cure="Check the cache.")
    return f"status {evidence['status']}"


def _same(change: Change, own: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """As they are sent. Two names of one machine are two sites of it, for a cache goes by the name; an address may be any."""
    try:
        mine, its = httpx.URL(str(own["url"])), httpx.URL(other["url"].strip())
    except (httpx.InvalidURL, UnicodeError):
        return False  # nobody can ask there
    named = [url.host for url in (mine, its) if not numeric(url.host) and not loopback(str(url))]
    return (len(named) < 2 or named[0] == named[1]) and one(str(mine), str(its))


class _Options(Options):
    url: str = option(
        "Address of the object at the cache. Never a wildcard.", annotation="responder/cache-url", locates=True
    )
    method: Literal["purge", "ban"] = option(
        "Request method that the cache takes.", default="purge", annotation="responder/cache-method"
    )
    timeout_s: float = option("How long to wait for the platform, in seconds.", default=5.0)


_ACTION = Action(
    name="http_cache_purge",
    rung=1,
    platform="http cache",
    options=_Options,
    summary="Purge one object from an HTTP cache",
    description=("Sends C(PURGE) or C(BAN) for one URL, as Varnish and Squid take it.",),
    examples=(("Purge the start page", {"url": "http://127.0.0.1:6081/"}),),
    undoable=False,
    undo=NO_UNDO,
)
PURGE = Effect(
    _ACTION,
    _plan,
    _act,
    _read,
    _same,
    lambda old, now: None,
    look=_look,
    propagated=with_act("the cache answered that it purged"),
)
"""Nothing that can be read later tells a purge from a cache that filled again, so a purge cut short stays unknown."""
