"""A number from a real PostgreSQL: one statement, read-only, within its time."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from support.postgresql import Server

from sre_responder.evidence.looks import taken
from sre_responder.evidence.sources.postgresql import DatabaseLogin, Postgresql
from sre_responder.model.look import Place, Sample

pytestmark = pytest.mark.contract


@pytest.fixture
def orders(postgresql: Server, database: str) -> Iterator[Place]:
    name = database.rpartition("/")[2]
    postgresql.sql("CREATE TABLE orders (state text); INSERT INTO orders VALUES ('stuck'), ('done'), ('done')", name)
    login = DatabaseLogin(host="127.0.0.1", port=postgresql.port, database=name, username="postgres")
    yield Place("checkout", "production", {"responder/label-state": "stuck"}, lambda *_: login)


def sample(place: Place, query: str, **fields: float) -> Sample:
    return taken(
        "must", Postgresql.model_validate({"query": query, "below": 2, "timeout_s": 5, **fields}), place
    ).sample


@pytest.mark.parametrize(
    ("query", "ok", "words"),
    [
        ("SELECT count(*) FROM orders WHERE state = '$state'", True, "postgresql 1 is below 2"),
        ("SELECT count(*) FROM orders", False, "postgresql 3 is not below 2"),
        ("SELECT 0.5::numeric", True, "0.5"),
        ("SELECT NULL::int", None, "no data: the query returns NULL"),
        ("SELECT 1 WHERE false", None, "no row where one number was meant"),
        ("SELECT 1 FROM orders", None, "several rows where one number was meant"),
        ("SELECT 1, 2", None, "2 columns where one number was meant"),
        ("SELECT true", None, "true or false where a number was meant"),
        ("SELECT 'text'", None, "'text', which is no number"),
        ("SELECT 'NaN'::float8", None, "is nan, which is no number"),
        ("SELECT count(*) FROM nowhere", None, 'relation "nowhere" does not exist'),
        ("DELETE FROM orders RETURNING 1", None, "cannot execute DELETE in a read-only transaction"),
        ("SELECT 1; DELETE FROM orders", None, "cannot insert multiple commands"),
        ("COMMIT; DELETE FROM orders", None, "cannot insert multiple commands"),
        ("SET TRANSACTION READ WRITE", None, "gives no number"),
    ],
)
def test_a_query_gives_one_number_or_says_why_not(orders: Place, query: str, ok: bool | None, words: str) -> None:
    found = sample(orders, query)
    assert (found.ok, words in found.reason) == (ok, True), found.reason
    assert sample(orders, "SELECT count(*) FROM orders", below=4).value == 3, "nothing was deleted"


def test_a_query_that_takes_too_long_is_not_measured(orders: Place) -> None:
    began = time.monotonic()
    found = sample(orders, "SELECT 1 FROM pg_sleep(30)", timeout_s=0.5)
    assert (found.ok, "statement timeout" in found.reason) == (None, True), found.reason
    assert time.monotonic() - began < 20


def test_a_database_that_is_not_there_is_not_measured() -> None:
    login = DatabaseLogin(host="127.0.0.1", port=1, database="orders", username="ann")
    found = sample(Place("checkout", "production", {}, lambda *_: login), "SELECT 1")
    assert (found.ok, "orders on 127.0.0.1:1 gives no number" in found.reason) == (None, True), found.reason
