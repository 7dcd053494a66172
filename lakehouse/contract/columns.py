"""One column of a contract: an ODCS property and what `lakehouse` says about it, as a typed `Column`."""

from __future__ import annotations

import json
import re
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from lakehouse.contract import canonical, derivation, formats, reading, spelling
from lakehouse.contract.findings import choices
from lakehouse.contract.keys import CLASSIFICATIONS
from lakehouse.contract.model import Column, ColumnType, Logical
from lakehouse.model import TOKEN_SUFFIX, Tier

if TYPE_CHECKING:
    from lakehouse.contract.findings import Findings
    from lakehouse.source import Node

#: Names are columns of Delta, DuckDB and Trino and parts of check names alike, so they stay plain.
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,62}")

_PLAIN = {
    "string": Logical.STRING,
    "integer": Logical.INTEGER,
    "boolean": Logical.BOOLEAN,
    "date": Logical.DATE,
    "timestamp": Logical.TIMESTAMP,
}
#: ODCS types that are no column here; any other word is not of ODCS, which `shape` says.
_OTHER = ("time", "object", "array", "map", "vector")


@cache
def categories() -> dict[str, str]:
    """The data categories (fideslang keys) and their names."""
    text = files("lakehouse.contract").joinpath("categories.json").read_text(encoding="utf-8")
    found: dict[str, str] = json.loads(text)["categories"]
    return found


def read_column(node: Node, tier: Tier, findings: Findings) -> Column | None:
    """The typed column, None when it has no usable name or type (then a finding says so)."""
    name = _name(node, findings)
    column_type = _type(node, tier, findings)
    if name is None or column_type is None:
        findings.broken(reading.text(node, "name"), reading.text(node, "id"))
        return None
    own = reading.ours(node, findings)
    category = _category(own, findings)
    if category.startswith("user.financial") and column_type.logical is Logical.FLOAT:
        findings.error(
            "money-float", node, f"column `{name}` holds money as a float", hint="use `physicalType: decimal(18,2)`"
        )
    over = reading.texts(own, "occurrence_over")
    transform = spelling.read_transform(own, column_type, findings)
    derived: Literal["occurrence", "transform"] | None = "occurrence" if over else "transform" if transform else None
    if over and column_type.logical is not Logical.INTEGER:
        findings.error("derived-type", node, f"derived column `{name}` must be an `integer`")
    if over and transform:
        findings.error("derived-type", node, f"column `{name}` cannot be both an occurrence and a transform")
    forms = _canonical(own, findings)
    token_of = _token_of(own, name, column_type, tier=tier, findings=findings)
    return Column(
        id=reading.text(node, "id") or name,
        name=name,
        type=column_type,
        category=category,
        classification=_classification(node),
        required=reading.flag(node, "required") or reading.flag(node, "primaryKey"),
        description=reading.text(node, "description") or "",
        source_name=reading.text(node, "physicalName") or name,
        derived=derived,
        derived_over=over,
        canonical=forms,
        pseudonym_domain=reading.text(own, "pseudonym_domain"),
        token_of=token_of,
        role=reading.text(own, "entity"),
        raw_clear=reading.text(own, "raw_clear"),
        null_words=_null_words(own),
        transform=transform,
        declassified=derivation.read_declassified(own, tier, findings),
        made_of=derivation.read_made_of(own, tier, findings),
        where=node.where,
        **spelling.read_spelling(own, column_type, tier, findings),
    )


def _token_of(own: Node | None, name: str, column_type: ColumnType, *, tier: Tier, findings: Findings) -> str | None:
    """The category of the values that a column of tokens stands for."""
    found = own.get("token_of") if own else None
    if found is None or own is None:
        if own and reading.text(own, "pseudonym_domain") and "canonical" not in own.entries:
            message = f"column `{name}` has a pseudonym domain but no canonical form"
            hint = f"say `canonical: trim` (or {', '.join(canonical.FORMS[1:])}), so that one value gets one token"
            findings.error("pseudonym-canonical", own.key("pseudonym_domain"), message, hint=hint)
        return None
    if found.text not in categories():
        findings.unknown("category-unknown", found, "category", known=categories())
    if tier is Tier.STAGED:
        hint = "say `pseudonym_domain` alone: the gate adds the column of tokens"
        findings.error("token-of", own.key("token_of"), "what is delivered is no token", hint=hint)
    if column_type.logical is not Logical.STRING:
        findings.error("token-of", found, f"column `{name}` holds tokens, so it must be a `string`")
    if "pseudonym_domain" not in own.entries:
        findings.error("token-of", found, f"column `{name}` holds tokens of no domain", hint="say `pseudonym_domain`")
    return found.text


