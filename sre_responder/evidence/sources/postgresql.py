"""A number by one query to PostgreSQL, in a read-only transaction with a limit of time."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from sre_responder.evidence.within import within
from sre_responder.model.look import NotMeasured, Number, Place
from sre_responder.model.names import shown
from sre_responder.system.secret import Secret

_LEAST_CONNECT_S = 2
"""PostgreSQL's client waits no shorter for a connection."""


class DatabaseLogin(BaseModel):
    """Where a database is, and who reads it: a role that may read what is asked, and nothing else."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    host: str
    port: int = Field(5432, gt=0, lt=65536)
    database: str
    username: str
    password: Secret | None = None
    ca_certificate: Path | None = Field(
        None, description="The authority that signs its certificate; without it TLS is not asked for."
    )


class Postgresql(Number):
    """The one number that a query returns."""

    login = DatabaseLogin
    source: Literal["postgresql"] = "postgresql"
    query: str = Field(
        min_length=1, description="One SELECT of one number; $service, $environment and $NAME are filled in."
    )
    connection: str | None = Field(
        None, description="Name in connections.yml; default: responder/postgresql-connection."
    )

    def missing(self, place: Place) -> str | None:
        known = place.login(self.source, self.connection)
        return None if known else "no database: responder/postgresql-connection is not set"

    @classmethod
    def reached(cls, login: DatabaseLogin) -> str:
        _number(login, "SELECT 1", 5)
        return "it answers queries"

    def read(self, place: Place) -> float:
        login: DatabaseLogin | None = place.login(self.source, self.connection)
        if login is None:
            raise NotMeasured(str(self.missing(place)))
        return _number(login, place.filled(self.query), self.timeout_s)


SOURCE = Postgresql


def _number(login: DatabaseLogin, query: str, timeout_s: float) -> float:
    try:
        import psycopg  # here, for only who looks at a database needs it
    except ImportError as error:
        raise NotMeasured("psycopg is not installed: pip install 'sre-responder[postgresql]'") from error
    way, where = _way(login, timeout_s), f"{login.database} on {login.host}:{login.port}"

    def ask() -> list[tuple[Any, ...]]:
        with psycopg.connect(**way) as connection:
            connection.read_only = True
            # Binary takes one statement alone: a second one could end the transaction that only reads.
            return connection.execute(query.encode(), binary=True).fetchmany(2)

    try:
        # The server has the limit itself; this one is for a name server, and for a connection that is lost.
        rows = within(timeout_s + _LEAST_CONNECT_S, f"asking {where}", ask)
    except psycopg.Error as error:
        raise NotMeasured(f"{where} gives no number: {shown(' '.join(str(error).split()), 300)}") from error
    if len(rows) != 1 or len(rows[0]) != 1:
        many = "no row" if not rows else "several rows" if len(rows) > 1 else f"{len(rows[0])} columns"
        raise NotMeasured(f"the query returns {many} where one number was meant")
    value = rows[0][0]
    if value is None:
        raise NotMeasured("no data: the query returns NULL")
    if isinstance(value, bool):
        raise NotMeasured("the query returns true or false where a number was meant: cast it to int")
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise NotMeasured(f"the query returns {shown(repr(value), 60)}, which is no number") from error


def _way(login: DatabaseLogin, timeout_s: float) -> dict[str, Any]:
    milliseconds = math.ceil(timeout_s * 1000)
    try:
        password = login.password.reveal() if login.password else None
    except (OSError, ValueError) as error:
        raise NotMeasured(f"a secret cannot be read: {error}") from error
    tls = (
        {"sslmode": "verify-full", "sslrootcert": str(login.ca_certificate.expanduser())}
        if login.ca_certificate
        else {}
    )
    return {
        "host": login.host, "port": login.port, "dbname": login.database, "user": login.username, "password": password,
        "connect_timeout": max(_LEAST_CONNECT_S, math.ceil(timeout_s)), "tcp_user_timeout": milliseconds, **tls,
        "options": f"-c statement_timeout={milliseconds} -c lock_timeout={milliseconds} -c default_transaction_read_only=on",
        "application_name": "responder evidence",
    }  # fmt: skip
