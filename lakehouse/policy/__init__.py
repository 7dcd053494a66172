"""Who may see what: the policy's documents, their meaning, and what they compile to.

`model` has the words, `load` reads `policies/`, `decide` is the meaning as plain code, `compile` makes views of it. Pure:
nothing here reads data, a clock or an engine; the language is described in docs/policy.md.
"""
