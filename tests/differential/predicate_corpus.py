"""Rows and predicates that break implementations of the small SQL: data for every engine, checked against `holds`.

Every predicate is asked of every row on `DAY`. Each numeric column is at the limits of its type, text beyond the first
plane, NaN and infinities are in, and every column is NULL somewhere.
"""

from __future__ import annotations

import datetime as dt
import math
from decimal import Decimal

from lakehouse.contract.model import ColumnType, Logical
from tests.differential.treatment_corpus import at, decimal

DAY = dt.date(2024, 2, 29)
TYPES = {
    "a": ColumnType(Logical.STRING),
    "b": ColumnType(Logical.STRING),
    "n": ColumnType(Logical.INTEGER),
    "i": ColumnType(Logical.INTEGER),
    "p": decimal(5, 2),
    "q": decimal(38, 10),
    "r": decimal(38, 0),
    "s": decimal(38, 38),
    "f": ColumnType(Logical.FLOAT),
    "g": ColumnType(Logical.FLOAT),
    "t": ColumnType(Logical.BOOLEAN),
    "d": ColumnType(Logical.DATE),
    "e": ColumnType(Logical.DATE),
    "w": ColumnType(Logical.TIMESTAMP),
}
VALUES: dict[str, tuple[object, ...]] = {
    "a": (None, "", "EU", "eu", "a%b", "a_b", "a\\b", "it's", "é", "\N{GRINNING FACE}", "\ue000", "a\nb", "EU "),
    "b": (None, "", "EU", "\uffff", "Z", "a", "é", "%", "axb"),
    "n": (None, 0, 1, -1, 2, 1000, -(2**63), 2**63 - 1),
    "i": (None, 0, -1, 3, 2**63 - 1, 999),
    "p": (None, *map(Decimal, ("0.00", "1.50", "-1.50", "999.99", "-999.99", "1.00"))),
    "q": (None, *map(Decimal, ("0.0000000001", "1.5000000000", "-1.0000000001", "9" * 28 + "." + "9" * 10, "1.0000000000"))),
    "r": (None, *map(Decimal, ("0", "1", "-1", "9" * 38, "-" + "9" * 38, str(2**63), str(2**63 - 1)))),
    "s": (None, *map(Decimal, ("0." + "0" * 38, "0." + "9" * 38, "-0." + "9" * 38, "0." + "0" * 37 + "1", "0.5" + "0" * 37))),
    "f": (None, 0.0, -0.0, 1.5, -1.5, math.nan, math.inf, -math.inf, 5e-324, 1e308),
    "g": (None, math.nan, 0.0, 1.5, math.inf, 0.1),
    "t": (None, True, False),
    "d": (None, *map(dt.date.fromisoformat, ("2024-02-29", "2024-02-28", "0001-01-01", "9999-12-31"))),
    "e": (None, *map(dt.date.fromisoformat, ("2024-02-29", "1970-01-01", "9999-12-31"))),
    "w": (None, *map(at, ("2024-02-29", "2024-02-28T23:59:59.999", "0001-01-01", "9999-12-31T23:59:59.999", "1970-01-01"))),
}  # fmt: skip


