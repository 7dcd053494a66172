"""Explanations in words: which rules decided a treatment, and which rows there are, each with the line it is written on.

Sentences stand by themselves and name rules as policies do; treatments and conditions are in backticks. How they are laid
out, on a terminal or on a page, is the command line's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lakehouse.policy.explain import Access, Said, Seen
    from lakehouse.policy.model import Age, Entry, Grant, Policy
    from lakehouse.policy.treatments import Treatment

_UNITS = {"Y": "year", "M": "month", "D": "day"}


@dataclass(frozen=True)
class Sentence:
    """One reason: what it says, the id or name of the rule, and the `file:line` of it."""

    text: str
    rule: str
    where: str

    def __str__(self) -> str:
        return f"{self.text} ({self.where})" if self.where else self.text


def decided(policy: Policy, seen: Seen) -> tuple[Sentence, ...]:
    """What made a column's treatment: who grants it, which ceilings cut it, and who shows less on other rows."""
    lesser = [said for said in seen.heard if said.shown != seen.shown]
    most = [said for said in seen.heard if said.shown == seen.shown and said.granted == seen.said[0].granted]
    return (
        *(sentence for said in most for sentence in _granted(policy, seen, said, by_row=seen.varies)),
        *(
            Sentence(
                f"ceiling `{cut.ceiling.id}`: at most `{cut.ceiling.at_most}`"
                + _here(cut.ceiling.at_most, cut.at_most)
                + _unless(cut.lifted_for),
                cut.ceiling.id,
                cut.ceiling.where,
            )
            for cut in seen.cuts
        ),
        *(_on_other_rows(said) for said in lesser),
    )


def rows(access: Access) -> tuple[Sentence, ...]:
    """Which rows are seen: one sentence for each condition; they all hold. Never empty for who is not denied."""
    if access.denied is not None:
        return ()
    limits = [*_of_grants(access.grants), *_of_ceilings(access), *_of_purpose(access), *_of_time(access)]
    if not limits:
        limits = [Sentence("all rows", access.grants[0].id, access.grants[0].where)]
    purpose = access.purpose
    kept = Sentence("also rows that an erasure kept for a duty alone", purpose.name, purpose.where)
    return (*limits, kept) if purpose.legal else tuple(limits)


def age(length: Age) -> str:
    """`3 years`, `1 month`."""
    return f"{length.count} {_UNITS[length.unit]}{'' if length.count == 1 else 's'}"


def entry(written: Entry) -> str:
    """An entry of a grant as it is written: `user.name: partial(2)`."""
    subject = written.category if written.category is not None else f"{written.table}.{written.column}"
    return f"{subject}: {written.treatment}"


def _granted(policy: Policy, seen: Seen, said: Said, *, by_row: bool) -> Iterator[Sentence]:
    grant = said.grant
    on_rows = f", on rows where `{grant.rows.text}`" if by_row and grant.rows is not None else ""
    if said.entry is not None and said.basis != "default":
        lowers = f" lowers what class {_class(seen)} shows" if said.basis == "lowered" else ""
        text = f"grant `{grant.id}`: `{entry(said.entry)}`{lowers}{_here(said.entry.treatment, said.granted)}{on_rows}"
        yield Sentence(text, grant.id, said.entry.where or grant.where)
        return
    if said.entry is None:
        yield Sentence(f"grant `{grant.id}` has no entry for it{on_rows}", grant.id, grant.where)
    else:
        text = f"grant `{grant.id}`: `{entry(said.entry)}` does not reach it{on_rows}"
        yield Sentence(text, grant.id, said.entry.where or grant.where)
    default = policy.defaults[seen.sensitivity]
    where = seen.column.where if seen.raised else policy.places.get(f"classes.{seen.prefix}", "")
    text = f"class {_class(seen)} shows `{default}`{_here(default, said.granted)}"
    yield Sentence(text, seen.sensitivity.name.lower(), where)


def _class(seen: Seen) -> str:
    source = "raised by the contract" if seen.raised else f"`{seen.prefix}`"
    return f"`{seen.sensitivity.name.lower()}` ({source})"


def _here(written: Treatment, counted: Treatment) -> str:
    """A treatment that the column's type lacks counts as another."""
    return "" if written == counted else f", here `{counted}`"


def _on_other_rows(said: Said) -> Sentence:
    where = f" where `{said.grant.rows.text}`" if said.grant.rows is not None else ""
    text = f"on other rows{where} `{said.shown}`: grant `{said.grant.id}`"
    return Sentence(text, said.grant.id, said.grant.where)


def _unless(lifted_for: Sequence[str]) -> str:
    return f", unless also in {_any_of(lifted_for)}" if lifted_for else ""


def _any_of(names: Sequence[str]) -> str:
    return " or ".join(f"`{name}`" for name in names)


def _of_grants(grants: Sequence[Grant]) -> Iterator[Sentence]:
    if all(grant.rows is not None for grant in grants):
        for place, grant in enumerate(grants):
            condition = grant.rows.text if grant.rows is not None else ""
            yield Sentence(f"{'or' if place else 'only'} rows where `{condition}`", grant.id, grant.where)
    for grant in grants:
        if grant.until is not None:
            whole = "" if len(grants) == 1 else f", as far as grant `{grant.id}` goes"
            yield Sentence(f"until {grant.until}{whole}{_approved(grant)}", grant.id, grant.where)


def _approved(grant: Grant) -> str:
    given = grant.approval
    if given is None:
        return ""
    return f"; an exception that {given.approved_by} approved on {given.approved_on}, {given.ticket}"


def _of_ceilings(access: Access) -> Iterator[Sentence]:
    for cut in access.row_cuts:
        rule = cut.ceiling
        yield Sentence(f"only rows where `{rule.only_rows.text}`{_unless(cut.lifted_for)}", rule.id, rule.where)


def _of_purpose(access: Access) -> Iterator[Sentence]:
    purpose = access.purpose
    if access.consent:
        text = f"only of a `{purpose.consent}` whose consent to `{purpose.name}` is in force"
        yield Sentence(text, purpose.name, purpose.where)
    if access.aged and purpose.max_age is not None:
        text = f"only rows not older than {age(purpose.max_age)}, by `{access.table.event_time}`"
        yield Sentence(text, purpose.name, purpose.where)


def _of_time(access: Access) -> Iterator[Sentence]:
    if access.table.versioned:
        yield Sentence("only what is true now, no earlier versions", str(access.table.id), access.table.where)
