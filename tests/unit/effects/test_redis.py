"""`redis_clear` without Redis: which patterns and addresses it takes, and what it makes of an answer that is none of Redis."""

from __future__ import annotations

import socket
import sys

import pytest
from support.answering import answering
from support.dripping import dripping

from sre_responder.effects import EFFECTS
from sre_responder.effects.redis.pattern import overlap
from sre_responder.errors import InputError

CLEAR = EFFECTS["redis_clear"]
HOSTILE = [
    "", " ", "*", "**", "?*", "*?", "[a-z]*", "[^x]*", "*:*", ":", r"\*", r"\:*", "_*", "page:*\n", "page\x00*", "page\x1b[2J*", "\ud800a*", "page[", "page\\",
    "a*" * 9, "a" * 513,
]  # fmt: skip


@pytest.mark.parametrize("pattern", HOSTILE, ids=ascii)
def test_a_pattern_that_names_nothing_or_is_none_is_refused(pattern: str) -> None:
    with pytest.raises(InputError) as refused:
        CLEAR.plan({"url": "redis://127.0.0.1:1/0", "pattern": pattern})
    assert refused.value.cure and refused.value.message.isprintable()
    assert "127.0.0.1" not in refused.value.message, "a server was asked"


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("page:*", "page:*", True), ("page:*", "page:1", True), ("page:*", "*", True), ("page:*", "pag?:x", True), ("page:*", "session:*", False),
        ("staging:*", "production:*", False), (r"a\*b", r"a\*c", False), ("a[bc]", "ad", True), ("", "x", True), ("page:*", "page[", True),
    ],
)  # fmt: skip
def test_patterns_are_one_target_unless_their_beginnings_differ(one: str, other: str, expected: bool) -> None:
    assert overlap(one, other) is overlap(other, one) is expected


@pytest.mark.parametrize(
    "url",
    [
        "redis://ann:s3cret@127.0.0.1:6379/0", "redis://:s3cret@h", "redis://:a/s3cret@h/0", "redis://ann:1/s3cret@h/0",
        "redis://h/0?password=s3cret", "redis+sentinel://:s3cret@h:1,g:2/cache", "ann:s3cret@h:6379",
    ],
)  # fmt: skip
def test_an_address_with_a_login_is_refused_and_not_shown(url: str) -> None:
    with pytest.raises(InputError, match="contains a user name or password") as refused:
        CLEAR.plan({"url": url, "pattern": "page:*"})
    assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        "", "redis://", "redis://h/x", "redis://h/0/1", "redis://h:0/0", "redis://h:99999/0", "redis://h,g/0", "http://h/0", "redis://h/0?db=3",
        "redis+sentinel://h:1", "redis+sentinel://h:1/", "redis+sentinel://h:1/cache/x", "redis://h/0#x", "redis://h /0", "redis://h/-1",
        "redis://h/0\n", "redis://[::1/0",
    ],
    ids=ascii,
)  # fmt: skip
def test_what_is_no_address_of_a_database_is_bad_input(url: str) -> None:
    with pytest.raises(InputError, match="is not an address of a Redis database") as refused:
        CLEAR.plan({"url": url, "pattern": "page:*"})
    assert str(refused.value).isprintable()


def test_where_nobody_listens_is_bad_input() -> None:
    with socket.socket() as bound:  # and does not listen
        bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1]
    with pytest.raises(InputError, match=r"127\.0\.0\.1:[0-9]+ cannot be asked: .*Connection refused"):
        CLEAR.plan({"url": f"redis://127.0.0.1:{port}", "pattern": "page:*"})


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n<html>", b"", b"+OK\r\n" * 9, b"-ERR unknown command 'AUTH', with args 's3cret-w0rd'\r\n" * 9,
        b"$99999999999\r\n" + b"x" * 3_000_000, b":" + b"9" * 9000 + b"\r\n", b"*1\r\n" * 9000, b"$x\r\n", b"*-7\r\n" * 9, b"\x16\x03\x01",
        b"-LOADING " + b"\x1b[2J\xff" * 300 + b"\r\n",
    ],
    ids=lambda answer: ascii(answer[:20]),
)  # fmt: skip
def test_what_is_no_redis_is_told_and_no_secret_of_ours(answer: bytes) -> None:
    with answering(answer) as url, pytest.raises(InputError) as refused:
        CLEAR.plan(
            {"url": url.replace("http", "redis"), "pattern": "page:*", "password": "s3cret-w0rd", "timeout_s": 2}
        )
    assert "s3cret" not in str(refused.value) and str(refused.value).isprintable() and len(str(refused.value)) < 600


def test_a_server_that_drips_is_left_in_time() -> None:
    with dripping(0.02) as (url, gone), pytest.raises(InputError, match="cannot be asked"):
        CLEAR.plan({"url": url.replace("http", "redis"), "pattern": "page:*", "timeout_s": 0.5})
    assert gone.wait(10)


def test_the_package_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "redis", None)
    with pytest.raises(InputError, match="needs the package redis") as refused:
        CLEAR.plan({"url": "redis://127.0.0.1:1/0", "pattern": "page:*"})
    assert refused.value.cure == "pip install 'sre-responder[redis]'"
