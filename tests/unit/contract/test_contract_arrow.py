"""The columns of each tier."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

from lakehouse.contract import arrow
from lakehouse.contract.load import load_project
from lakehouse.contract.model import ColumnType, Logical, Table
from lakehouse.model import TableId, Tier

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def invoice_line(project_root: Path) -> Table:
    return load_project(project_root).table(TableId(Tier.STAGED, "retail", "invoice_line"))


def test_what_was_delivered_is_text_and_what_could_not_be_split(invoice_line: Table) -> None:
    schema = arrow.delivered(invoice_line)
    assert schema.names[:4] == ["_batch", "_row", "_landed_at", "_entity"]
    assert schema.names[-3:] == ["_bad", "_bytes", "_extra"]
    assert "line" not in schema.names
    assert {schema.field(column.name).type for column in invoice_line.delivered} == {pa.string()}
    assert schema.field("_bytes").type == pa.binary()


def test_raw_of_a_table_with_an_entity_is_seals(invoice_line: Table) -> None:
    schema = arrow.schema(invoice_line, Tier.RAW)
    clear = [column.name for column in invoice_line.delivered if column.raw_clear]
    assert schema.names == ["_batch", "_row", "_landed_at", "_entity", "_sealed", *clear, "_bad"]
    assert schema.field("_sealed").type == pa.binary()


def test_staged_holds_contract_types_in_contract_order(invoice_line: Table) -> None:
    schema = arrow.schema(invoice_line, Tier.STAGED)
    own, tokens = [c.name for c in invoice_line.columns], ["CustomerID__token"]
    assert schema.names == ["_batch", "_row", "_landed_at", "_entity", *own, *tokens]
    assert schema.field("UnitPrice").type == pa.decimal128(12, 3)
    assert schema.field("InvoiceDate").type == pa.timestamp("us", tz="UTC")
    assert schema.field("line").type == pa.int64()


def test_curated_has_an_entity_only_where_the_contract_has_one(project_root: Path) -> None:
    project = load_project(project_root)
    demand = project.table(TableId(Tier.CURATED, "retail", "daily_demand"))
    activity = project.table(TableId(Tier.CURATED, "retail", "customer_activity"))
    assert arrow.schema(demand, Tier.CURATED).names[:2] == ["_landed_at", "day"]
    assert arrow.schema(activity, Tier.CURATED).names[:3] == ["_entity", "_landed_at", "customer_ref"]


@pytest.mark.parametrize("logical", [logical for logical in Logical if logical is not Logical.DECIMAL])
def test_every_logical_type_has_an_arrow_type(logical: Logical) -> None:
    assert isinstance(arrow.arrow_type(ColumnType(logical)), pa.DataType)


def test_no_field_carries_metadata_or_refuses_null(invoice_line: Table) -> None:
    for tier in Tier:
        schema = arrow.schema(invoice_line, tier)
        assert schema.metadata is None
        assert all(field.metadata is None and field.nullable for field in schema)
