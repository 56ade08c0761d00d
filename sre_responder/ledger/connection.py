"""Opening the ledger: one transaction at a time decides, durably, on SQLite or PostgreSQL."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from sqlalchemy import Connection, create_engine, event, select, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from sre_responder.errors import InputError, LedgerUnavailable
from sre_responder.ledger import schema
from sre_responder.ledger.clock import Reading
from sre_responder.system.process import since_boot

_MIGRATIONS = Path(__file__).parent / "migrations"
REVISION = max(path.name[:4] for path in (_MIGRATIONS / "versions").glob("[0-9]*.py"))
"""The newest migration's number: what this library reads and writes."""
BUSY_SECONDS = 10
TICK_SECONDS = 1e-6
"""By so much the ledger's time moves on from entry to entry, also while a clock set back stands behind it."""
_NEW = "Restore it from a copy; or, where it was never used, name a new one and type `responder ledger upgrade`."
_CURES = {
    "SQLITE_ERROR": _NEW,  # it has no tables
    "SQLITE_NOTADB": _NEW,
    "SQLITE_CORRUPT": _NEW,
    "42P01": _NEW,  # PostgreSQL: undefined table
    "SQLITE_BUSY": "Another process holds it. Try again.",
    "SQLITE_FULL": "Make room on that disk.",
}
"""What helps, by the beginning of the database's own code."""
_REACHED = "Check that it can be reached, and that this user may read and write it and its folder."
_DECIDING = 0x53524552  # the advisory lock under which PostgreSQL decides: one decision at a time


class Ledger:
    """The one place where state lives.

    `clock` gives seconds since the epoch, `boot` the name of the boot and the seconds since; `busy_seconds` limits every wait for it.
    """

    def __init__(
        self,
        url: str,
        clock: Callable[[], float] = time.time,
        busy_seconds: float | None = None,
        boot: Callable[[], tuple[str, float]] = since_boot,
    ) -> None:
        milliseconds = round((BUSY_SECONDS if busy_seconds is None else busy_seconds) * 1000)
        try:
            parsed = make_url(url)
            if parsed.get_backend_name() not in ("sqlite", "postgresql"):
                raise InputError(
                    f"RESPONDER_LEDGER names '{parsed.get_backend_name()}'.",
                    cure="Use sqlite:/// or postgresql+psycopg://.",
                )
            if parsed.get_backend_name() == "postgresql":
                parsed = parsed.set(drivername="postgresql+psycopg")
            if parsed.get_backend_name() == "sqlite" and (wrong := _no_file(parsed)):
                raise InputError(f"RESPONDER_LEDGER {wrong}.", cure="Write sqlite:////path/ledger.db and no more.")
            self.engine = create_engine(parsed, poolclass=NullPool)
        except ModuleNotFoundError as error:
            raise InputError(
                f"a ledger on PostgreSQL needs the package {error.name}.",
                cure="pip install 'sre-responder[postgresql]'",
            ) from error
        except (ArgumentError, NoSuchModuleError) as error:
            raise InputError(
                f"RESPONDER_LEDGER is not a usable database URL: {error}.",
                cure="Write sqlite:////path/ledger.db or postgresql+psycopg://user@host/database.",
            ) from error
        self.url = url
        self.name = parsed.render_as_string(hide_password=True)
        self.clock, self.boot = clock, boot
        self.sqlite = parsed.get_backend_name() == "sqlite"
        self.path = Path(parsed.database or "") if self.sqlite else None
        if self.sqlite:
            event.listen(self.engine, "connect", partial(_prepare_sqlite, milliseconds))
            event.listen(self.engine, "begin", _begin_immediate)
        else:
            event.listen(self.engine, "do_connect", partial(_limit_postgresql, milliseconds))
            event.listen(self.engine, "connect", _prepare_postgresql)

    @contextmanager
    def transaction(self, *, reading: bool = False) -> Iterator[Connection]:
        """A transaction that excludes every other one; commit is durable. LedgerUnavailable where it cannot be had.

        With `reading` it sees one whole picture, excludes nobody and writes nothing.
        """
        if self.path is not None and self.path.exists() and not self.path.is_file():
            raise LedgerUnavailable(f"the ledger {self.path} is not a file.", cure="Name a file in RESPONDER_LEDGER.")
        if self.path is not None and not self.path.is_file():
            raise LedgerUnavailable(
                f"the ledger {self.path} does not exist.",
                cure="A lost ledger forgets attempts and stops: restore it, or make a new one with `responder ledger upgrade`.",
            )
        try:
            engine = self.engine.execution_options(reading=reading, clock=self._read)
            with engine.begin() as connection:
                if not self.sqlite and reading:
                    connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"))
                elif not self.sqlite:
                    connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _DECIDING})
                self._check_revision(connection)
                yield connection
        except (DBAPIError, SQLAlchemyError) as error:
            raise self._unusable(error) from error

    def _unusable(self, error: Exception) -> LedgerUnavailable:
        original = getattr(error, "orig", error)
        code = str(getattr(original, "sqlite_errorname", None) or getattr(original, "sqlstate", None))
        cure = next((cure for start, cure in _CURES.items() if code.startswith(start)), _REACHED)
        return LedgerUnavailable(f"the ledger {self.name} cannot be used: {str(original).splitlines()[0]}.", cure=cure)

    @contextmanager
    def kept_open(self) -> Iterator[None]:
        """One idle connection to SQLite in the block. Whoever closes the last one folds the log into the database under a lock
        that nobody passes; a process that polls would do so again and again, and keep the lock if it were stopped just then.
        """
        if not self.sqlite:
            yield
            return
        try:
            connection = self.engine.raw_connection()
        except SQLAlchemyError as error:
            raise self._unusable(error) from error
        try:
            yield
        finally:
            connection.close()

    def now(self, connection: Connection) -> float:
        """The time of the ledger: always later than its last entry, so that a clock set back revives nothing."""
        return max(self._wall(connection), self._last(connection) + TICK_SECONDS)

    def hurried(self, busy_seconds: float) -> Ledger:
        """The same ledger with another limit on every wait."""
        return Ledger(self.url, self.clock, busy_seconds, self.boot)

    def _read(self, connection: Connection) -> Reading:
        return Reading(self._wall(connection), *self.boot())

    def _wall(self, connection: Connection) -> float:
        if self.sqlite:
            return self.clock()
        return float(connection.execute(text("SELECT extract(epoch FROM clock_timestamp())")).scalar_one())

    def _last(self, connection: Connection) -> float:
        return connection.execute(select(schema.chain.c.at)).scalar() or 0.0

    def _check_revision(self, connection: Connection) -> None:
        found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
        if found != REVISION:
            raise LedgerUnavailable(
                f"the ledger is at revision {found}, this library needs {REVISION}.",
                cure="Run `responder ledger upgrade`, or use one version everywhere.",
            )

    def upgrade(self, to: str = "head") -> None:
        """Make the ledger, or bring it to this library's revision. Safe to repeat."""
        from alembic import command
        from alembic.config import Config

        if self.path is not None:
            if self.path.exists() and not self.path.is_file():
                raise InputError(f"the ledger {self.path} is not a file.", cure="Name a file in RESPONDER_LEDGER.")
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        config = Config()
        config.set_main_option("script_location", str(_MIGRATIONS))
        config.attributes["engine"] = self.engine
        try:
            command.upgrade(config, to)
        except SQLAlchemyError as error:
            cause = str(getattr(error, "orig", error)).splitlines()[0]
            raise LedgerUnavailable(f"the ledger {self.name} cannot be made: {cause}.") from error


