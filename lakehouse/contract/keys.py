"""What ODCS lacks: the keys under the custom property `lakehouse`, each with its meaning.

The one list of them. Editors' JSON schema, the loader's check of shapes and the test that every key is documented in
docs/contracts.md all read it. A place is where in ODCS the custom property stands.
"""

from __future__ import annotations

from typing import Any

from lakehouse.contract import canonical, derivation
from lakehouse.contract.model import ENCODINGS

Shape = dict[str, Any]

_DURATION = r"^P(?=.)(\d+Y)?(\d+M)?(\d+W)?(\d+D)?$"
_NAME = r"^[A-Za-z][A-Za-z0-9_]*$"
_ROLE = r"^[a-z][a-z0-9_]{0,40}$"
_TABLE = r"^(staged|curated|features)\.[a-z][a-z0-9_]*\.[A-Za-z][A-Za-z0-9_]*$"


def _text(description: str, **more: Any) -> Shape:
    return {"type": "string", "minLength": 1, "description": description, **more}


def _choice(description: str, *values: str) -> Shape:
    return {"enum": list(values), "description": description}


def _flag(description: str) -> Shape:
    return {"type": "boolean", "description": description}


def _list(description: str, item: Shape) -> Shape:
    return {"type": "array", "minItems": 1, "items": item, "description": description}


def _mapping(description: str, properties: dict[str, Shape], *, required: tuple[str, ...] = ()) -> Shape:
    shape: Shape = {"type": "object", "description": description, "properties": properties}
    return {**shape, "additionalProperties": False, **({"required": list(required)} if required else {})}


_FORMS = {"enum": list(canonical.FORMS)}
_SEVERITY = _choice(
    "What a failure does: `error` blocks what comes after, `warning` is only shown.", "error", "warning"
)
_TOLERANCE: Shape = {
    "type": "number",
    "minimum": 0,
    "maximum": 1,
    "description": "Share of rows that may fail. Without one, rows of a staged table that fail are only quarantined.",
}
_OVERRIDE = _mapping("How one check counts.", {"severity": _SEVERITY, "tolerance": _TOLERANCE})

SOURCE = _mapping(
    "One feed: which files of the table's landing folder, and how to read them.",
    {
        "name": _text("Name of the feed.", pattern=_NAME),
        "pattern": _text("Which files of the landing folder (shell pattern)."),
        "format": _choice(
            "How the files are written; `.gz`, `.zst`, `.bz2` and `.zip` (one member) are unpacked by name.",
            "csv",
            "ndjson",
            "parquet",
            "arrow",
        ),
        "delimiter": _text("Character between two fields.", maxLength=1),
        "quote": {
            "type": "string",
            "maxLength": 1,
            "description": "Character around a field; the empty text where there is no quoting.",
        },
        "escape": _choice("Character before a quote within quotes; a doubled quote when nothing is said.", "\\"),
        "header": _flag("Whether the first line names the columns."),
        "encoding": _choice("Encoding of the files.", *ENCODINGS),
        "comment": _text("Start of lines that are no records.", maxLength=8),
        "complete": _choice(
            "When a file is whole: `settle` (unchanged for 10 s) or `marker` (`<file>.done` is there).",
            "settle",
            "marker",
        ),
        "keep_days": {
            "type": "integer",
            "minimum": 0,
            "maximum": 30,
            "description": "Days a taken file stays in landing; it holds clear personal data.",
        },
        "delivered_at": _text(
            "strptime pattern of the file's name: the day it was delivered. A day is known at its end, in UTC."
        ),
    },
    required=("name",),
)

ENTITY = _mapping(
    "Whose rows these are: what can be forgotten, exported and held.",
    {
        "type": _text("Entity type, the same word in every table.", pattern=_NAME),
        "key": _text("Column with the entity's id."),
        "surrogate": _text("Column that shows `_entity`, for tables without an id."),
        "canonical": _list("Forms of the id before it is hashed.", _FORMS),
        "optional": _flag("Whether rows without an id are allowed."),
    },
    required=("type",),
)

ROLE = _mapping(
    "A further entity of the rows: whose the cells of some columns are, beside the entity of the row.",
    {
        "type": _text("Entity type, the same word in every table.", pattern=_NAME),
        "key": _text("Column with that entity's id."),
        "canonical": _list("Forms of the id before it is hashed.", _FORMS),
    },
    required=("type", "key"),
)
ROLES: Shape = {
    "type": "object",
    "description": "Further entities of the rows, by role: erasing one nulls its cells and leaves the row.",
    "minProperties": 1,
    "propertyNames": {
        "type": "string",
        "pattern": _ROLE,
        "description": "a role is a small letter, then small letters, digits and `_`",
    },
    "additionalProperties": ROLE,
}

