"""Trino's own rules for a policy: who may open which view, the group file, and nothing else for anybody.

The rules are complete: every section of the file-based access control is there and ends in a refusal, because a section
that is missing allows everything. Names are exact and anchored, and the first rule of tables refuses every name with `$`
(Trino's metadata tables show statistics of hidden values). What a view shows is in `compile`; putting all of it on a server
is not done here.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lakehouse.policy import reach
from lakehouse.policy.views import (
    LAKE,
    SERVE,
    Relation,
    ViewName,
    base_relation,
    consent_relation,
    copy_relation,
    view_name,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lakehouse.contract.model import Project, Table
    from lakehouse.policy.model import Policy

Rule = dict[str, Any]

#: Functions of the lake's connector that only the pipelines call.
_PROCEDURES = "flush_metadata_cache|register_table|unregister_table"


@dataclass(frozen=True)
class Accounts:
    """The service accounts: `owner` owns the views and reads the lake for them, `pipelines` build the lake's tables."""

    owner: str = "lakehouse_views"
    pipelines: str = "lakehouse_pipelines"


@dataclass(frozen=True)
class TrinoRules:
    """What Trino needs beside the views.

    Attributes:
        access: the rules of the file-based access control, JSON.
        groups: the file of the group provider, `group:member,member` by line.
    """

    access: str
    groups: str


def trino_rules(policy: Policy, project: Project, *, accounts: Accounts = Accounts()) -> TrinoRules:
    """The access rules and the group file, to the byte the same for the same policy."""
    pairs = reach.pairs(policy, project)
    readers, reads = _readers(policy, pairs), _reads(policy, pairs)
    rules: dict[str, list[Rule]] = {
        "catalogs": _catalogs(readers, accounts),
        "schemas": _schemas(accounts),
        "tables": _tables(readers, reads, accounts),
        "functions": [
            {
                "catalog": _exact("system"),
                "schema": _exact("builtin"),
                "function": ".*",
                "privileges": ["EXECUTE", "GRANT_EXECUTE"],
            },
            {"privileges": []},
        ],
        "procedures": [
            {
                **_user(accounts.pipelines),
                "catalog": _exact(LAKE),
                "schema": _exact("system"),
                "procedure": f"^({_PROCEDURES})$",
                "privileges": ["EXECUTE"],
            },
            {"privileges": []},
        ],
        # Everybody sees his own queries without a rule; other people's hold literals.
        "queries": [{"allow": ["execute"]}],
        "impersonation": [{"original_user": ".*", "new_user": ".*", "allow": False}],
        "authorization": [{"original_user": ".*", "new_user": ".*", "allow": False}],
        "system_information": [{"allow": []}],
        "system_session_properties": [{**_user(accounts.pipelines), "allow": True}, {"allow": False}],
        "catalog_session_properties": [
            {**_user(accounts.pipelines), "catalog": _exact(LAKE), "allow": True},
            {"allow": False},
        ],
    }
    return TrinoRules(json.dumps(rules, indent=1) + "\n", group_file(policy))


def group_file(policy: Policy) -> str:
    """The members of each group; a group without any has no line, the provider knows none such."""
    lines = [f"{group}:{','.join(sorted(members))}\n" for group, members in sorted(policy.groups.items()) if members]
    return "".join(lines)


def _readers(policy: Policy, pairs: Iterable[tuple[str, Table]]) -> dict[ViewName, tuple[str, ...]]:
    """Who may open each view: groups with a grant, whatever the day; the view itself tests days."""
    found: dict[ViewName, set[str]] = {}
    for purpose, table in pairs:
        groups = {group for grant in reach.grants(policy, purpose, table) for group in grant.groups}
        readers = found.setdefault(view_name(policy, purpose, table), set())
        readers.update(groups.intersection(policy.purposes[purpose].groups, policy.groups))
    return {name: tuple(sorted(found[name])) for name in sorted(found)}


def _reads(policy: Policy, pairs: Iterable[tuple[str, Table]]) -> list[Relation]:
    """The lake's relations that some view stands on."""
    found: set[Relation] = set()
    for purpose, table in pairs:
        copied = policy.purposes[purpose].isolation == "copy"
        name = view_name(policy, purpose, table)
        found.add(copy_relation(name, trino=True) if copied else base_relation(table, trino=True))
        if policy.purposes[purpose].consent is not None:
            found.add(consent_relation(trino=True))
    return sorted(found, key=str)


def _catalogs(readers: dict[ViewName, tuple[str, ...]], accounts: Accounts) -> list[Rule]:
    everyone = sorted({group for groups in readers.values() for group in groups})
    return [
        # The owner needs all of both catalogs: with less, views of its own fail for every reader but itself.
        {"user": _one_of((accounts.owner, accounts.pipelines)), "catalog": _one_of((LAKE, SERVE)), "allow": "all"},
        *([{"group": _one_of(everyone), "catalog": _exact(SERVE), "allow": "read-only"}] if everyone else []),
        {"catalog": _exact("system"), "allow": "read-only"},
        {"allow": "none"},
    ]


def _schemas(accounts: Accounts) -> list[Rule]:
    return [
        {**_user(accounts.pipelines), "catalog": _exact(LAKE), "schema": ".*", "owner": True},
        {**_user(accounts.owner), "catalog": _exact(SERVE), "schema": ".*", "owner": True},
        {"owner": False},
    ]


def _tables(readers: dict[ViewName, tuple[str, ...]], reads: Iterable[Relation], accounts: Accounts) -> list[Rule]:
    pipelines = ["SELECT", "INSERT", "DELETE", "UPDATE", "OWNERSHIP"]
    return [
        {"table": r".*\$.*", "privileges": []},
        {**_user(accounts.pipelines), "catalog": _exact(LAKE), "privileges": pipelines},
        *(
            {**_user(accounts.owner), **_named(LAKE, read.schema, read.name), "privileges": ["GRANT_SELECT"]}
            for read in reads
        ),
        # All of the catalog: it also takes away the views that must not exist any more.
        {**_user(accounts.owner), "catalog": _exact(SERVE), "privileges": ["SELECT", "OWNERSHIP"]},
        *(
            {"group": _one_of(groups), **_named(SERVE, *name), "privileges": ["SELECT"]}
            for name, groups in readers.items()
            if groups
        ),
        # Only his own queries are shown to a reader there.
        {**_named("system", "runtime", "queries"), "privileges": ["SELECT"]},
        {"catalog": _exact("system"), "schema": _exact("jdbc"), "table": ".*", "privileges": ["SELECT"]},
        {"privileges": []},
    ]


def _named(catalog: str, schema: str, table: str) -> Rule:
    return {"catalog": _exact(catalog), "schema": _exact(schema), "table": _exact(table)}


def _user(name: str) -> Rule:
    return {"user": _exact(name)}


def _exact(name: str) -> str:
    return f"^{re.escape(name)}$"


def _one_of(names: Iterable[str]) -> str:
    return f"^({'|'.join(re.escape(name) for name in names)})$"
