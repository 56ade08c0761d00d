"""Proxies and certificate authorities of the environment: this machine is asked past any proxy, and an error names the one in the way."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import certifi
import pytest

from sre_responder.effects.http_cache import PURGE
from sre_responder.effects.kubernetes.api import Resource, connect
from sre_responder.errors import EffectFailed, InputError
from sre_responder.notify.http import post
from sre_responder.notify.message import Unreachable
from sre_responder.system import outbound

NOWHERE = "http://127.0.0.1:1"
THROUGH = f"through the proxy {NOWHERE} that the environment names"
PROXIES = [name for word in ("http", "https", "all", "no") for name in (f"{word}_proxy", f"{word.upper()}_PROXY")]


@pytest.fixture
def proxied(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    for name in (*PROXIES, "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    outbound.authorities.cache_clear()

    def through(proxy: str) -> None:
        monkeypatch.setenv("http_proxy", proxy)
        monkeypatch.setenv("HTTPS_PROXY", proxy)

    return through


@pytest.fixture
def here() -> Iterator[str]:
    """A server on this machine that answers everything with 200."""
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            with connection:
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    threading.Thread(target=serve, daemon=True).start()
    yield f"http://127.0.0.1:{listening.getsockname()[1]}/x"
    listening.shutdown(socket.SHUT_RDWR)
    listening.close()


def test_a_cache_and_a_receiver_on_this_machine_are_asked_past_any_proxy(
    here: str, proxied: Callable[[str], None]
) -> None:
    proxied(NOWHERE)
    change = PURGE.plan({"url": here})
    assert (change.evidence["status"], PURGE.act({"url": here}, change)["status"]) == (200, 200)
    assert post(here, {}, who="slack", timeout_s=5) == ""


def test_a_cache_that_cannot_be_asked_because_of_a_proxy_says_so(proxied: Callable[[str], None]) -> None:
    proxied("http://ann:s3cret@127.0.0.1:1")
    with pytest.raises(InputError, match=THROUGH) as error:
        PURGE.plan({"url": "http://cache.example/x"})
    assert "s3cret" not in str(error.value)


def test_a_receiver_that_cannot_be_reached_because_of_a_proxy_says_so(proxied: Callable[[str], None]) -> None:
    proxied("http://ann:s3cret@127.0.0.1:1")
    with pytest.raises(Unreachable, match=f"slack cannot be reached {THROUGH}") as error:
        post("https://hooks.example/secret", {}, who="slack", timeout_s=5)
    assert "s3cret" not in str(error.value) and "hooks.example" not in str(error.value)


@pytest.mark.parametrize("proxy", ["gopher://127.0.0.1:1", "http://127.0.0.1:port", "socks5://127.0.0.1:1"])
def test_a_proxy_that_cannot_be_used_is_named_and_the_message_waits(
    proxy: str, proxied: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbound, "find_spec", lambda name: None)
    proxied(proxy)
    with pytest.raises(Unreachable, match=f"through the proxy {proxy}"):
        post("http://hooks.example/x", {}, who="slack", timeout_s=5)
    with pytest.raises(InputError, match=f"through the proxy {proxy}"):
        PURGE.plan({"url": "http://cache.example/x"})


@pytest.mark.parametrize("name", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"])
def test_the_authorities_that_the_environment_names_are_trusted(
    name: str, proxied: Callable[[str], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Path(certifi.where()).read_text().partition("-----END CERTIFICATE-----\n")
    (tmp_path / "ca.pem").write_text(first[0] + first[1])
    monkeypatch.setenv(name, str(tmp_path / "ca.pem"))
    assert len(outbound.authorities().get_ca_certs()) == 1
    outbound.authorities.cache_clear()


def test_an_api_server_on_this_machine_is_asked_past_any_proxy_and_another_names_it(
    proxied: Callable[[str], None], tmp_path: Path
) -> None:
    proxied(NOWHERE)

    def config(server: str) -> str:
        file = tmp_path / server[8:].replace(":", "-")
        file.write_text(
            f"{{apiVersion: v1, kind: Config, current-context: a, clusters: [{{name: a, cluster: {{server: '{server}'}}}}], "
            "users: [{name: a, user: {token: t}}], contexts: [{name: a, context: {cluster: a, user: a}}]}"
        )
        return str(file)

    shop = Resource("Namespace", "", "shop")
    with pytest.raises(EffectFailed) as error:
        connect({"kubeconfig": config("https://127.0.0.1:2")}).get(shop)
    assert "proxy" not in error.value.message.lower()
    with pytest.raises(EffectFailed, match=f"does not answer through the proxy {NOWHERE}"):
        connect({"kubeconfig": config("https://api.example:6443")}).patch(shop, [])
