"""The platform: contracts in, governed Delta tables out.

Knows no domain. What a team owns (contracts, dbt models, assets, resources) lives beside this package in the project
root and is loaded by name; nothing here imports it.
"""
