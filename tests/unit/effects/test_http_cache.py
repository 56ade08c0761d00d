"""Addresses of cached objects: one object at one http address, told before any request."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sre_responder.effects.http_cache import PURGE
from sre_responder.errors import InputError


@pytest.mark.parametrize(
    "url",
    ["", "checkout", "ftp://127.0.0.1/", "file:///etc/passwd", "http://", "http:///path", "http://127.0.0.1:1/*", "http://*/",
     "http://[", "http://127.0.0.1:x/", "http://127.0.0.1:99999/", "http://127.0.0.1:1/\n", "http://127.0.0.1:1/\x00"],
)  # fmt: skip
def test_what_is_no_address_of_one_object_is_bad_input(url: str) -> None:
    with pytest.raises(InputError):
        PURGE.plan({"url": url})


@given(st.text(st.characters(exclude_characters="/?#@")))
def test_whatever_stands_for_the_host_a_wildcard_is_bad_input(text: str) -> None:
    with pytest.raises(InputError):
        PURGE.plan({"url": f"http://127.0.0.1:1{text}*/"})