def _null_words(own: Node | None) -> tuple[str, ...]:
    words = tuple("" if item.scalar is None else item.text for item in reading.items(own, "null_words"))
    return words or ("",)


def _name(node: Node, findings: Findings) -> str | None:
    found = node.get("name")
    if found is None or found.kind != "scalar" or found.scalar is None:
        return None
    if not NAME.fullmatch(found.text) or found.text.endswith(TOKEN_SUFFIX):
        findings.error(
            "column-name",
            found,
            f"column name `{found.text}` cannot be used",
            hint="a letter, then letters, digits and `_`, at most 63; the delivered name goes to `physicalName`",
        )
        return None
    return found.text


def _type(node: Node, tier: Tier, findings: Findings) -> ColumnType | None:
    found = node.get("logicalType")
    if found is None:
        return None
    if found.text == "number":
        physical = node.get("physicalType")
        try:
            return formats.number_type(physical.text if physical else None)
        except ValueError as problem:
            findings.error("type-number", physical or found, str(problem))
            return None
    logical = _PLAIN.get(found.text)
    if logical is None and found.text in _OTHER:
        findings.error(
            "type-unsupported",
            found,
            f"type `{found.text}` cannot be a column",
            hint=choices(found.text, [*_PLAIN, "number"]),
        )
    if logical is None:
        return None
    if logical in {Logical.DATE, Logical.TIMESTAMP}:
        return _moment_type(node, logical, tier, findings)
    return ColumnType(logical)


def _moment_type(node: Node, logical: Logical, tier: Tier, findings: Findings) -> ColumnType:
    options = node.get("logicalTypeOptions")
    default = formats.DEFAULT_DATE if logical is Logical.DATE else formats.DEFAULT_TIMESTAMP
    pattern: str | None = default if tier is Tier.STAGED else None
    java = options.get("format") if options else None
    if java is not None:
        try:
            pattern = formats.strptime_format(java.text)
        except ValueError as problem:
            findings.error("format", java, f"format `{java.text}` cannot be read: {problem}")
    zone = options.get("defaultTimezone") if options else None
    if zone is not None and not _zone_exists(zone.text):
        findings.unknown("time-zone", zone, "time zone", known=sorted(available_timezones()))
        zone = None
    offset = pattern is not None and "%z" in pattern
    epoch = pattern in formats.EPOCHS
    if java is not None and not epoch and reading.flag(options, "timezone") != offset and logical is Logical.TIMESTAMP:
        message = "`timezone: true` and an offset (`XXX`) in the format belong together"
        findings.error("time-zone", java, message)
    return ColumnType(logical, format=pattern, time_zone=zone.text if zone else "UTC")


def _zone_exists(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


def _category(own: Node | None, findings: Findings) -> str:
    found = own.get("category") if own else None
    if found is None or not found.text:
        return "user"  # the strictest, until somebody says
    if found.text not in categories():
        findings.unknown("category-unknown", found, "category", known=categories())
        return "user"
    return found.text


def _classification(node: Node) -> str | None:
    """What `shape` lets pass; whether it raises or lowers the category's class is the policies' to say."""
    said = reading.text(node, "classification")
    return said if said in CLASSIFICATIONS else None


def _canonical(own: Node | None, findings: Findings) -> tuple[str, ...]:
    forms = canonical.in_order(reading.texts(own, "canonical"))
    if own and set(forms) >= canonical.NEVER:
        findings.error("canonical", own.entries["canonical"], canonical.NEVER_BOTH, hint="keep one of them")
    return forms
