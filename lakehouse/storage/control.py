"""The control database: what must be transactional or destroyable, as SQLAlchemy Core tables.

SQLite by default, PostgreSQL by URL; only portable expressions. Instants are integers, microseconds since 1970 (UTC).
SQLite runs with a rollback journal (nothing deleted lingers in a `-wal` file), full synchronisation, foreign keys and a
busy timeout; a writing transaction takes its lock at BEGIN, so that two writers wait instead of failing.
"""

# ruff: noqa: PLR0402 - `from lakehouse.storage import x` would go through the package's re-exports, an import cycle.

from __future__ import annotations

import datetime as dt
import os
import threading
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy import event

import lakehouse.storage.faults as faults
import lakehouse.storage.trouble as trouble
from lakehouse.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

BUSY_SECONDS = 30
EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_READ = "lakehouse_read"
_engines: dict[tuple[int, str], sa.Engine] = {}
_alone = threading.Lock()
#: Temporary tables hold no keys, but memory is also the only place that needs no sweeping. The cache, in KiB, is small,
#: because rows are looked up and inserted in the order of their keys, so that each page is needed once. Reading through a mapping
#: (of SQLite's most, 2 GiB) halves the time to find 100,000 among 10 million; what is written is written as ever.
_PRAGMAS = (
    "journal_mode = DELETE",
    "synchronous = FULL",
    "foreign_keys = ON",
    "secure_delete = ON",
    "temp_store = MEMORY",
    "cache_size = -32768",
    "mmap_size = 2147418112",
)

metadata = sa.MetaData()
_number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

