"""From staged to curated and features: dbt on DuckDB over pinned versions, and point-in-time reads.

What is computed is the project's (`dbt/`, `assets/features/`); what may be read, how results are committed and which
months are stale is decided here. Nothing here names a domain or imports dagster.
"""
