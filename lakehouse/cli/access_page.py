"""The page of `explain-access --html`: who sees what, for a data protection officer to read, print and keep.

First what holds for everything: purposes, groups, ceilings, the legend; then a matrix for each table (`access_matrix`).
Everything on it is the policy's; people are counted, never named.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from lakehouse.cli import words
from lakehouse.cli.access_matrix import LEGEND, anchor, matrix, style
from lakehouse.cli.page_parts import document, make, name, prose, table
from lakehouse.policy import explain_words

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from xml.etree.ElementTree import Element

    from lakehouse.contract.model import Column, Table
    from lakehouse.policy.explain import Access, Question
    from lakehouse.policy.model import Ceiling, Policy, Purpose, RowCeiling, Unless

    Told = Sequence[tuple[Table, Sequence[Access]]]

_NOTES = (
    "What is not granted is denied. Tables of the raw tier and rows in quarantine cannot be granted.",
    """Each column of a matrix is one group by itself, for one purpose. Who is in several groups of a purpose sees the most
    that any of them is shown; where a rule does not hold for members of another group, the rule says so.""",
    "A purpose sees no row that an erasure kept for a duty alone, unless it is marked as legal.",
    """This is what the rules say. It does not show what was read, and it does not bind whoever can read the lake's files
    directly, such as its operators.""",
)


def page(policy: Policy, told: Told, question: Question, *, column: Column | None, project: str) -> str:
    """The whole page. `told` has for each table its explanations; with `column` only that one is shown."""
    title = f"Who sees what: {project}"
    everybody = not question.groups and question.purpose is None
    return document(
        title,
        make("h1", title),
        make("p", _scope(policy, told, question), class_="soft"),
        make("ul", *(make("li", note) for note in _NOTES), class_="notes"),
        make("h2", "How to read a cell", id="legend"),
        _legend(),
        make("h2", "Purposes", id="purposes"),
        _purposes(policy, told, question),
        make("h2", "Groups", id="groups"),
        _groups(policy),
        make("h2", "Classes", id="classes"),
        _classes(policy),
        make("h2", "Ceilings: what no grant lifts", id="ceilings"),
        _ceilings(policy),
        make("h2", "Tables", id="tables"),
        _contents(told),
        *(matrix(policy, each, found, column=column, everybody=everybody) for each, found in told),
    )


def _scope(policy: Policy, told: Told, question: Question) -> str:
    said = [f"As the project's files say on {question.day} (UTC)", words.plural(len(told), "table")]
    if question.groups:
        said.append(f"only for who is in {' and '.join(question.groups)}, all groups taken together")
    if question.purpose is not None:
        said.append(f"only for {question.purpose}")
    if not question.groups and question.purpose is None:
        members = {member for members in policy.groups.values() for member in members}
        said += [words.plural(len(policy.purposes), "purpose"), words.plural(len(policy.groups), "group")]
        said.append(words.plural(len(members), "person", "people"))
    return f"{', '.join(said)}."


def _legend() -> Element:
    lines = [(make("span", shown, class_=way), meaning) for shown, way, meaning in LEGEND]
    made = table(["Shown as", "What is seen"], lines, caption="Treatments, from nothing to everything")
    for row in made.iter("tr"):
        for cell in row.findall("th"):
            cell.set("class", next((mark.get("class", "") for mark in cell.findall("span")), ""))
    return made


def _purposes(policy: Policy, told: Told, question: Question) -> Element:
    lines: list[list[Element | str]] = []
    for purpose in policy.purposes.values():
        seen = [access for _, accesses in told for access in accesses if access.purpose == purpose]
        if question.purpose in {None, purpose.name} and (seen or not question.groups):
            about = make("span", name(purpose.name), make("small", prose(purpose.description)))
            lines.append([about, *_facts(policy, purpose), *_reach(seen)])
    headings = ["Purpose", "Legal basis", "Consent", "Age of rows", "Groups", "Tables", "Personal columns seen"]
    return table(headings, lines, caption="Why people read; a purpose inherits nothing from another")


def _facts(policy: Policy, purpose: Purpose) -> Iterator[Element | str]:
    marks = [mark for mark, held in (("legal", purpose.legal), ("stewardship", purpose.stewardship)) if held]
    marks += ["read from copies"] if purpose.isolation == "copy" else []
    vocabulary = [word for word in (purpose.data_use, purpose.dpv) if word]
    yield make(
        "span",
        purpose.legal_basis.replace("_", " "),
        *(make("small", f"marked: {mark}") for mark in marks),
        *(make("small", name(word)) for word in vocabulary),
    )
    yield f"of the {purpose.consent}" if purpose.consent else "not required"
    yield f"at most {explain_words.age(purpose.max_age)}" if purpose.max_age else "any"
    counted = (f"{group} ({words.plural(len(policy.groups[group]), 'person', 'people')})" for group in purpose.groups)
    yield make("span", *(make("div", each) for each in counted))


def _reach(seen: Sequence[Access]) -> Iterator[Element | str]:
    """How many tables are read, and how many of their personal columns in which way, at most by any group."""
    granted = [access for access in seen if access.denied is None]
    yield str(len({access.table.id for access in granted}))
    most = Counter(_most(granted).values())
    ways = (
        ("open", "clear"),
        ("token", "as token"),
        ("part", "in part"),
        ("redact", "redacted"),
        ("hide", "hidden"),
    )
    yield make("span", *(make("div", f"{most[way]} {named}") for way, named in ways if most[way]))


def _most(granted: Sequence[Access]) -> dict[tuple[str, str], str]:
    order = ("hide", "redact", "part", "token", "open")
    most: dict[tuple[str, str], str] = {}
    for access in granted:
        for seen in access.columns:
            if seen.column.personal:
                key, way = (str(access.table.id), seen.column.name), style(access.table, seen)
                most[key] = max(most.get(key, "hide"), way, key=order.index)
    return most


def _groups(policy: Policy) -> Element:
    lines: list[list[Element | str]] = []
    rules = (*policy.ceilings, *policy.row_ceilings)
    for group, members in policy.groups.items():
        uses = [purpose.name for purpose in policy.purposes.values() if group in purpose.groups]
        lifts = [rule.id for rule in rules if rule.unless is not None and group in rule.unless.groups]
        lines.append([group, str(len(members)), ", ".join(uses) or "none", ", ".join(lifts) or "none"])
    return table(["Group", "People", "May use", "Escapes"], lines, caption="Who reads, in groups")


def _classes(policy: Policy) -> Element:
    lines: list[list[Element | str]] = []
    for sensitivity, default in policy.defaults.items():
        of_class = [prefix for prefix, found in policy.classes.items() if found == sensitivity]
        categories = make("span", *(make("div", name(prefix)) for prefix in of_class))
        lines.append([sensitivity.name.lower(), make("span", name(str(default))), categories])
    caption = "From a column's category: the longest that is listed counts, and a contract may raise it"
    return table(["Class", "Shown without an entry in a grant", "Categories"], lines, caption=caption)


def _ceilings(policy: Policy) -> Element:
    lines: list[list[Element | str]] = []
    for rule in policy.ceilings:
        at_most = prose(f"at most `{rule.at_most}`")
        lines.append([_named(rule), _covered(rule), at_most, _unless(rule.unless), rule.why])
    for rule in policy.row_ceilings:
        only = prose(f"only rows where `{rule.only_rows.text}`")
        lines.append([_named(rule), _covered(rule), only, _unless(rule.unless), rule.why])
    if not lines:
        return make("p", "There is none.")
    return table(["Ceiling", "Covers", "Shows", "Except", "Why"], lines, caption="They hold whatever is granted")


def _named(rule: Ceiling | RowCeiling) -> Element:
    origin = "platform" if rule.domain is None else f"domain {rule.domain}"
    return make("span", name(rule.id), make("small", f"{origin}, ", name(rule.where, "span")))


def _covered(rule: Ceiling | RowCeiling) -> Element:
    parts = [f"category `{each}`" for each in getattr(rule, "categories", ())]
    parts += [f"tables `{each}`" for each in rule.tables]
    parts += [f"with column `{each}`" for each in getattr(rule, "having", ())]
    return make("span", *(make("div", prose(part)) for part in parts))


def _unless(unless: Unless | None) -> Element | str:
    if unless is None:
        return "nobody"
    parts = [f"groups {', '.join(unless.groups)}"] if unless.groups else []
    parts += [f"purposes {', '.join(unless.purposes)}"] if unless.purposes else []
    return " reading for ".join(parts)


def _contents(told: Told) -> Element:
    items = [
        make("li", name(str(each.id), "a", href=f"#{anchor(each)}"), f": {_readable(accesses)}")
        for each, accesses in told
    ]
    return make("ul", *items, class_="contents")


def _readable(accesses: Sequence[Access]) -> str:
    count = sum(access.denied is None for access in accesses)
    return words.plural(count, "reader") if count else "nobody"