lake_table = sa.Table(
    "lake",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("environment", sa.Text, nullable=False),
    sa.Column("format_version", sa.Integer, nullable=False),
    sa.Column("generation", sa.Integer, nullable=False),
    sa.Column("ready", sa.Boolean, nullable=False),
    sa.Column("raw", sa.Text),
    sa.Column("raw_lock_days", sa.Integer),
)
lease_table = sa.Table(
    "lease",
    metadata,
    sa.Column("table_id", sa.Text, primary_key=True),
    sa.Column("token", sa.BigInteger, nullable=False),
    sa.Column("holder", sa.Text),
    sa.Column("expires", sa.BigInteger, nullable=False),
    sa.Column("dirty", sa.Boolean, nullable=False),
)
intent_table = sa.Table(
    "intent",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("table_id", sa.Text, nullable=False),
    sa.Column("token", sa.BigInteger, nullable=False),
    sa.Column("version", sa.BigInteger, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("body", sa.JSON, nullable=False),
    sa.Column("recorded", sa.BigInteger, nullable=False),
    sa.CheckConstraint("state in ('open', 'done', 'dropped')", name="intent_state"),
    sa.Index("intent_by_table", "table_id", "state", "version"),
)
batch_table = sa.Table(
    "batch",
    metadata,
    sa.Column("number", _number, primary_key=True, autoincrement=True),
    sa.Column("table_id", sa.Text, nullable=False),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("name_hash", sa.Text, nullable=False),
    sa.Column("sha256", sa.Text, nullable=False),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("landed_at", sa.BigInteger, nullable=False),
    sa.Column("delivered_at", sa.BigInteger),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("rows", sa.BigInteger),
    sa.Column("reason", sa.Text),
    sa.Column("terms", sa.Text),
    sa.Column("as_of", sa.BigInteger),
    sa.Column("drift", sa.Text),
    sa.UniqueConstraint("table_id", "source", "name_hash", "sha256"),
    sa.CheckConstraint("state in ('reserved', 'raw', 'staged', 'held', 'rejected', 'lost')", name="batch_state"),
    sqlite_autoincrement=True,
)
outbox_table = sa.Table(
    "outbox",
    metadata,
    sa.Column("event_id", sa.Text, primary_key=True),
    sa.Column("table_id", sa.Text, nullable=False),
    sa.Column("batch", sa.BigInteger, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("count", sa.BigInteger, nullable=False),
    sa.Column("cause", sa.Text, nullable=False),
    sa.Column("at", sa.BigInteger, nullable=False),
)
verdict_table = sa.Table(
    "verdict",
    metadata,
    sa.Column("table_id", sa.Text, primary_key=True),
    sa.Column("version", sa.BigInteger, primary_key=True),
    sa.Column("failed", sa.JSON, nullable=False),
    sa.Column("at", sa.BigInteger, nullable=False),
)
request_table = sa.Table(
    "request",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("payload", sa.JSON, nullable=False),
    sa.Column("at", sa.BigInteger, nullable=False),
)
#: Under which contract a table's rows stand, and what raw's columns are; see `storage.applied`.
applied_table = sa.Table(
    "applied_contract",
    metadata,
    sa.Column("table_id", sa.Text, primary_key=True),
    sa.Column("home", sa.Text, nullable=False, unique=True),
    sa.Column("odcs_id", sa.Text, nullable=False),
    sa.Column("contract", sa.JSON, nullable=False),
    sa.Column("fingerprint", sa.Text, nullable=False),
    sa.Column("raw", sa.JSON, nullable=False),
    sa.Column("at", sa.BigInteger, nullable=False),
)
#: One key of the KEK provider each; everything else is wrapped by an epoch's key. `wrapped` is null once destroyed.
epoch_table = sa.Table(
    "epoch",
    metadata,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("provider_version", sa.Integer, nullable=False),
    sa.Column("wrapped", sa.LargeBinary),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("opened_at", sa.BigInteger, nullable=False),
    sa.Column("destroy_after", sa.BigInteger),
    sa.CheckConstraint("state in ('current', 'old', 'destroyed')", name="epoch_state"),
)
#: Keys of HMACs, by name (`entity`, `file name`, `token/<pseudonym domain>`) and version.
secret_table = sa.Table(
    "secret",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("epoch", sa.Integer, nullable=False),
    sa.Column("wrapped", sa.LargeBinary, nullable=False),
)
#: Keyed hash of `<type>:<canonical id>` -> random surrogate. Merged ids share a surrogate, so it is not unique.
entity_table = sa.Table(
    "entity",
    metadata,
    sa.Column("keyed_hash", sa.LargeBinary(32), primary_key=True),
    sa.Column("type", sa.Text, nullable=False),
    sa.Column("surrogate", sa.LargeBinary(16), nullable=False),
    sqlite_with_rowid=False,
)
data_key_table = sa.Table(
    "data_key",
    metadata,
    sa.Column("surrogate", sa.LargeBinary(16), primary_key=True),
    sa.Column("scope", sa.Text, primary_key=True),
    sa.Column("epoch", sa.Integer, nullable=False),
    sa.Column("wrapped", sa.LargeBinary, nullable=False),
    sqlite_with_rowid=False,
)
#: By what the control database calls the raw table, and the month its rows landed in.
period_key_table = sa.Table(
    "period_key",
    metadata,
    sa.Column("table_id", sa.Text, primary_key=True),
    sa.Column("month", sa.Text, primary_key=True),
    sa.Column("epoch", sa.Integer, nullable=False),
    sa.Column("wrapped", sa.LargeBinary, nullable=False),
)
batch_key_table = sa.Table(
    "batch_key",
    metadata,
    sa.Column("batch", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("table_id", sa.Text, nullable=False),
    sa.Column("epoch", sa.Integer, nullable=False),
    sa.Column("wrapped", sa.LargeBinary, nullable=False),
    sa.Column("destroy_after", sa.BigInteger, nullable=False),
    sa.Index("batch_key_by_destruction", "destroy_after"),
)
#: The rows of `surrogate` are those of `other` now.
alias_table = sa.Table(
    "alias",
    metadata,
    sa.Column("surrogate", sa.LargeBinary(16), primary_key=True),
    sa.Column("other", sa.LargeBinary(16), primary_key=True),
    sa.Column("cause", sa.Text, nullable=False),
    sa.CheckConstraint("cause in ('merged', 'form')", name="alias_cause"),
)
tombstone_table = sa.Table(
    "tombstone",
    metadata,
    sa.Column("keyed_hash", sa.LargeBinary(32), primary_key=True),
    sa.Column("type", sa.Text, nullable=False),
    sa.Column("erased_at", sa.BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
#: Keyed hashes of surrogates none of whose keys is left; see `privacy.vault`.
erased_table = sa.Table(
    "erased",
    metadata,
    sa.Column("mark", sa.LargeBinary(32), primary_key=True),
    sqlite_with_rowid=False,
)
#: The newest entry of each chain, and the entries that are not in the lake yet; see `storage.chain`.
chain_head_table = sa.Table(
    "chain_head",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("number", sa.BigInteger, nullable=False),
    sa.Column("hash", sa.Text, nullable=False),
)
chain_outbox_table = sa.Table(
    "chain_outbox",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("body", sa.JSON, nullable=False),
)


def to_micros(instant: dt.datetime) -> int:
    """An aware instant as microseconds since 1970."""
    if instant.tzinfo is None:
        raise StorageError("an instant without time zone", hint="pass an aware datetime, for example in UTC")
    return (instant - EPOCH) // dt.timedelta(microseconds=1)


def from_micros(micros: int) -> dt.datetime:
    """The aware UTC instant of microseconds since 1970."""
    return EPOCH + dt.timedelta(microseconds=micros)


class ControlDatabase:
    """One lake's control database.

    Attributes:
        engine: the SQLAlchemy engine; `engine.begin()` is a writing transaction.
    """

    def __init__(self, url: str) -> None:
        self.engine = (
            _sqlite(url, busy=BUSY_SECONDS) if sa.make_url(url).get_backend_name() == "sqlite" else _other(url)
        )

    @contextmanager
    def write(self, name: str) -> Generator[sa.Connection]:
        """A writing transaction between the fault points of `name`.

        Raises:
            StorageError: the database cannot be used.
        """
        with faults.around(name), trouble.told(self.engine), self.engine.begin() as connection:
            yield connection

    @contextmanager
    def read(self) -> Generator[sa.Connection]:
        """A reading transaction; takes no write lock on SQLite.

        Raises:
            StorageError: the database cannot be used.
        """
        with trouble.told(self.engine), self.engine.connect() as connection:
            yield connection.execution_options(**{_READ: True})

    def micros(self, connection: sa.Connection) -> int:
        """Now by the database's clock, the one clock of leases."""
        if self.engine.dialect.name == "sqlite":
            # julianday is good to about 40 microseconds; unixepoch('subsec') needs SQLite 3.42.
            milliseconds = (sa.func.julianday("now") - 2440587.5) * 86_400_000.0
        else:
            milliseconds = sa.func.date_part("epoch", sa.func.clock_timestamp()) * 1000.0
        return int(connection.execute(sa.select(sa.cast(milliseconds, sa.BigInteger))).scalar_one()) * 1000

    def now(self) -> dt.datetime:
        """Now by the database's clock."""
        with self.read() as connection:
            return from_micros(self.micros(connection))

    def vacuum(self, tables: Iterable[str]) -> None:
        """Let PostgreSQL give up the old versions of rows, and with them deleted keys; SQLite overwrites them at once."""
        if self.engine.dialect.name != "postgresql":
            return
        # outside of a transaction, as VACUUM demands
        outside = {"isolation_level": "AUTOCOMMIT"}
        with trouble.told(self.engine), self.engine.connect().execution_options(**outside) as connection:
            for table in tables:
                connection.exec_driver_sql(f"VACUUM {table}")

    def dispose(self) -> None:
        """Close the connections that nobody uses now."""
        self.engine.dispose()


def _other(url: str) -> sa.Engine:
    # One engine per process and server: a lake is opened anew for each run and each tick of a sensor, and connections that
    # nobody gave back would pile up. A connection does not cross a fork, hence the process.
    # An error's text must not show what a statement was about: hashes, surrogates, wrapped keys.
    # pre-ping: a server that was restarted has ended what lies in the pool, and nobody has lost anything by it yet
    with _alone:
        key = (os.getpid(), url)
        if key not in _engines:
            _engines[key] = sa.create_engine(url, hide_parameters=True, pool_pre_ping=True)
        return _engines[key]


@lru_cache(maxsize=8)
def _sqlite(url: str, *, busy: float) -> sa.Engine:
    # NullPool: a connection is opened per transaction (0.1 ms), so none outlives its use, crosses a fork or a thread. What an
    # engine keeps are compiled statements; opening a lake takes two engines, and most of their time went into compiling.
    connect = {"timeout": busy}
    engine = sa.create_engine(url, poolclass=sa.NullPool, connect_args=connect, hide_parameters=True)

    def configure(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves
        cursor = connection.cursor()
        # one call for all of them: a connection is opened for each transaction
        cursor.executescript("".join(f"PRAGMA {pragma};" for pragma in _PRAGMAS))
        cursor.close()

    def begin(connection: sa.Connection) -> None:
        reading = connection.get_execution_options().get(_READ, False)
        connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")

    event.listen(engine, "connect", configure)
    event.listen(engine, "begin", begin)
    return engine
