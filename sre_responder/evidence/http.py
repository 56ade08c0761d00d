"""One sample of an HTTP probe."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any

import httpx
import jmespath

from sre_responder.evidence.criterion import Criterion

BODY_LIMIT = 1 << 20


@dataclass(frozen=True)
class Sample:
    """One measurement; `ok` is None where nothing could be measured."""

    at: float
    ok: bool | None
    reason: str
    status: int | None = None
    latency_ms: float | None = None
    value: Any = None


def sample(criterion: Criterion, url: str, client: httpx.Client | None = None) -> Sample:
    """Ask the probe once. A service that answers wrongly is measured and bad; one that cannot be asked is not measured."""
    at, began = time.time(), time.monotonic()
    try:
        with (
            httpx.stream("GET", url, timeout=criterion.timeout_s, follow_redirects=False)
            if client is None
            else client.stream("GET", url, timeout=criterion.timeout_s) as response
        ):
            body = b""
            for chunk in response.iter_bytes():
                body += chunk
                if len(body) > BODY_LIMIT:
                    return Sample(at, None, f"{url} answers more than 1 MiB", response.status_code)
                if time.monotonic() - began > criterion.timeout_s:  # httpx's own limit is one a read
                    return Sample(at, None, f"{url} did not end within {criterion.timeout_s:g} s", response.status_code)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return Sample(at, None, f"{url} cannot be asked: {type(error).__name__} {error}".strip())
    latency = (time.monotonic() - began) * 1000
    if response.status_code != criterion.status:
        return Sample(
            at, False, f"status {response.status_code}, not {criterion.status}", response.status_code, latency
        )
    if criterion.max_latency_ms is not None and latency > criterion.max_latency_ms:
        return Sample(
            at, False, f"{latency:.0f} ms, more than {criterion.max_latency_ms:g}", response.status_code, latency
        )
    if criterion.expect is None:
        return Sample(at, True, f"status {response.status_code}", response.status_code, latency)
    try:
        value = jmespath.search(criterion.expect, document := json.loads(body))
    except (ValueError, TypeError, RecursionError, jmespath.exceptions.JMESPathError) as error:
        return Sample(at, None, f"the answer of {url} cannot be judged: {error}", response.status_code, latency)
    if not isinstance(value, bool):
        return Sample(
            at, None, f"{criterion.expect} gave {value!r}, neither true nor false", response.status_code, latency, value
        )
    facts = (
        ", ".join(f"{name} {item}" for name, item in document.items() if name in criterion.expect)
        if isinstance(document, dict)
        else ""
    )
    return Sample(
        at,
        value,
        f"{criterion.expect.replace('`', '')} is {str(value).lower()}" + (f" ({facts})" if facts else ""),
        response.status_code,
        latency,
        value,
    )
