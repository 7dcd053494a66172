"""The matrix of one table on the page of `explain-access --html`: columns down, purposes and groups across.

Each cell says the treatment in a word and a colour, and refers by number to the rules that decided it, which stand below,
so that nothing is lost on paper; hovering shows the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lakehouse.cli import words
from lakehouse.cli.page_parts import make, name, prose, wide
from lakehouse.policy import explain_words, reach
from lakehouse.policy.explain import denials, people
from lakehouse.policy.treatments import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from xml.etree.ElementTree import Element

    from lakehouse.contract.model import Column, Table
    from lakehouse.policy.explain import Access, Seen
    from lakehouse.policy.explain_words import Sentence
    from lakehouse.policy.model import Policy

#: What is shown, its style, and what it means for people.
LEGEND = (
    ("hide", "hide", "nothing, not even whether there is a value"),
    ("redact", "redact", "*** instead of the text: only whether there is one"),
    ("year, month", "part", "the year or the month of a day"),
    ("prefix(n), partial(n)", "part", "the first n characters of a text; the last n, never more than half of it"),
    ("bucket(n)", "part", "the number rounded down to a multiple of n"),
    (
        "token",
        "token",
        "a stand-in that is the same for the same value: it can be matched and counted, not read; still personal",
    ),
    ("clear", "token", "the stand-in, of a column that holds nothing else; still personal"),
    ("clear", "clear", "the value, of a column that is not personal"),
    ("clear", "open", "the value, of a personal column"),
)


def matrix(
    policy: Policy, table: Table, accesses: Sequence[Access], *, column: Column | None, everybody: bool
) -> Element:
    """A table's section: who sees which column how, of which rows, by which rules, and who sees nothing.

    `everybody`: the explanations are for all groups and purposes, so that nobody else sees anything.
    """
    section = make("section", make("h3", str(table.id)), class_="table", id=anchor(table))
    if table.description:
        section.append(make("p", prose(table.description), class_="soft"))
    seeing = [access for access in accesses if access.denied is None]
    if seeing:
        rules = _Rules(anchor(table))
        section.append(_matrix(policy, table, seeing, rules, column))
        section.extend([make("h4", "Decided by"), rules.listed(), make("h4", "Granted because"), _reasons(seeing)])
    section.append(_denied(policy, accesses, everybody=everybody))
    section.append(make("p", make("a", "all tables", href="#tables"), class_="up"))
    return section


def anchor(table: Table) -> str:
    """The section's name within the page."""
    return f"table-{table.id}"


def style(table: Table, seen: Seen) -> str:
    """The style of a treatment: personal values in clear stand out, tokens that are shown as they are do not."""
    match seen.shown.kind:
        case Kind.HIDE | Kind.REDACT | Kind.TOKEN:
            return seen.shown.kind.value
        case Kind.CLEAR if reach.is_token(table, seen.column):
            return "token"
        case Kind.CLEAR:
            return "open" if seen.column.personal else "clear"
        case _:
            return "part"


class _Rules:
    """The numbered reasons of one table: equal reasons have one number."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._numbers: dict[tuple[Sentence, ...], int] = {}

    def reference(self, sentences: tuple[Sentence, ...]) -> Element:
        number = self._numbers.setdefault(sentences, len(self._numbers) + 1)
        link = make("a", str(number), href=f"#{self._prefix}-{number}", aria_label=f"rule {number}")
        return make("sup", link)

    def listed(self) -> Element:
        items = [
            make("li", *_joined(sentences), id=f"{self._prefix}-{number}")
            for sentences, number in self._numbers.items()
        ]
        return make("ol", *items, class_="rules")


def _joined(sentences: Sequence[Sentence]) -> Iterator[Element | str]:
    for place, sentence in enumerate(sentences):
        yield "; " if place else ""
        yield _sentence(sentence)


def _sentence(sentence: Sentence) -> Element:
    where = [" ", name(sentence.where, "span", class_="where")] if sentence.where else []
    return make("span", prose(sentence.text), *where)


def _matrix(policy: Policy, table: Table, seeing: Sequence[Access], rules: _Rules, only: Column | None) -> Element:
    body = make("tbody", _rows(table, seeing, rules))
    for place, column in enumerate(table.columns):
        if only is None or column == only:
            body.append(_line(policy, table, [access.columns[place] for access in seeing], rules))
    caption = f"{table.id}: what is shown of each column, at most"
    return wide(make("table", make("caption", caption), _head(policy, seeing), body, class_="matrix"), caption)


def _head(policy: Policy, seeing: Sequence[Access]) -> Element:
    purposes: dict[str, int] = {}
    for access in seeing:
        purposes[access.purpose.name] = purposes.get(access.purpose.name, 0) + 1
    fixed = [make("th", title, scope="col", rowspan="2") for title in ("Column", "Category", "Class")]
    above = [
        make("th", name(purpose, "span"), scope="colgroup", colspan=str(count)) for purpose, count in purposes.items()
    ]
    below = [
        make(
            "th",
            " and ".join(access.groups),
            make("small", words.plural(people(policy, access.groups), "person", "people")),
            scope="col",
        )
        for access in seeing
    ]
    return make("thead", make("tr", *fixed, *above), make("tr", *below))


def _rows(table: Table, seeing: Sequence[Access], rules: _Rules) -> Element:
    """Which rows, for each reader."""
    cells: list[Element] = []
    for access in seeing:
        sentences = explain_words.rows(access)
        items = [make("li", prose(each.text), " ", rules.reference((each,))) for each in sentences]
        cells.append(make("td", make("ul", *items)))
    entity = f"each about one {table.entity.type}" if table.entity is not None else "about nobody in particular"
    return make("tr", make("th", "Rows", make("small", entity), scope="row", colspan="3"), *cells)


def _line(policy: Policy, table: Table, cells: Sequence[Seen], rules: _Rules) -> Element:
    column, sensitivity = cells[0].column, cells[0].sensitivity.name.lower()
    about = [make("small", prose(column.description))] if column.description else []
    line = make(
        "tr",
        make("th", name(column.name, "span"), *about, scope="row"),
        make("td", name(column.category)),
        make("td", sensitivity, class_="restricted" if sensitivity == "restricted" else ""),
    )
    for seen in cells:
        sentences = explain_words.decided(policy, seen)
        shown = make(
            "td",
            f"{seen.shown}{' at most' if seen.varies else ''} ",
            rules.reference(sentences),
            class_=f"shown {style(table, seen)}",
            title="; ".join(map(str, sentences)).replace("`", ""),
        )
        line.append(shown)
    return line


def _reasons(seeing: Sequence[Access]) -> Element:
    """Why each grant was given, in its owner's words."""
    grants = {grant.id: grant for access in seeing for grant in access.grants}
    items = [
        make("li", name(grant.id), f": {grant.why} ", name(grant.where, "span", class_="where"))
        for grant in grants.values()
    ]
    return make("ul", *items, class_="rules")


def _denied(policy: Policy, accesses: Sequence[Access], *, everybody: bool) -> Element:
    """Who sees nothing: only what is not plain is told by group."""
    near = [denial for denial in denials(policy, accesses) if denial.why.startswith("`")]
    said = [make("div", f"{' and '.join(denial.groups)}, ", prose(denial.why)) for denial in near]
    anybody = any(access.denied is None for access in accesses)
    if everybody:
        plain = "Nobody else sees anything of it." if anybody else "Nobody sees anything of it."
        said.insert(0, make("p", make("strong", plain)))
    elif not anybody:
        said.insert(0, make("p", make("strong", "Denied to whom this page is about.")))
    return make("div", *said)
