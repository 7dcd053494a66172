"""The public format of policy documents: their keys, which of them are needed, and what kind of value each holds.

The one list of them. The loader's judge of shapes and the test that docs/policy.md names every key both read it. What the
values mean together (names that exist, tables that match) is in `documents` and the modules of static checks.
"""

from __future__ import annotations

from typing import Any, cast

from lakehouse.policy.model import Sensitivity

Shape = dict[str, Any]

#: The policies' version that this program reads.
VERSION = 1
_NAME = r"^[a-z][a-z0-9_]{0,62}$"
_ID = r"^[a-z][a-z0-9_-]{0,99}$"
#: Trino's group file separates members by commas, and groups from members by a colon.
_MEMBER = r"^[^\s,:]+$"
_DAY = r"^\d{4}-\d{2}-\d{2}$"
_AGE = r"^P[1-9][0-9]{0,5}[YMD]$"
_DURATION = r"^P(?=.)(\d+Y)?(\d+M)?(\d+W)?(\d+D)?$"


def _text(description: str = "", pattern: str | None = None) -> Shape:
    told = {"description": description} if description else {}
    return {"type": "string", "minLength": 1, **told, **({"pattern": pattern} if pattern else {})}


_PLAIN = _text()
_NAMED = _text("a small letter, then small letters, digits and `_`, at most 63", _NAME)
_IDENTIFIER = _text("a small letter, then small letters, digits, `-` and `_`, at most 100", _ID)
_DATE = _text("a day, `2027-06-30`", _DAY)
_FLAG: Shape = {"type": "boolean"}


def _list(item: Shape, *, least: int = 1) -> Shape:
    return {"type": "array", "minItems": least, "uniqueItems": True, "items": item}


def _records(item: Shape) -> Shape:
    """A list of entries; that one stands twice is told of its id."""
    return {"type": "array", "items": item}


def _mapping(properties: dict[str, Shape], *, required: tuple[str, ...] = (), **more: Any) -> Shape:
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
        **more,
    }


def _by_name(value: Shape, names: Shape | None = None, *, least: int = 0) -> Shape:
    names = {} if names is None else {"propertyNames": names}
    return {"type": "object", "minProperties": least, "additionalProperties": value, **names}


def _one_of(*keys: str) -> list[Shape]:
    return [{"required": [key]} for key in keys]


def _document(properties: dict[str, Shape], *, required: tuple[str, ...] = ()) -> Shape:
    version: Shape = {
        "type": "integer",
        "const": VERSION,
        "description": f"every document starts with `version: {VERSION}`",
    }
    return _mapping({"version": version, **properties}, required=("version", *required))


_CLASSES = [sensitivity.name.lower() for sensitivity in Sensitivity]
_PATTERNS = _list(_text("`tier.domain.table`, each part a whole name or `*`"))
_UNLESS = _mapping(
    {"groups": _list(_PLAIN), "purposes": _list(_PLAIN)},
    anyOf=_one_of("groups", "purposes"),
)

CEILING = _mapping(
    {
        "id": _IDENTIFIER,
        "categories": _list(_PLAIN),
        "tables": _PATTERNS,
        "at_most": _PLAIN,
        "unless": _UNLESS,
        "why": _PLAIN,
    },
    required=("id", "at_most", "why"),
    anyOf=_one_of("categories", "tables"),
)

ROW_CEILING = _mapping(
    {
        "id": _IDENTIFIER,
        "tables": _PATTERNS,
        "having": _list(_PLAIN),
        "only_rows": _PLAIN,
        "unless": _UNLESS,
        "why": _PLAIN,
    },
    required=("id", "tables", "only_rows", "why"),
)

_GRANT_KEYS: dict[str, Shape] = {
    "id": _IDENTIFIER,
    "groups": _list(_PLAIN),
    "purpose": _PLAIN,
    "tables": _PATTERNS,
    "columns": _by_name(_PLAIN),
    "rows": _PLAIN,
    "until": _DATE,
    "as": _NAMED,
    "why": _PLAIN,
}
_GRANT_NEEDS = ("id", "groups", "purpose", "tables", "why")
GRANT = _mapping(_GRANT_KEYS, required=_GRANT_NEEDS)