def rows() -> list[dict[str, object]]:
    """Rows of all values, each beside changing others: 120, the same in every process."""
    return [
        {name: values[(place * (2 * step + 1) + step * (place // len(values))) % len(values)] for step, (name, values) in enumerate(VALUES.items())}
        for place in range(120)
    ]  # fmt: skip


PREDICATES = (
    # text by code point, no padding, nothing escaped
    "a = 'EU'", "a <> 'EU'", "a < 'a'", "a >= 'é'", "a > b", "a <= b", "'EU' = a", "a = 'it''s'", "a IN ('EU', 'eu', '')",
    "a NOT IN ('EU')", "a IN (b, 'eu')", "a BETWEEN 'E' AND 'a'", "a NOT BETWEEN b AND 'z'",
    "a LIKE 'a%b'", "a LIKE 'a_b'", "a LIKE 'a\\b'", "a LIKE 'a\\%'", "a LIKE '_'", "a LIKE ''", "a LIKE '%'", "a NOT LIKE '%U%'",
    "a LIKE '__ '", "a LIKE 'it''s'", "b LIKE '\\_'", "a = '\N{GRINNING FACE}'", "a < '\N{GRINNING FACE}'",
    # numbers that a column's type cannot hold
    "n = 1", "n > 1.5", "n < 1.5", "n >= -0.5", "n <= -0.5", "n = 1.0", "n <> 1.5", "n = 1.5", "n IN (1, 1.5, 99999999999999999999)",
    "n IN (1.5)", "n NOT IN (1.5, 2)", "n NOT IN (99999999999999999999)", "n < 9223372036854775808", "n <= 9223372036854775807",
    "n > 9223372036854775807", "n >= -9223372036854775808", "n < -9223372036854775808", "n > -9223372036854775809",
    "n = 9223372036854775808", "n BETWEEN -9223372036854775808 AND 0.5", "n BETWEEN 2 AND 1", "1.5 < n", "p = 1.5", "p = 1.505",
    "p <> 1.505", "p < 1.505", "p > 999.999", "p <= 1000", "p >= -999.995", "p < -1000", "p > -1000", "p IN (1.5, 1.505, 1000)",
    "q > 0.00000000005", "q = 1.5", "q < 9999999999999999999999999999", "q >= 99999999999999999999999999999999999999",
    "r = 9223372036854775807", "r > 9999999999999999999999999999999999999.5",
    "s > 0", "s < 1", "s >= 1", "s > -1", "s <> 0", "s = 0.5", "s <= 0.00000000000000000000000000000000000001",
    # columns of different numeric types
    "n = i", "n < i", "n = p", "n < p", "p >= n", "n = q", "n <= q", "n = r", "n < r", "p = q", "p < q", "q = r", "q <> r", "q < r",
    "q >= r", "s < n", "s = n", "s <> n", "n > s", "s < q", "s >= q", "s < p", "s = r", "r <= s", "n IN (p, q, 1.5)",
    "n BETWEEN p AND q", "q BETWEEN s AND r",
    # floating numbers, NaN is NULL
    "f > 1e0", "f < 1e0", "f = 0e0", "f = -0.0e0", "f <> 0e0", "f IS NULL", "f IS NOT NULL", "f = g", "f < g", "f >= g", "f IN (0e0, 1.5e0)",
    "f NOT IN (0e0)", "f BETWEEN -1e308 AND 1e308", "NOT f > 1e0", "f > 1.7976931348623157e308", "f = 5e-324", "g = 0.1e0", "f IN (g)",
    # days and instants
    "d = current_date", "d < current_date", "current_date <= d", "d IN (current_date, DATE '0001-01-01')", "d BETWEEN e AND current_date",
    "d > DATE '2024-02-28'", "d = e", "current_date = DATE '2024-02-29'", "current_date IN (d, e)", "current_date IS NULL",
    "w < TIMESTAMP '2024-02-29 00:00:00'", "w = TIMESTAMP '2024-02-28 23:59:59.999'", "w <= TIMESTAMP '2024-02-28 23:59:59.9985'",
    "w >= TIMESTAMP '0001-01-01 00:00:00'", "w IN (TIMESTAMP '1970-01-01 00:00:00')",
    # three values
    "t", "NOT t", "t = TRUE", "t <> FALSE", "t < TRUE", "t IN (TRUE, FALSE)", "t IS NULL", "t OR n = 1", "t AND n = 1", "NOT (t AND a = 'EU')",
    "NOT (t OR a = 'EU') OR n IS NULL", "t AND t OR NOT t", "a = 'EU' AND (n > 0 OR f > 0e0) AND NOT d < current_date",
    "TRUE", "FALSE", "NOT FALSE AND t", "1 = 1.0", "1 < 1.5", "'a' < 'B'", "'ab' LIKE 'a_'", "'x' IS NULL", "1 IN (n, 2)", "1.5 IN (n)",
    "TRUE = t", "t IN (TRUE)", "NOT NOT t", "n IS NULL OR n <> n", "a = a", "a <> a",
)  # fmt: skip
