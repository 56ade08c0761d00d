"""Addresses as teams write them: what cannot be asked, what must not be shown, and what no proxy can reach."""

from __future__ import annotations

import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sre_responder.model import address
from sre_responder.model.address import one


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("http://shop/health", None),
        ("https://shop.example:8443/health?deep=1", None),
        ("http://[::1]:8080/", None),
        ("shop:8080/health", "does not start with http"),
        ("shop/health", "does not start with http"),
        ("//shop/health", "does not start with http"),
        ("ftp://shop/", "does not start with http"),
        ("http:/shop", "does not start with http"),
        ("http://", "names no host"),
        ("http://:80/", "names no host"),
        ("http://shop:port/", "is not a valid address"),
        ("http://shop:0/", "is not a valid address"),
        ("http://[", "is not a valid address"),
        ("http://shop/a b", "is not a valid address"),
        ("http://shop/\n", "is not a valid address"),
        ("http://{{ inventory_hostname }}/", "contains Jinja"),
        ("{% if x %}http://shop/{% endif %}", "contains Jinja"),
        ("http://ann:secret@shop/", "contains a user name or password"),
    ],
)
def test_what_cannot_be_asked_is_said_without_the_address(url: str, problem: str | None) -> None:
    found = address.problem(url)
    assert (found is None) == (problem is None)
    assert (problem or "") in (found or "")
    assert "secret" not in (found or "")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://shop/health", "http://shop/health"),
        ("http://ann:secret@shop/health", "http://shop/health"),
        ("http://secret@shop", "http://shop"),
        ("http://ann:s/ecret@shop/health", "http://shop/health"),
        ("http://shop/health?token=secret", "http://shop/health?..."),
        ("ann:secret@shop:80/health", "shop:80/health"),
        ("http://ann:sec@ret@[", "http://["),
    ],
)
def test_a_shown_address_holds_neither_login_nor_query(url: str, shown: str) -> None:
    assert address.shown(url) == shown


@given(st.text(alphabet="ab:@/?#[].", max_size=12), st.sampled_from(["http://", "https://", ""]))
def test_no_login_is_ever_shown(rest: str, scheme: str) -> None:
    assert "s3cret" not in address.shown(f"{scheme}ann:s3cret@{rest}")


@pytest.mark.parametrize(
    ("url", "here"),
    [
        ("http://localhost:8080/", True),
        ("http://shop.localhost/", True),
        ("http://127.0.0.1/", True),
        ("http://127.8.9.1/", True),
        ("http://127.1/", True),
        ("http://0.0.0.0/", True),
        ("http://[::1]/", True),
        ("http://[::ffff:127.0.0.1]/", True),
        ("http://127.0.0.1.example.org/", False),
        ("http://localhost.example.org/", False),
        ("http://10.0.0.1/", False),
        ("http://shop/", False),
    ],
)
def test_this_machine_is_never_asked_through_a_proxy(url: str, here: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "proxy.example:3128")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    assert address.loopback(url) is here
    assert address.proxy_for(url) == (None if here else "http://proxy.example:3128")


def test_what_the_environment_exempts_is_asked_directly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://proxy.example:3128")
    monkeypatch.setenv("no_proxy", ".corp.example,10.1.2.3")
    assert address.proxy_for("https://shop.corp.example/") is None
    assert address.proxy_for("https://10.1.2.3/") is None
    assert address.proxy_for("https://shop.example/") == "http://proxy.example:3128"


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ("http://localhost:9001", "http://127.0.0.1:9001", True),
        ("http://127.1:9001", "http://[::1]:9001", True),
        ("http://0.0.0.0:9001", "http://localhost:9001", True),
        ("HTTP://Shop.invalid:9001", "http://shop.invalid.:9001/", True),
        ("http://shop.invalid", "http://shop.invalid:80/", True),
        ("https://shop.invalid/%61", "https://shop.invalid:443/a/", True),
        (f"http://{socket.gethostname()}:9001", "http://localhost:9001", True),
        ("http://localhost:9001", "http://localhost:9002", False),
        ("http://localhost:9001/a", "http://localhost:9001/b", False),
        ("http://localhost/?a", "http://localhost/?b", False),
        ("http://shop.invalid:9001", "http://pay.invalid:9001", False),
        ("http://10.9.8.7:9001", "http://127.0.0.1:9001", False),
        ("http://[::ffff:192.0.2.7]/x", "http://192.0.2.7/x", True),
        ("http://[", "http://localhost", False),
        ("http://", "http:///", False),
    ],
)
def test_two_addresses_are_one_where_they_lead_to_one_place(a: str, b: str, expected: bool) -> None:
    assert (one(a, b), one(b, a)) == (expected, expected)
    assert one(a, a) or not expected