EXCEPTION = _mapping(
    {**_GRANT_KEYS, "approved_by": _PLAIN, "approved_on": _DATE, "ticket": _PLAIN},
    required=(*_GRANT_NEEDS, "until", "approved_by", "approved_on", "ticket"),
)

PURPOSE = _mapping(
    {
        "description": _PLAIN,
        "groups": _list(_PLAIN),
        "legal_basis": _PLAIN,
        "consent": {
            "anyOf": [
                {"type": "string", "enum": ["not_required"]},
                _mapping({"of": _PLAIN}, required=("of",)),
            ]
        },
        "max_age": _text("one number of years, months or days: `P3Y`, `P18M`, `P90D`", _AGE),
        "isolation": {"enum": ["view", "copy"]},
        "data_use": _PLAIN,
        "dpv": _PLAIN,
        "legal": _FLAG,
        "stewardship": _FLAG,
    },
    required=("description", "groups", "legal_basis", "consent"),
)

TEST = _mapping(
    {
        "as": _mapping({"groups": _list(_PLAIN, least=0), "purpose": _PLAIN}, required=("groups", "purpose")),
        "table": _PLAIN,
        "expect": {
            "anyOf": [{"type": "string", "enum": ["denied", "invisible"]}, _by_name(_PLAIN, least=1)],
        },
        "day": _DATE,
        "consent": _FLAG,
        "row": _by_name({"type": ["string", "number", "boolean", "null"]}),
    },
    required=("as", "table", "expect"),
)

PLATFORM = _document(
    {
        "classes": _by_name({"enum": _CLASSES}, least=1),
        "defaults": _mapping(dict.fromkeys(_CLASSES, _PLAIN), required=tuple(_CLASSES)),
        "identifying": _list(_PLAIN, least=0),
        "ceilings": _records(CEILING),
        "row_ceilings": _records(ROW_CEILING),
        "tiers": _mapping(
            dict.fromkeys(("staged", "curated", "features"), _mapping({"forbid": _list(_PLAIN)}, required=("forbid",)))
        ),
        "retention": _mapping(
            {
                "default": _text("an ISO 8601 duration, `P7Y`", _DURATION),
                "quarantine_days": {"type": "integer", "minimum": 1},
            }
        ),
    },
    required=("classes", "defaults"),
)
PURPOSES = _document({"purposes": _by_name(PURPOSE, _NAMED)}, required=("purposes",))
GROUPS = _document(
    {"groups": _by_name(_list(_text("a name without blanks, commas and colons", _MEMBER), least=0), _NAMED)},
    required=("groups",),
)
EXCEPTIONS = _document({"exceptions": _records(EXCEPTION)}, required=("exceptions",))
ACCESS = _document(
    {
        "grants": _records(GRANT),
        "ceilings": _records(CEILING),
        "row_ceilings": _records(ROW_CEILING),
    }
)
TESTS = _document({"tests": _records(TEST)}, required=("tests",))

#: Every kind of document, by its file's name without the ending; the last two stand in a domain's folder.
DOCUMENTS: dict[str, Shape] = {
    "platform": PLATFORM,
    "purposes": PURPOSES,
    "groups": GROUPS,
    "exceptions": EXCEPTIONS,
    "access": ACCESS,
    "tests": TESTS,
}


def every_key() -> list[str]:
    """Every key as `document.key.inner`, for the test that all are documented; names that a file chooses are left out."""
    found: list[str] = []

    def walk(path: str, shape: Shape) -> None:
        inner = shape
        for word in ("items", "additionalProperties"):
            inner = cast("Shape", inner.get(word) or inner)
        parts: list[Shape] = [inner, *inner.get("anyOf", [])]
        for part in parts:
            for name, below in cast("dict[str, Shape]", part.get("properties", {})).items():
                found.append(f"{path}.{name}")
                walk(f"{path}.{name}", below)

    for name, shape in DOCUMENTS.items():
        walk(name, shape)
    return sorted(set(found))
