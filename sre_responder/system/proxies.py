"""The proxies that an environment names, for programs that would ask this machine through them."""

from __future__ import annotations

from collections.abc import Mapping

_THIS_MACHINE = ("localhost", "127.0.0.1", "::1")


def past_proxies(environ: Mapping[str, str]) -> dict[str, str]:
    """`no_proxy` as it is, and this machine; nothing if no proxy is named."""
    if not any(name.lower().endswith("_proxy") for name in environ):
        return {}
    named = environ.get("no_proxy") or environ.get("NO_PROXY") or ""
    past = ",".join(dict.fromkeys([*filter(None, map(str.strip, named.split(","))), *_THIS_MACHINE]))
    return {"no_proxy": past, "NO_PROXY": past}
