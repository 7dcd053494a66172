"""Dagster on top of the platform: assets, checks, sensors and automation made from contracts.

Only here and above is dagster imported. Nothing here names a domain: the project's `assets` and `resources` packages are
loaded by name from the project root (`build`), and the work of an asset is done by the packages below. Loading reads
contracts only; tables are opened when an asset runs.
"""
