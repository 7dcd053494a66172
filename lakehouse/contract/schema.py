"""The JSON schema of a contract: ODCS's own (from the open-data-contract-standard package) with our keys put in.

`contract.schema.json` beside this module is what `json_schema` gives; editors are pointed at it, and the loader holds
every file against it. Run `python -m lakehouse.contract.schema` after changing `keys` or the package's version.
"""

from __future__ import annotations

import copy
import json
from functools import cache
from importlib.resources import files
from typing import Any

from lakehouse.contract.keys import CLASSIFICATIONS, COMPARE, PLACES
from lakehouse.contract.reading import OURS

SHIPPED = "contract.schema.json"
API_VERSIONS = ("v3.2.0", "v3.1.0")
Schema = dict[str, Any]

_EXAMPLES = {"table": "tier: staged, …", "column": "category: system.operations"}

_CLASSIFICATION = "A class higher than the category's has in `policies/platform.yaml`."


def json_schema() -> Schema:
    """The schema, made from the installed package."""
    text = files("open_data_contract_standard").joinpath("schema.json").read_text(encoding="utf-8")
    schema: Schema = json.loads(text)
    definitions: Schema = schema["$defs"]
    schema["title"] = "Lakehouse contract (ODCS 3.1 and 3.2)"
    schema["properties"]["apiVersion"]["enum"] = list(API_VERSIONS)
    schema["required"] = [*schema["required"], "domain", "schema"]
    for place, keys in PLACES.items():
        value: Schema = {"type": "object", "properties": copy.deepcopy(keys), "additionalProperties": False}
        required = {"table": ["tier"], "column": ["category"]}.get(place)
        if required:
            value["required"] = required
        definitions[f"Lakehouse{place.title()}"] = value
        definitions[f"Lakehouse{place.title()}Properties"] = _properties(place)
    _put(schema, "contract")
    _put(definitions["SchemaObject"], "table", required=("id", "properties", "customProperties"))
    _put(definitions["SchemaProperty"], "column", required=("id", "logicalType", "customProperties"))
    _put(definitions["RelationshipBase"], "relationship")
    _put(definitions["DataQuality"], "quality")
    del definitions["SchemaBaseProperty"]["properties"]["enum"]["uniqueItems"]  # the loader compares values, typed
    classification = definitions["SchemaBaseProperty"]["properties"]["classification"]
    classification |= {"enum": list(CLASSIFICATIONS), "description": _CLASSIFICATION, "examples": ["restricted"]}
    engine: Schema = {"properties": {"engine": {"const": OURS}}, "required": ["engine"]}
    told: Schema = {"properties": {"implementation": copy.deepcopy(COMPARE)}, "required": ["name"]}
    definitions["DataQuality"]["allOf"].append({"if": engine, "then": told})
    return schema


def _properties(place: str) -> Schema:
    """`customProperties` of a place: the item called `lakehouse` holds that place's keys."""
    ours: Schema = {"properties": {"property": {"const": OURS}}, "required": ["property"]}
    holds: Schema = {"properties": {"value": {"$ref": f"#/$defs/Lakehouse{place.title()}"}}}
    found: Schema = {"type": "array", "items": {"if": ours, "then": holds}}
    if place in _EXAMPLES:
        found |= {"contains": ours, "description": f"write `{{property: {OURS}, value: {{{_EXAMPLES[place]}}}}}`"}
    return found


def _put(schema: Schema, place: str, *, required: tuple[str, ...] = ()) -> None:
    properties: Schema = {"customProperties": {"$ref": f"#/$defs/Lakehouse{place.title()}Properties"}}
    if place in _EXAMPLES:
        properties["id"] = {"description": f"an id that never changes: a renamed {place} stays itself"}
    schema.setdefault("allOf", []).append({"properties": properties, "required": list(required)})


@cache
def shipped() -> Schema:
    """The schema as shipped: no package has to be imported to load a contract."""
    text = files("lakehouse.contract").joinpath(SHIPPED).read_text(encoding="utf-8")
    found: Schema = json.loads(text)
    return found


def as_text() -> str:
    """`json_schema` as the shipped file has it."""
    return json.dumps(json_schema(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    from pathlib import Path

    Path(__file__).with_name(SHIPPED).write_text(as_text(), encoding="utf-8")