LINK = _mapping(
    "How entities of one type lead to those of another.",
    {
        "from": _text("Entity type that is linked."),
        "to": _text("Entity type it belongs to."),
        "via": _text("Table whose rows hold both keys.", pattern=_TABLE),
        "when": {"type": "object", "description": "Column and value: only such rows link."},
        "shared": _choice("What an erasure does to what several people share.", "keep", "erase"),
        "decides": _flag("Whether the consent of what it leads to speaks for the linked entity."),
    },
    required=("from", "to", "via"),
)

CHANGES = _mapping(
    "How deliveries of changes say what happened.",
    {
        "operation": _text("Column that says what happened."),
        "deletes": _list("Words of that column that end a key.", _text("word")),
        "form": _choice("`plain` rows, or the envelope of `debezium`.", "plain", "debezium"),
    },
    required=("operation",),
)

_MODES = ("evolve", "freeze", "discard_row", "discard_value")
DRIFT: Shape = {
    "description": "What a delivery does that differs; one word is for unknown and missing columns.",
    "anyOf": [
        {"type": "string", "enum": list(_MODES)},
        _mapping(
            "What a delivery does that differs, by how it differs.",
            {
                "unknown": _choice("Columns that the contract does not know.", *_MODES),
                "missing": _choice("Columns that are not delivered.", *_MODES),
                "type": _choice("Values that are not of their column's type.", *_MODES),
            },
        ),
    ],
}

TRANSFORM = _mapping(
    "The column is not delivered: it is made of another one's text.",
    {
        "source": _text("Delivered column that it is made of."),
        "how": _choice("What is done.", "czech_birth_date", "czech_sex", "year_start"),
        "base": {"type": "integer", "description": "`year_start`: the year that 0 stands for."},
    },
    required=("source", "how"),
)

DECLASSIFIED = _mapping(
    "Why the column is less sensitive than what it is made of; checked on the model's SQL.",
    {
        "how": _choice(
            "`aggregate` over groups of many, `generalise` to something coarser, or a `token` instead of the value.",
            *derivation.METHODS,
        ),
        "why": _text("Why that is enough."),
        "min_entities": {
            "type": "integer",
            "minimum": 2,
            "description": "`aggregate`: HAVING keeps no group of fewer different `_entity`.",
        },
        "to": _text("`generalise`: what is left of the value.", pattern=derivation.COARSER),
    },
    required=("how", "why"),
)
_MADE_OF = _text("column, or table.column")

CONTRACT_KEYS: dict[str, Shape] = {"links": _list("Links between entity types.", LINK)}

TABLE_KEYS: dict[str, Shape] = {
    "tier": _choice("Where the table stands; raw tables come by themselves.", "staged", "curated", "features"),
    "sources": _list("Feeds of a staged table.", SOURCE),
    "inputs": _list("Tables that a curated or feature table is made from.", _text("tier.domain.table", pattern=_TABLE)),
    "made_of": _list("Columns of the inputs that a feature function gets; without it, all of them.", _MADE_OF),
    "entity": ENTITY,
    "entities": ROLES,
    "event_time": _text("Column that says when it happened; its zone is ODCS `defaultTimezone`."),
    "scope": _text("Word for tables that share a ground for being kept.", pattern=_NAME),
    "quarantine_days": {
        "type": "integer",
        "minimum": 1,
        "description": "Days in which a row that names nobody can be looked at; then its key is destroyed. 30.",
    },
    "load_mode": _choice(
        "How deliveries meet what is there: `append` keeps the first of a key, `upsert` the last, a `snapshot` ends what "
        "it does not name, `changes` say what they do.",
        "append",
        "upsert",
        "snapshot",
        "changes",
    ),
    "history": _flag("Whether the past stays readable."),
    "as_of": _text("What says when a version was true: a column, or `path`, the day in the file's name."),
    "vanish_tolerance": {
        "type": "number",
        "minimum": 0,
        "maximum": 1,
        "description": "Share of the rows that may vanish in one snapshot before its deletes are held; 0.1.",
    },
    "changes": CHANGES,
    "layout": _choice("How files are cut and sorted.", "entity", "time", "time+entity", "none"),
    "drift": DRIFT,
    "retention": _text("How long rows are kept, counted from the event.", pattern=_DURATION),
    "refresh": _choice("How a curated or feature table is rebuilt.", "full", "by_month"),
    "compatibility": _choice(
        "What every change of the table must be: `backward` (readers by the new contract can use old rows), `forward` "
        "(readers by the old contract can use new rows), `full` (both).",
        "none",
        "backward",
        "forward",
        "full",
    ),
}

