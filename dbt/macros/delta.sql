{#
  `delta`: the model becomes a view in the in-memory database; the plugin streams it into the lake as one commit and then
  turns the view into one over the files of the new version, so that tests read what was written.
#}
{% materialization delta, adapter="duckdb", supported_languages=["sql"] %}
  {%- set target_relation = this.incorporate(type="view") -%}

  {{ run_hooks(pre_hooks, inside_transaction=False) }}
  {{ run_hooks(pre_hooks, inside_transaction=True) }}

  {% call statement("main") -%}
    create or replace view {{ target_relation }} as (
      {{ compiled_code }}
    )
  {%- endcall %}

  {{ run_hooks(post_hooks, inside_transaction=True) }}
  {{ adapter.commit() }}

  {% do adapter.store_relation("lakehouse", target_relation, [], "", "delta", config) %}

  {{ run_hooks(post_hooks, inside_transaction=False) }}
  {{ return({"relations": [target_relation]}) }}
{% endmaterialization %}
