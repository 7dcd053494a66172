"""The functions and operators that a reader's query may call, by DuckDB's names; whatever is not listed is refused.

A list of what may be, never of what may not: a new DuckDB function is out until somebody puts it here. Listed are functions
of one row's values, aggregates and window functions whose result follows from their arguments alone. Left out on purpose:
table functions, what reads files, settings, variables, the catalog or the engine's statistics (`stats` tells the least and
greatest value of the file, hidden rows and clear values included), what runs SQL or raises, what sleeps or draws random
numbers, and what makes much out of little (`repeat`, `range`, `format`), for its memory is not counted by the memory limit.
"""

from __future__ import annotations


def _listed(names: str) -> frozenset[str]:
    """Names as they are read best, as a set."""
    return frozenset(names.split())


TEXT = _listed("""ascii char_length character_length concat concat_ws contains ends_with instr lcase left len length levenshtein lower
    lpad ltrim md5 nfc_normalize position prefix regexp_extract regexp_full_match regexp_matches regexp_replace replace
    reverse right rpad rtrim sha256 split_part starts_with strip_accents strlen strpos substr substring suffix translate trim
    ucase unicode upper""")
NUMBERS = _listed("""abs acos asin atan atan2 cbrt ceil ceiling cos degrees exp floor greatest isfinite isinf isnan least ln log log10 log2
    mod pi pow power radians round sign sin sqrt tan trunc""")
TIMES = _listed("""age century current_date current_timestamp date_add date_diff date_part date_sub date_trunc datediff datepart datesub
    datetrunc day dayname dayofmonth dayofweek dayofyear decade epoch epoch_ms get_current_timestamp hour isodow isoyear
    last_day make_date make_timestamp minute month monthname now quarter second strftime strptime time_bucket timezone today
    to_days to_hours to_minutes to_months to_seconds to_timestamp to_weeks to_years try_strptime week weekday weekofyear
    year yearweek""")
CHOICES = _listed("coalesce if ifnull nullif typeof")
AGGREGATES = _listed("""any_value approx_count_distinct approx_quantile arbitrary arg_max arg_min avg bit_and bit_or bit_xor bool_and bool_or
    corr count count_if count_star countif covar_pop covar_samp entropy first geomean kurtosis last listagg max max_by mean
    median min min_by mode product quantile quantile_cont quantile_disc regr_intercept regr_r2 regr_slope skewness stddev
    stddev_pop stddev_samp string_agg sum var_pop var_samp variance""")
WINDOWS = _listed(
    """cume_dist dense_rank first_value lag last_value lead nth_value ntile percent_rank rank row_number"""
)
OPERATORS = _listed("""+ - * / // % ** ^ & | << >> ~ xor || ~~ !~~ ~~* !~~* ~~~ like_escape not_like_escape ilike_escape
    not_ilike_escape""")
#: What a caller may write.
CALLABLE = TEXT | NUMBERS | TIMES | CHOICES | AGGREGATES | WINDOWS
#: What DuckDB may find in the text that is run.
RUNNABLE = CALLABLE | OPERATORS
#: Function -> the argument that says how long its result is; it must be a whole number written out, at most `LONGEST`.
LENGTHS = {"lpad": 1, "rpad": 1}
LONGEST = 1000
#: Aggregates that keep every value: over a window they need the square of the rows.
KEEPING = _listed("listagg string_agg")
#: Names that DuckDB reads as functions when no column has them.
VALUE_NAMES = _listed("""current_catalog current_database current_role current_schema current_user localtime localtimestamp rowid session_user
    user""")
