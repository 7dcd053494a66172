{# Generic tests that `schema.yml` takes from the contracts. Each returns the failing rows; dbt keeps only their number. #}

{% test unique_key(model, columns) %}
  select {{ columns | join(", ") }}
  from {{ model }}
  group by {{ columns | join(", ") }}
  having count(*) > 1
{% endtest %}

{% test within(model, column_name, minimum=none, maximum=none) %}
  select {{ column_name }}
  from {{ model }}
  where
    {%- if minimum is not none %} {{ column_name }} < {{ minimum }}{% endif %}
    {%- if minimum is not none and maximum is not none %} or{% endif %}
    {%- if maximum is not none %} {{ column_name }} > {{ maximum }}{% endif %}
{% endtest %}

{% test one_of(model, column_name, values) %}
  select {{ column_name }}
  from {{ model }}
  where {{ column_name }} not in (
    {%- for value in values %}'{{ value | replace("'", "''") }}'{{ ", " if not loop.last }}{% endfor -%}
  )
{% endtest %}

{% test full_match(model, column_name, pattern) %}
  select {{ column_name }}
  from {{ model }}
  where not {{ adapter.dispatch("matches_whole", "lakehouse")(column_name, pattern) }}
{% endtest %}

{% macro duckdb__matches_whole(column, pattern) -%}
  regexp_full_match({{ column }}, '{{ pattern | replace("'", "''") }}')
{%- endmacro %}

{% macro trino__matches_whole(column, pattern) -%}
  regexp_like({{ column }}, '^(?:{{ pattern | replace("'", "''") }})$')
{%- endmacro %}

{% test compares(model, left, operator, right) %}
  select {{ left }}
  from {{ model }}
  where not ({{ left }} {{ operator }} {{ right }})
{% endtest %}
