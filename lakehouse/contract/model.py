"""Typed contracts: what the loader makes of ODCS files. Frozen values without behaviour that touches data.

Anything that needs pyarrow or polars is elsewhere (`contract.arrow`, `quality`), so that the command line can load
contracts quickly.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Literal

from lakehouse.model import TableId, Tier

if TYPE_CHECKING:
    from pathlib import Path


class Logical(StrEnum):
    """The types a column can have. Money is `decimal`, never `float`."""

    STRING = "string"
    INTEGER = "integer"
    DECIMAL = "decimal"
    FLOAT = "float"
    BOOLEAN = "boolean"
    DATE = "date"
    TIMESTAMP = "timestamp"


@dataclass(frozen=True)
class ColumnType:
    """A column's type; `format` is strptime's, `time_zone` names the zone of zoneless text (stored as UTC)."""

    logical: Logical
    precision: int | None = None
    scale: int | None = None
    format: str | None = None
    time_zone: str = "UTC"

    def __str__(self) -> str:
        if self.logical is Logical.DECIMAL:
            return f"decimal({self.precision},{self.scale})"
        return self.logical.value


Severity = Literal["error", "warning"]


class CheckKind(StrEnum):
    """Row checks judge a row by itself, batch checks a batch before its commit, table checks the table after it."""

    ROW = "row"
    BATCH = "batch"
    TABLE = "table"


class Rule(StrEnum):
    """What a check promises."""

    TYPE = "type"  # row: delivered text converts to the contract's type; batch: all of it does (drift of types freezes)
    REQUIRED = "required"  # row
    ENUM = "enum"  # row: values
    RANGE = "range"  # row: minimum, maximum (inclusive)
    PATTERN = "pattern"  # row: anchored RE2 regular expression
    LENGTH = "length"  # row: minimum, maximum in code points
    COMPARE = "compare"  # row: column OP other column or literal (cross-column)
    UNKNOWN = "unknown"  # row: nothing was delivered that the contract does not know
    ENTITY = "entity"  # row: it names whose it is, or says nothing personal where that is optional
    MISSING = "missing"  # row: every column of the contract was delivered
    NULL_SHARE = "null_share"  # batch: at most `tolerance` of a column is null
    ROW_COUNT = "row_count"  # batch: minimum, maximum rows
    UNIQUE = "unique"  # table: columns
    FOREIGN_KEY = "foreign_key"  # table: columns -> target_columns of target, orphans at most `tolerance`
    CONSERVED = "conserved"  # table: the ledger balances (every staged table has it)


@dataclass(frozen=True)
class Check:
    """One rule of a table: the Dagster check `name` promises it.

    `tolerance` is a share (0..1) of rows that may fail. Row checks of staged tables quarantine whatever it is: None lets
    the rest of the batch go on, a share makes the batch suspect beyond it (0: at the first row). Elsewhere None is 0. `columns` are the contract's names. Bounds and the literal of a comparison
    (`values[0]` when `other` is None) are text: `5`, `-0.25`, `2011-03-01`, `2011-03-01T00:00:00+00:00` (always UTC).
    """

    name: str
    kind: CheckKind
    rule: Rule
    columns: tuple[str, ...] = ()
    severity: Severity = "error"
    tolerance: float | None = None
    values: tuple[str, ...] = ()
    minimum: str | None = None
    maximum: str | None = None
    pattern: str | None = None
    operator: Literal["<", "<=", ">", ">=", "==", "!="] | None = None
    other: str | None = None  # COMPARE: a column of the same table
    target: TableId | None = None  # FOREIGN_KEY
    target_columns: tuple[str, ...] = ()
    description: str = ""
    where: str = ""  # file:line


@dataclass(frozen=True)
class Transform:
    """A small declared way from one delivered text to another column's value.

    `czech_birth_date` and `czech_sex` read a birth number (`yymmdd`, women's months are 50 higher); `year_start` is
    January 1st of a whole number of years after `base`.
    """

    source: str
    how: Literal["czech_birth_date", "czech_sex", "year_start"]
    base: int | None = None


@dataclass(frozen=True)
class Declassified:
    """Why a derived column is less sensitive than what it is made of; `policy.taint` checks that it is true.

    `aggregate`: over groups of at least `min_entities` entities; `generalise`: coarsened `to` (`year`, `month`,
    `prefix(n)`, `bucket(n)`, `presence`, `words`); `token`: nothing but tokens and surrogates.
    """

    how: str
    why: str
    min_entities: int = 0
    to: str | None = None


@dataclass(frozen=True)
class Column:
    """One column of a table, in file order. `source_name` is its name in the delivered file.

    What only says how delivered text is written: `formats` (all date formats in the order they are tried, the first is
    `type.format`), `pivot` (two-digit years from it on are 19xx, below it 20xx), `fold` and `gap` (which instant a local
    time is that clocks show twice or never; `error`: none), `decimal` and `thousands` (marks within a number).
    """

    id: str
    name: str
    type: ColumnType
    category: str
    classification: str | None = None  # a class of the policies, at least as high as the category's
    required: bool = False
    description: str = ""
    source_name: str = ""
    derived: Literal["occurrence", "transform"] | None = None
    derived_over: tuple[str, ...] = ()  # occurrence: number (from 1) within the file and these columns
    canonical: tuple[str, ...] = ()  # canonical forms before any HMAC
    pseudonym_domain: str | None = None
    token_of: str | None = None  # the column holds tokens only, of values of this category
    role: str | None = None  # whose cell it is, if not the row's entity's: a role of the table
    raw_clear: str | None = None  # reason why it may stay clear in raw
    null_words: tuple[str, ...] = ("",)
    formats: tuple[str, ...] = ()
    pivot: int | None = None
    fold: Literal["earlier", "later", "error"] = "error"
    gap: Literal["forward", "error"] = "error"
    decimal: str = "."
    thousands: str | None = None
    transform: Transform | None = None  # derived="transform": what it is made of
    declassified: Declassified | None = None
    made_of: tuple[str, ...] = ()  # features: columns of the inputs; () is what the table says
    where: str = ""

    @property
    def path(self) -> str:
        """Where the value stands in a delivered JSON object, keys with dots between."""
        return self.source_name or self.name

    @property
    def personal(self) -> bool:
        """Whether the column's category is `user` or below."""
        return self.category == "user" or self.category.startswith("user.")


FileFormat = Literal["csv", "ndjson", "parquet", "arrow"]
#: The encodings a source may have, by their Python names: those a bank's, an insurer's and a shop's systems write.
ENCODINGS = ("utf-8", "utf-16", "latin-1", "windows-1250", "windows-1252", "iso-8859-2", "iso-8859-15", "cp852")


@dataclass(frozen=True)
class Source:
    """One feed of a table: which files of its landing folder, and how to read them."""

    name: str
    pattern: str = "*"
    format: FileFormat = "csv"
    delimiter: str = ","
    quote: str = '"'  # empty: there is no quoting
    escape: str | None = None  # None: a quote within quotes is doubled
    header: bool = True
    encoding: str = "utf-8"  # one of ENCODINGS
    comment: str | None = None  # lines that start so are no records
    complete: Literal["settle", "marker"] = "settle"
    keep_days: int = 0
    delivered_at: str | None = None  # strptime pattern on the file name, e.g. "%Y-%m-%d.csv.gz" (`delivered_at: path`)


@dataclass(frozen=True)
class EntityKey:
    """The entity of a table's rows: its type and the column that names it, in a canonical form."""

    type: str
    key: str | None = None
    surrogate: str | None = None  # a column that shows `_entity`, for tables without a key column
    canonical: tuple[str, ...] = ("trim",)
    optional: bool = False


@dataclass(frozen=True)
class Role:
    """A further entity of a table's rows: the cells of the columns that name the role are its own."""

    name: str
    type: str
    key: str
    canonical: tuple[str, ...] = ("trim",)


@dataclass(frozen=True)
class Refresh:
    """How a curated or feature table is rebuilt."""

    mode: Literal["full", "by_month"] = "full"


Layout = Literal["entity", "time", "time+entity", "none"]
LoadMode = Literal["append", "upsert", "snapshot", "changes"]
Compatibility = Literal["none", "backward", "forward", "full"]
DriftMode = Literal["evolve", "freeze", "discard_row", "discard_value"]


@dataclass(frozen=True)
class Drift:
    """What a delivery does that differs from the contract: unknown columns, missing columns, values of other types."""

    unknown: DriftMode = "freeze"
    missing: DriftMode = "freeze"
    type: DriftMode = "discard_row"


@dataclass(frozen=True)
class Changes:
    """How deliveries of changes say what happened.

    `deletes` are the words of column `operation` that end a key, every other word writes it. In the form `debezium` a
    record is an envelope (`op`, `before`, `after`, `source`, `ts_ms`).
    """

    operation: str
    deletes: tuple[str, ...] = ()
    form: Literal["plain", "debezium"] = "plain"


#: `as_of`: the order of versions is the delivery time in the file's name.
PATH = "path"


@dataclass(frozen=True)
class Table:
    """One table of a contract. `id` is the ODCS id: a renamed table stays itself."""

    id: TableId
    odcs_id: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    description: str = ""
    entity: EntityKey | None = None
    roles: tuple[Role, ...] = ()
    event_time: str | None = None
    sources: tuple[Source, ...] = ()
    load_mode: LoadMode = "append"
    history: bool = False
    as_of: str | None = None  # PATH or a column
    vanish_tolerance: float = 0.1  # snapshot: share of the rows that may vanish in one dump before the deletes are held
    changes: Changes | None = None
    layout: Layout = "none"
    drift: Drift = Drift()
    scope: str = "main"
    retention: str | None = None  # ISO 8601 duration
    quarantine_days: int = 30  # until the key of rows that name nobody is destroyed
    refresh: Refresh = Refresh()
    compatibility: Compatibility = "none"  # what a change of the contract must at least be, `lakehouse check --against`
    inputs: tuple[TableId, ...] = ()  # curated and features: what they read
    made_of: tuple[str, ...] = ()  # features: the inputs' columns that the function gets; () is all of them
    checks: tuple[Check, ...] = ()
    owner: str = ""
    where: str = ""

    def column(self, name: str) -> Column:
        """The column of that name; KeyError when there is none."""
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(name)

    def checks_of(self, kind: CheckKind) -> tuple[Check, ...]:
        """The checks of one kind, in contract order (a row check's place is its bit)."""
        return tuple(check for check in self.checks if check.kind is kind)

    @property
    def order(self) -> str | None:
        """What says when a version was true: a column, PATH, or None (append, where the first delivery stays)."""
        if self.load_mode == "append":
            return None
        return self.as_of or (self.event_time if self.load_mode == "upsert" else None)

    @property
    def sealed(self) -> bool:
        """Whether raw keeps the table's cells under the keys of its entities."""
        return self.id.tier is Tier.STAGED and self.entity is not None and self.entity.key is not None

    @property
    def versioned(self) -> bool:
        """Whether staged keeps versions that have ended, with `_valid_from` and `_valid_to`."""
        return self.id.tier is Tier.STAGED and self.history and self.load_mode != "append"

    @property
    def keeps_extra(self) -> bool:
        """Whether staged keeps `_extra`: unknown columns, and the text of values that had another type."""
        return self.id.tier is Tier.STAGED and "evolve" in {self.drift.unknown, self.drift.type}

    @property
    def tokenised(self) -> tuple[Column, ...]:
        """The columns that have a column of tokens beside them."""
        return tuple(column for column in self.columns if column.pseudonym_domain and column.token_of is None)

    @property
    def delivered(self) -> tuple[Column, ...]:
        """The columns that stand in the delivered file."""
        return tuple(column for column in self.columns if column.derived is None)


@dataclass(frozen=True)
class Link:
    """How entities of one type lead to those of another: rows of `via` hold the keys of both."""

    source: str
    target: str
    via: TableId
    when: tuple[tuple[str, str], ...] = ()  # column, value: only such rows link
    shared: Literal["keep", "erase"] = "keep"
    decides: bool = False  # consent of the target speaks for the source
    where: str = ""


@dataclass(frozen=True)
class Contract:
    """One contract file: a domain and its tables."""

    id: str
    domain: str
    version: str
    tables: tuple[Table, ...]
    path: Path | None = None
    description: str = ""
    owner: str = ""
    links: tuple[Link, ...] = ()


@dataclass(frozen=True)
class Project:
    """All contracts of a project. A staged table with sources has a raw table of the same name, by the platform."""

    root: Path
    contracts: tuple[Contract, ...]

    @property
    def tables(self) -> tuple[Table, ...]:
        """Every contracted table, contracts in order of domain."""
        return tuple(table for contract in self.contracts for table in contract.tables)

    def table(self, table: TableId) -> Table:
        """The table of that id; a raw id gives its staged contract; KeyError when there is none."""
        wanted = table.at(Tier.STAGED) if table.tier is Tier.RAW else table
        for candidate in self.tables:
            if candidate.id == wanted:
                return candidate
        raise KeyError(str(table))
