"""How an HTTP request leaves this machine: the proxy and the certificate authorities that the environment names."""

from __future__ import annotations

import os
import ssl
from functools import cache
from importlib.util import find_spec
from typing import Any

from sre_responder.model.address import proxy_for, shown


def way(url: str) -> dict[str, Any]:
    """Arguments of `httpx.Client` for one address; this machine is never asked through a proxy.

    OSError if the proxy or the authorities that the environment names cannot be used.
    """
    import httpx  # here, for it is slow to import

    proxy = proxy_for(url)
    if proxy:
        try:
            httpx.Proxy(proxy)
        except (ValueError, httpx.InvalidURL) as error:
            raise OSError("its address is not valid, or of no kind that is known") from error
        if proxy.startswith("socks") and find_spec("socksio") is None:
            raise OSError("SOCKS needs the package socksio (pip install 'httpx[socks]')")
    tls = url.startswith("https:") or (proxy or "").startswith("https:")
    return {"proxy": proxy, "verify": authorities() if tls else False, "trust_env": False}


def through(url: str) -> str:
    """Which proxy stands between, for an error; empty if none does."""
    proxy = proxy_for(url)
    return f" through the proxy {shown(proxy)} that the environment names" if proxy else ""


@cache
def authorities() -> ssl.SSLContext:
    """Those of SSL_CERT_FILE or SSL_CERT_DIR, else of REQUESTS_CA_BUNDLE, else httpx's own. OSError if one cannot be read.

    Read once: that takes longer than many an answer.
    """
    import httpx

    bundle = os.environ.get("REQUESTS_CA_BUNDLE")
    if not bundle or os.environ.get("SSL_CERT_FILE") or os.environ.get("SSL_CERT_DIR"):
        return httpx.create_ssl_context()
    folder = os.path.isdir(bundle)
    return ssl.create_default_context(cafile=None if folder else bundle, capath=bundle if folder else None)
