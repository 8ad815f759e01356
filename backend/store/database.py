"""Opening the state: one engine a process, short transactions, and one schema revision."""

import logging
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import event
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session
from sqlalchemy.pool import ConnectionPoolEntry

from backend.errors import SchemaRevisionError
from backend.store.tables import Base

logger = logging.getLogger(__name__)

BUSY_TIMEOUT_SECONDS = 10
ROWS_A_STATEMENT = 400  # keeps bound parameters under SQLite's limit of 32,766


class Database:
    """The state database of one installation.

    `read()` and `write()` open short transactions. A write takes SQLite's write lock at its start
    (`BEGIN IMMEDIATE`), so that what it read is still true when it writes.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        if url.startswith("sqlite:///"):
            Path(url.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
        self._engine = sa.create_engine(url, pool_pre_ping=not url.startswith("sqlite"))
        if self._engine.dialect.name == "sqlite":
            event.listen(self._engine, "connect", _prepare_sqlite)
            event.listen(self._engine, "begin", _begin_sqlite)
        self._writer = self._engine.execution_options(asknext_write=True)

    @property
    def dialect(self) -> str:
        return self._engine.dialect.name

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A session for reading; anything written in it is rolled back."""
        with Session(self._engine, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A session that commits at its end, or rolls back on any error."""
        with Session(self._writer, expire_on_commit=False) as session, session.begin():
            yield session

    def upsert(self, session: Session, table: type[Base], rows: Sequence[dict[str, Any]]) -> None:
        """Insert `rows`, replacing the given columns of those whose primary key exists."""
        if not rows:
            return
        insert = (sqlite if self.dialect == "sqlite" else postgresql).insert
        keys = [column.name for column in sa.inspect(table).primary_key]
        replaced = [name for name in rows[0] if name not in keys]
        for start in range(0, len(rows), ROWS_A_STATEMENT):
            statement: Any = insert(table).values(list(rows[start : start + ROWS_A_STATEMENT]))
            if replaced:
                statement = statement.on_conflict_do_update(
                    index_elements=keys,
                    set_={name: statement.excluded[name] for name in replaced},
                )
            else:
                statement = statement.on_conflict_do_nothing(index_elements=keys)
            session.execute(statement)

    def check_revision(self) -> None:
        """Refuse to work on a schema that is not this version's own.

        Raises:
            SchemaRevisionError: the schema is absent, older or newer.
        """
        with self._engine.connect() as connection:
            found = MigrationContext.configure(connection).get_current_revision()
        expected = ScriptDirectory.from_config(_alembic_config()).get_current_head()
        if found != expected:
            raise SchemaRevisionError(
                f"The state database has schema revision {found or 'none'}, this version of "
                f"AskNext needs {expected}. Stop all its processes and run `asknext migrate`."
            )

    def migrate(self) -> None:
        """Bring the schema to this version's revision, after a backup; one process at a time."""
        expected = ScriptDirectory.from_config(_alembic_config()).get_current_head()
        with self._migration_lock(), self._engine.connect() as connection:
            found = MigrationContext.configure(connection).get_current_revision()
            connection.rollback()
            if found == expected:
                return
            if found is not None:
                self._back_up(found)
            config = _alembic_config()
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            connection.commit()

    def dispose(self) -> None:
        """Close every connection."""
        self._engine.dispose()

    @contextmanager
    def _migration_lock(self) -> Iterator[None]:
        if self.dialect != "sqlite":
            with self._engine.connect() as connection:
                connection.execute(sa.text("SELECT pg_advisory_lock(4125011)"))
                try:
                    yield
                finally:
                    connection.execute(sa.text("SELECT pg_advisory_unlock(4125011)"))
            return
        import fcntl

        path = Path(self.url.removeprefix("sqlite:///")).with_suffix(".migration-lock")
        with path.open("w") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            yield

    def _back_up(self, revision: str) -> None:
        if self.dialect != "sqlite":
            logger.warning("Back up the PostgreSQL database before you migrate it.")
            return
        source = Path(self.url.removeprefix("sqlite:///"))
        target = source.with_name(f"{source.stem}-{revision}-{int(time.time())}.backup.sqlite3")
        with sqlite3.connect(source) as old, sqlite3.connect(target) as new:
            old.backup(new)


def _alembic_config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config


def _prepare_sqlite(connection: sqlite3.Connection, _record: ConnectionPoolEntry) -> None:
    connection.isolation_level = None  # SQLAlchemy's "begin" event below starts transactions
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_SECONDS * 1000}")
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = NORMAL")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def _begin_sqlite(connection: sa.Connection) -> None:
    write = connection.get_execution_options().get("asknext_write")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")
