{# A schema is `<tier>_<domain>`, as the generated sources say it; dbt's prefix of the target's schema is not wanted. #}
{% macro generate_schema_name(custom_schema_name, node) -%}
  {{ (custom_schema_name or target.schema) | trim }}
{%- endmacro %}
