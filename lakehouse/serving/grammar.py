"""The shapes that a reader's query may have, in the words of both parsers; whatever is not listed is refused.

`STATEMENT` and `CALLS` are sqlglot's classes, the rest is what DuckDB's own serialised tree may hold. Both lists say what may
be: syntax that comes with a new version of either parser is out until somebody puts it here. Left out on purpose: sampling
and positional joins (they tell of rows by where they lie in files), pivots and `columns(…)` (their columns follow from data
or from patterns), recursion, lambdas, lists and structs, parameters, time travel, locks, `into`.
"""

from __future__ import annotations


def _listed(names: str) -> frozenset[str]:
    """Names as they are read best, as a set."""
    return frozenset(names.split())


#: sqlglot's classes of clauses, operators and names.
STATEMENT = _listed("""Add Alias All Any AtTimeZone Between BitwiseAnd BitwiseLeftShift BitwiseNot BitwiseOr BitwiseRightShift Boolean ByteString
    CTE Column Cube DPipe DataType DataTypeParam Distinct Div EQ Escape Except Fetch Filter From GT GTE Glob Group
    GroupingSets Having ILike Identifier IgnoreNulls In IntDiv Intersect Interval Is Join LT LTE Lateral Like Limit LimitOptions
    Literal Mod Mul NEQ Neg Not Null NullSafeEQ NullSafeNEQ Offset Order Ordered Paren Qualify RespectNulls Rollup Select
    SimilarTo Star Sub Subquery Table TableAlias Tuple Union Values Var Where Window WindowSpec With""")
#: sqlglot's classes of functions that `functions.CALLABLE` become; `Anonymous` is judged by its name.
CALLS = _listed("""Abs Acos And AnyValue ApproxDistinct ApproxQuantile ArgMax ArgMin Ascii Asin Atan Atan2 Avg BitwiseAndAgg BitwiseOrAgg
    BitwiseXorAgg Case Cast Cbrt Ceil Coalesce Concat ConcatWs Contains Corr Cos Count CountIf CovarPop CovarSamp CumeDist
    CurrentDate CurrentTimestamp DateAdd DateBin DateDiff DateFromParts DateTrunc Day DayOfMonth DayOfWeek DayOfWeekIso
    DayOfYear
    Dayname Degrees DenseRank EndsWith Exists Exp Extract First FirstValue Floor Greatest GroupConcat Grouping Hour If IsInf
    IsNan Kurtosis Lag Last LastDay LastValue Lead Least Left Length Levenshtein Ln Log LogicalAnd LogicalOr Lower MD5 Max
    Median Min Minute Mode Month Monthname NthValue Ntile Nullif Or Pad PercentRank PercentileCont PercentileDisc Pi Pow
    Quantile Quarter Radians Rank RegexpExtract RegexpFullMatch RegexpLike RegexpReplace RegrIntercept RegrR2 RegrSlope Replace
    Reverse Right Round RowNumber SHA2 Second Sign Sin Skewness SplitPart Sqrt StartsWith Stddev StddevPop StddevSamp
    StrPosition StrToTime Substring Sum Tan TimeToStr TimeToUnix TimestampFromParts TimestampTrunc ToDays Translate Trim Trunc
    TryCast Typeof Unicode UnixToTime Upper Variance VariancePop Week WeekOfYear Year""")
#: Types that casts may name, as sqlglot and as DuckDB spell them.
CASTS = _listed("""BIGINT BOOLEAN DATE DECIMAL DOUBLE FLOAT INT INTERVAL SMALLINT TEXT TIME TIMESTAMP TIMESTAMPNTZ TIMESTAMPTZ TINYINT VARCHAR
    HUGEINT INT128 INTEGER REAL BOOL UNKNOWN""") | {"TIMESTAMP WITH TIME ZONE"}