COLUMN_KEYS: dict[str, Shape] = {
    "category": _text("Data category (fideslang key); `user` and below is personal."),
    "canonical": {
        "description": "Form or forms of a value before it is compared by a foreign key or hashed.",
        "anyOf": [_FORMS, {"type": "array", "minItems": 1, "items": _FORMS}],
    },
    "pseudonym_domain": _text("Domain in which the column's tokens are equal."),
    "token_of": _text("The column holds tokens only, of values of this data category."),
    "declassified": DECLASSIFIED,
    "made_of": _list(
        "Columns of the inputs that a feature column is made of; without it, what the table says.", _MADE_OF
    ),
    "entity": _text("Role (of `entities`) whose cell this is.", pattern=_ROLE),
    "raw_clear": _text("Reason why the column may stay readable in raw for ever."),
    "null_words": {
        "type": "array",
        "minItems": 1,
        "items": {"type": ["string", "null"]},
        "description": "Delivered words that mean missing; the empty field alone when nothing is said.",
    },
    "formats": _list("Further date formats (Java's letters), tried in this order.", _text("format")),
    "pivot": {
        "type": "integer",
        "minimum": 0,
        "maximum": 100,
        "description": "Two-digit years from it on are 19xx, below it 20xx.",
    },
    "fold": _choice("Which instant a local time is that clocks show twice.", "earlier", "later", "error"),
    "gap": _choice("What a local time is that clocks skip: moved on by the gap, or an error.", "forward", "error"),
    "decimal": _choice("Decimal mark of a number.", ".", ","),
    "thousands": _choice("Mark between thousands of a number.", ",", ".", " ", "'", "_", "\u00a0", "\u202f", "\u2019"),
    "transform": TRANSFORM,
    "occurrence_over": _list("The column numbers repeats of these columns within a file, from 1.", _text("column")),
    "checks": _mapping(
        "Severity and tolerance of the checks that the column promises by itself.",
        dict.fromkeys(("type", "required", "enum", "range", "length", "pattern", "unique"), _OVERRIDE),
    ),
}

#: Classes of sensitivity, the lowest first: what ODCS `classification` can say here.
CLASSIFICATIONS = ("public", "internal", "confidential", "restricted")

RELATIONSHIP_KEYS: dict[str, Shape] = {
    "check": _text("Name of the foreign key's check.", pattern=_NAME),
    "severity": _SEVERITY,
    "tolerance": _TOLERANCE,
}

QUALITY_KEYS: dict[str, Shape] = {"tolerance": _TOLERANCE}

#: ODCS `quality` of `type: custom, engine: lakehouse`: what its `implementation` holds.
COMPARE = _mapping(
    "A column against another one, or against a value.",
    {
        "compare": _text("Column on the left."),
        "operator": _choice(
            "How they must stand to each other; a missing value passes.", "<", "<=", ">", ">=", "==", "!="
        ),
        "other": _text("Column on the right."),
        "value": {"type": ["string", "number", "boolean"], "description": "Value on the right, instead of a column."},
    },
    required=("compare", "operator"),
)

PLACES: dict[str, dict[str, Shape]] = {
    "contract": CONTRACT_KEYS,
    "table": TABLE_KEYS,
    "column": COLUMN_KEYS,
    "relationship": RELATIONSHIP_KEYS,
    "quality": QUALITY_KEYS,
}


def every_key() -> list[str]:
    """Every key as `place.key` or `place.key.inner`, for the test that all are documented."""
    found: list[str] = []

    def walk(path: str, shape: Shape) -> None:
        found.append(path)
        inner: Shape = {} if shape is _OVERRIDE else shape.get("items", shape.get("anyOf", [shape])[-1])
        inner = inner.get("additionalProperties") or inner  # by name: the keys of what stands under each
        for name, below in inner.get("properties", {}).items():
            walk(f"{path}.{name}", below)

    for place, shapes in PLACES.items():
        for name, shape in shapes.items():
            walk(f"{place}.{name}", shape)
    walk("quality.implementation", COMPARE)
    return found