def _no_file(url: URL) -> str:
    """What is wrong with an address of SQLite that does not name a file alone; empty where it does."""
    if not url.database or url.database == ":memory:":
        return "names no file, so the ledger would be lost with each process"
    if url.query:
        return f"has the options {', '.join(sorted(url.query))}, and Responder sets its own"
    return ""


def _prepare_sqlite(milliseconds, connection, _record) -> None:  # type: ignore[no-untyped-def]
    connection.isolation_level = None  # SQLAlchemy's own BEGIN is replaced below
    for pragma in ("journal_mode=WAL", "synchronous=FULL", f"busy_timeout={milliseconds}"):
        connection.execute(f"PRAGMA {pragma}")


def _limit_postgresql(milliseconds, _dialect, _record, _arguments, parameters) -> None:  # type: ignore[no-untyped-def]
    """No wait without an end: for the server, for a lock, for a statement, for our own silence in a transaction."""
    parameters.setdefault("connect_timeout", max(1, milliseconds // 1000))
    parameters.setdefault("application_name", "sre-responder")
    limits = {
        "statement_timeout": milliseconds,
        "lock_timeout": milliseconds,
        "idle_in_transaction_session_timeout": 60_000,
    }
    ours = " ".join(f"-c {name}={value}" for name, value in limits.items())
    parameters["options"] = f"{ours} {parameters.get('options', '')}".strip()


def _prepare_postgresql(connection, _record) -> None:  # type: ignore[no-untyped-def]
    """A commit that is answered is on disk, whatever the server's default; a stricter setting stays."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"
        )
    connection.commit()


def _begin_immediate(connection: Connection) -> None:
    reading = connection.get_execution_options().get("reading")
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")