_COMPARED = "EQUAL NOTEQUAL LESSTHAN GREATERTHAN LESSTHANOREQUALTO GREATERTHANOREQUALTO DISTINCT_FROM NOT_DISTINCT_FROM"
_WINDOWED = """AGGREGATE CUME_DIST FIRST_VALUE LAG LAST_VALUE LEAD NTH_VALUE NTILE PERCENT_RANK RANK RANK_DENSE
    ROW_NUMBER"""
#: DuckDB's expressions, class and type.
EXPRESSIONS = frozenset(
    {("COMPARISON", f"COMPARE_{name}") for name in _COMPARED.split()}
    | {("WINDOW", f"WINDOW_{name}") for name in _WINDOWED.split()}
    | {("CONJUNCTION", "CONJUNCTION_AND"), ("CONJUNCTION", "CONJUNCTION_OR")}
    | {("OPERATOR", f"OPERATOR_{name}") for name in ("COALESCE", "IS_NULL", "IS_NOT_NULL", "NOT")}
    | {("OPERATOR", "COMPARE_IN"), ("OPERATOR", "COMPARE_NOT_IN"), ("OPERATOR", "GROUPING_FUNCTION")}
    | {("BETWEEN", "COMPARE_BETWEEN"), ("CASE", "CASE_EXPR"), ("CAST", "OPERATOR_CAST"), ("TYPE", "TYPE")}
    | {(name, name) for name in ("COLUMN_REF", "FUNCTION", "STAR", "SUBQUERY")}
    | {("CONSTANT", "VALUE_CONSTANT")}
)
#: DuckDB's query nodes, table references and modifiers.
PLACES = _listed("""SELECT_NODE SET_OPERATION_NODE BASE_TABLE EMPTY EXPRESSION_LIST JOIN SUBQUERY DISTINCT_MODIFIER LIMIT_MODIFIER
    ORDER_MODIFIER ORDER_DEFAULT ASCENDING DESCENDING""")
#: What single keys of DuckDB's tree may say.
SAID: dict[str, frozenset[str]] = {
    "ref_type": frozenset(("REGULAR", "CROSS", "NATURAL", "ASOF")),
    "join_type": frozenset(("INNER", "LEFT", "RIGHT", "FULL", "SEMI", "ANTI")),
    "setop_type": frozenset(("UNION", "UNION_BY_NAME", "EXCEPT", "INTERSECT")),
    "subquery_type": frozenset(("SCALAR", "EXISTS", "NOT_EXISTS", "ANY")),
    "limit_type": frozenset(("ROW_COUNT",)),
    "kind": frozenset(("BOOLEAN", "INTEGER", "NUMERIC", "STRING", "NULL_LITERAL")),
}
#: What must be empty wherever it stands: sampling, time travel, qualified names, patterns of columns, prepared parameters.
EMPTY = _listed("""sample at_clause catalog catalog_name schema schema_name expr named_param_map ranking_expression key_targets
    payload_aggregates export_state duplicate_eliminated_columns delim_flipped""")
#: Every key that DuckDB's tree of such a query has.
KEYS = EMPTY | _listed("""aggregate_handling alias aliases arg_orders arguments case_checks cast child children class column column_name_alias
    column_names columns comparison_type condition cte_map default_expr distinct distinct_on_targets else_expr end end_expr error
    exclude_clause exclude_list expected_names expected_types expression filter filter_expr from_table function_name
    group_expressions group_sets has_ignore_nulls having ignore_nulls input is_implicit is_operator join_type key kind left
    limit limit_type literal lower map materialized modifiers name nearest_approx nearest_count nearest_order_type node
    null_order offset offset_expr order_bys orders partitions path qualified_exclude_list qualified_name qualify query_location
    query_location_length query_node ref_type relation_name rename_list replace_list right select_list setop_all setop_type
    start start_expr statements subquery subquery_type table table_name text then_expr try_cast type type_expr type_name upper
    using_columns value values when_expr where_clause""")
