"""New ledgers, without migrating each: one is migrated, and copied."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg
from sqlalchemy import URL, make_url

from sre_responder.ledger import Ledger


def make(ledger: Ledger) -> Ledger:
    """Make it, where there is none yet, as its `upgrade` would; for `upgrade` itself, and for a role of few rights, use that."""
    if ledger.path is None and make_url(ledger.url).database == "postgres":
        ledger.upgrade()  # the one database of a server from which none can be dropped
    elif ledger.path is not None:
        ledger.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        ledger.path.write_bytes(_file())
    else:
        _copy(make_url(ledger.url))
    return ledger


@cache
def _file() -> bytes:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "ledger.db"
        Ledger(f"sqlite:///{path}").upgrade()
        return path.read_bytes()


def _copy(url: URL) -> None:
    """Put a copy of the migrated database in the place of an empty one."""
    server = url.set(drivername="postgresql")
    template = _template(server.set(database="postgres"))
    statements = (f"DROP DATABASE {url.database}", f"CREATE DATABASE {url.database} TEMPLATE {template}")
    _sql(server.set(database="postgres"), *statements)


@cache
def _template(server: URL) -> str:
    """The name of a migrated database of this server, which nobody uses but to copy it."""
    _sql(server, "CREATE DATABASE migrated")
    Ledger(
        server.set(drivername="postgresql+psycopg", database="migrated").render_as_string(hide_password=False)
    ).upgrade()
    return "migrated"


def _sql(server: URL, *statements: str) -> None:
    with psycopg.connect(server.render_as_string(hide_password=False), autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())
