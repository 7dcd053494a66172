{#
  Refresh by month. The plugin writes the spans to rebuild into `lakehouse_run.span`; a query and not a dbt variable, because
  other variables make dbt parse the whole project again. No span means everything.
#}
{% macro spans_to_rebuild() -%}
  {%- if execute and target.type == "duckdb" and flags.WHICH in ("build", "run") -%}
    {{ return(run_query(
      "select first_day, next_day, first_instant, next_instant from lakehouse_run.span where model = '"
      ~ this.schema ~ "." ~ this.identifier ~ "' order by first_day"
    ).rows) }}
  {%- endif -%}
  {{ return([]) }}
{%- endmacro %}

{# True for rows whose day (a date) lies in a month to rebuild. #}
{% macro day_in_rebuilt_months(day) -%}
  {%- set spans = spans_to_rebuild() -%}
  {%- if spans | length == 0 -%}
    true
  {%- else -%}
    (
    {%- for span in spans %}
      {{ "or " if not loop.first }}({{ day }} >= date '{{ span[0] }}' and {{ day }} < date '{{ span[1] }}')
    {%- endfor %}
    )
  {%- endif -%}
{%- endmacro %}

{#
  True for rows whose instant may lie in a month to rebuild, in any time zone: a day wider at both ends, so that files and
  row groups are skipped. Use it on the source beside `day_in_rebuilt_months`.
#}
{% macro instant_near_rebuilt_months(instant) -%}
  {%- set spans = spans_to_rebuild() -%}
  {%- if spans | length == 0 -%}
    true
  {%- else -%}
    (
    {%- for span in spans %}
      {{ "or " if not loop.first }}({{ instant }} >= cast('{{ span[2] }}' as timestamp with time zone)
        and {{ instant }} < cast('{{ span[3] }}' as timestamp with time zone))
    {%- endfor %}
    )
  {%- endif -%}
{%- endmacro %}
