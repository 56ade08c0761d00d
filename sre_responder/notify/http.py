"""One request to a receiver, bounded in time and size, and what its answer means."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator

from sre_responder.model.names import shown
from sre_responder.notify.message import Rejected, Unreachable
from sre_responder.system.outbound import through, way
from sre_responder.system.secret import Secret

ANSWER_LIMIT, DOCUMENT_LIMIT = 4096, 1 << 20
LATER = frozenset({408, 425, 429})
"""Answers among 4xx that ask to be tried again."""


def _http(value: str | Secret) -> str | Secret:
    if isinstance(value, str) and not value.startswith(("http://", "https://")):
        raise ValueError("a URL begins with https:// or http://")
    return value


Url = Annotated[str | Secret, AfterValidator(_http)]
"""An address, or where it is kept: that of an incoming webhook is itself a secret."""


def revealed(value: str | Secret) -> str:
    """The text itself, or what the secret holds. Unreachable if it cannot be read: that may be put right."""
    try:
        return value if isinstance(value, str) else value.reveal()
    except (OSError, ValueError) as error:
        raise Unreachable(str(error)) from error


def post(url: str, body: Any, *, who: str, timeout_s: float, headers: Mapping[str, str] | None = None) -> str:
    """POST JSON; return the beginning of a successful answer, as text."""
    text = _asked("POST", url, who, timeout_s, ANSWER_LIMIT, json=body, headers=dict(headers or {}))
    return text.decode("utf-8", "replace").strip()


def get(url: str, *, who: str, timeout_s: float, headers: Mapping[str, str], params: Mapping[str, str]) -> Any:
    """The JSON of a successful answer; Unreachable if it is none, or longer than a receiver's answer is."""
    text = _asked("GET", url, who, timeout_s, DOCUMENT_LIMIT, headers=dict(headers), params=dict(params))
    try:
        return json.loads(text)
    except ValueError as error:
        raise Unreachable(f"{who} answered what is no JSON of at most {DOCUMENT_LIMIT} bytes") from error


def _asked(method: str, url: str, who: str, timeout_s: float, limit: int, **request: Any) -> bytes:
    """The beginning of a successful answer. Errors name `who`, never the address, which may be a secret."""
    import httpx  # here, for it is slow to import, and every run delivers while few have a receiver

    until = time.monotonic() + timeout_s
    try:
        with (
            httpx.Client(**way(url), timeout=timeout_s, follow_redirects=False) as client,
            client.stream(method, url, **request) as answer,
        ):
            text = b""
            for part in answer.iter_bytes():
                text += part
                if len(text) >= limit or time.monotonic() > until:
                    break
    except httpx.TimeoutException as error:
        raise Unreachable(f"{who} did not answer within {timeout_s:g} s{through(url)}") from error
    except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
        raise Rejected(f"{who}: its URL is not valid") from error
    except (httpx.LocalProtocolError, UnicodeEncodeError) as error:  # the text of these repeats the header
        raise Rejected(f"{who}: a header of it is not valid") from error
    except (httpx.HTTPError, OSError) as error:  # OSError: a proxy or authorities that cannot be used
        raise Unreachable(f"{who} cannot be reached{through(url)}: {type(error).__name__} {error}".strip()) from error
    if answer.is_success:
        return text[:limit]
    said = text[:ANSWER_LIMIT].decode("utf-8", "replace").strip()
    problem = f"{who} answered {answer.status_code} {_words(said)}".strip()
    if answer.status_code < 500 and answer.status_code not in LATER:
        raise Rejected(problem)
    after = answer.headers.get("Retry-After", "")
    raise Unreachable(problem, float(after) if after.isascii() and after.isdigit() and len(after) < 6 else 0)


def _words(said: str) -> str:
    """What a receiver says of an error: its text, or the sentences in its JSON."""
    try:
        found = json.loads(said)
    except ValueError:
        return shown(" ".join(said.split()), 200)
    if not isinstance(found, dict):
        return shown(said, 200)
    error, errors = found.get("error"), found.get("errors")
    words = [found.get("message"), error.get("message") if isinstance(error, dict) else error]
    words += errors if isinstance(errors, list) else []
    return shown("; ".join(str(word) for word in words if word) or said, 200)
