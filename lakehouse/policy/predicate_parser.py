"""Reads row predicates: text in, a tree of `policy.predicate_syntax` out, or one error with the place.

A parser of its own for a language of its own. A general SQL parser accepts far more and quietly rewrites what it reads
(comments, casts, escapes, `a = b = c`), so what it lets through would have to be guarded twice; here everything that is
not written down is an error. Types are not looked at.

Literals: text `'it''s'` (a backslash is a backslash), exact numbers `12`, `-0.5`, floating numbers with an exponent
`1.5e0`, `DATE '2020-01-31'`, `TIMESTAMP '2020-01-31 12:00:00'` (UTC, up to microseconds), `TRUE`, `FALSE`.
"""

from __future__ import annotations

import datetime as dt
import math
import re
import unicodedata
from dataclasses import dataclass
from decimal import Decimal
from typing import cast

from lakehouse.policy.predicate_syntax import (
    Absence,
    ColumnName,
    Comparison,
    Condition,
    Conjunction,
    Constant,
    Disjunction,
    Likeness,
    Membership,
    Negation,
    Operand,
    Operator,
    Range,
    Today,
    Truth,
    plain,
)

#: Far beyond what people write; keeps evaluation and SQL of bounded size.
MOST_CHARACTERS, MOST_DEPTH = 10_000, 30
#: Digits of an exact number: those of the widest decimal column.
MOST_DIGITS = 38

_TOKEN = re.compile(
    r"(?P<blank>[ \t\r\n]+)"
    r"|(?P<text>'(?:[^']|'')*')"
    r"|(?P<number>[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)"
    r"|(?P<word>[A-Za-z_][A-Za-z0-9_]*)"
    r"|(?P<sign><>|<=|>=|[=<>(),-])"
)
_WORDS = frozenset({"AND", "OR", "NOT", "IN", "BETWEEN", "LIKE", "IS", "NULL", "TRUE", "FALSE", "CURRENT_DATE"})
_OPERATORS = frozenset({"=", "<>", "<", "<=", ">", ">="})
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_TIMESTAMP = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,6})?", re.ASCII)
_GRAMMAR = "comparison, IN, BETWEEN, LIKE, IS NULL, AND, OR, NOT and parentheses over columns and literals"
#: What people try first, and what to write instead.
_INSTEAD = {
    "!=": "write `<>`",
    "==": "write `=`",
    '"': "names are written without quotes, text in single quotes",
    "--": "comments stand in the yaml file",
    "/*": "comments stand in the yaml file",
    "::": "there are no casts: write the literal in the column's type",
    ";": "a predicate is one condition",
    ".": "a column is named without its table; a number starts with a digit",
}


class PredicateError(ValueError):
    """A predicate that is not of the language."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    place: int  # from 1

    @property
    def keyword(self) -> str | None:
        upper = self.text.upper()
        if self.kind == "sign":
            return self.text
        return upper if self.kind == "word" and upper in _WORDS else None


def _tokens(text: str) -> list[_Token]:
    if len(text) > MOST_CHARACTERS:
        raise PredicateError(f"the predicate is longer than {MOST_CHARACTERS:,} characters")
    tokens: list[_Token] = []
    at = 0
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None or text.startswith("--", at):
            raise _unreadable(text, at)
        if found.lastgroup == "number" and re.match(r"[A-Za-z0-9_.]", text[found.end() : found.end() + 1]):
            raise PredicateError(f"the number at character {at + 1} does not end where it should", hint=_NUMBERS)
        if found.lastgroup == "word" and text[found.end() : found.end() + 1] == "'" and found[0].upper() not in _WORDS:
            raise PredicateError(
                f"text with a prefix `{found[0]}'…'` at character {at + 1} is not known here", hint=_TEXTS
            )
        if found.lastgroup != "blank":
            tokens.append(_Token(cast("str", found.lastgroup), found[0], at + 1))
        at = found.end()
    return [*tokens, _Token("end", "", len(text) + 1)]


_TEXTS = "text is written `'it''s'`; a date has a blank, `DATE '2020-01-31'`"
_NUMBERS = "numbers are written `12`, `0.5` or, floating, `1.5e0`"


def _unreadable(text: str, at: int) -> PredicateError:
    if text[at] == "'":
        return PredicateError(f"the text that starts at character {at + 1} has no end", hint="close it with `'`")
    for written, hint in _INSTEAD.items():
        if text.startswith(written, at):
            return PredicateError(f"`{written}` at character {at + 1} is not known here", hint=hint)
    shown = text[at] if text[at].isprintable() else f"U+{ord(text[at]):04X}"
    return PredicateError(f"`{shown}` at character {at + 1} is not known here", hint=f"a predicate has {_GRAMMAR}")


class _Parser:
    """Recursive descent; OR binds loosest, then AND, NOT, comparisons."""

    def __init__(self, text: str) -> None:
        self.tokens = _tokens(text)
        self.at = 0
        self.depth = 0

    @property
    def next(self) -> _Token:
        return self.tokens[self.at]

    def take(self, *keywords: str) -> str | None:
        """The next token's keyword, consumed, when it is one of these."""
        keyword = self.next.keyword
        if keyword not in keywords:
            return None
        self.at += 1
        return keyword

    def need(self, keyword: str) -> None:
        if self.take(keyword) is None:
            raise self.unexpected(f"`{keyword}`")

    def unexpected(self, wanted: str, *, hint: str | None = None) -> PredicateError:
        token = self.next
        found = f"`{token.text}` at character {token.place}" if token.kind != "end" else "the end"
        if hint is None and token.kind == "word" and self.tokens[self.at + 1].text == "(":
            hint = "there are no functions"
        return PredicateError(f"expected {wanted}, found {found}", hint=hint)

    def whole(self) -> Condition:
        condition = self.condition(self.disjunction())
        if self.next.kind != "end":
            raise self.unexpected("`AND`, `OR` or the end")
        return condition

    def condition(self, parsed: Condition | Operand) -> Condition:
        """What stands where a condition must: an operand by itself is one when it is boolean."""
        return Truth(parsed) if isinstance(parsed, ColumnName | Constant | Today) else parsed

    def deeper(self) -> None:
        self.depth += 1
        if self.depth > MOST_DEPTH:
            raise PredicateError(f"nested deeper than {MOST_DEPTH} levels at character {self.next.place}")

    def disjunction(self) -> Condition | Operand:
        first = self.conjunction()
        if self.next.keyword != "OR":
            return first
        parts = [self.condition(first)]
        while self.take("OR"):
            parts.append(self.condition(self.conjunction()))
        return Disjunction(_flat(parts, Disjunction))

    def conjunction(self) -> Condition | Operand:
        first = self.negation()
        if self.next.keyword != "AND":
            return first
        parts = [self.condition(first)]
        while self.take("AND"):
            parts.append(self.condition(self.negation()))
        return Conjunction(_flat(parts, Conjunction))

    def negation(self) -> Condition | Operand:
        if not self.take("NOT"):
            return self.comparison()
        self.deeper()
        inner = self.condition(self.negation())
        self.depth -= 1
        return Negation(inner)

    def comparison(self) -> Condition | Operand:
        place = self.next
        left = self.primary()
        if not isinstance(left, ColumnName | Constant | Today):
            if self.next.keyword in _OPERATORS or self.next.keyword in {"IN", "BETWEEN", "LIKE", "IS", "NOT"}:
                raise PredicateError(
                    f"the condition at character {place.place} cannot be compared with something",
                    hint="join conditions with `AND`, `OR` and `NOT`",
                )
            return left
        operator = self.take(*_OPERATORS)
        if operator:
            return Comparison(cast("Operator", operator), left, self.operand())
        if self.take("IS"):
            negated = self.take("NOT")
            self.need("NULL")
            return _negated(Absence(left), negated)
        negated = self.take("NOT")
        found = self.test_of(left)
        if found is None and negated:
            raise self.unexpected("`IN`, `BETWEEN` or `LIKE`")
        return left if found is None else _negated(found, negated)

    def test_of(self, left: Operand) -> Condition | None:
        """What stands between an operand's optional NOT and the next AND or OR."""
        if self.take("IN"):
            return Membership(left, self.items())
        if self.take("BETWEEN"):
            low = self.operand()
            self.need("AND")
            return Range(left, low, self.operand())
        return Likeness(left, self.pattern()) if self.take("LIKE") else None

    def items(self) -> tuple[Operand, ...]:
        self.need("(")
        items = [self.operand()]
        while self.take(","):
            items.append(self.operand())
        self.need(")")
        return tuple(items)

    def pattern(self) -> str:
        if self.next.kind != "text":
            raise self.unexpected("a text, the pattern")
        value = _text(self.next)
        self.at += 1
        return value

    def operand(self) -> Operand:
        found = self.primary()
        if isinstance(found, ColumnName | Constant | Today):
            return found
        raise self.unexpected("a column or literal before it", hint="conditions cannot be compared")

    def primary(self) -> Condition | Operand:
        if self.take("("):
            self.deeper()
            inner = self.disjunction()
            self.need(")")
            self.depth -= 1
            return inner
        token = self.next
        if token.kind == "number" or token.keyword == "-":
            return self.number(negative=self.take("-") is not None)
        if token.kind == "word" and token.keyword is None:
            return self.named()
        if token.kind == "text":
            self.at += 1
            return Constant("text", _text(token))
        keyword = self.take("TRUE", "FALSE", "CURRENT_DATE")
        if keyword is None:
            hint = "NULL is no literal: write `IS NULL`" if token.keyword == "NULL" else None
            raise self.unexpected("a column or a literal", hint=hint)
        return Today() if keyword == "CURRENT_DATE" else Constant("boolean", keyword == "TRUE")

    def named(self) -> Operand:
        """A column, or a literal that starts with the name of its type."""
        token, following = self.next, self.tokens[self.at + 1]
        kind = token.text.upper()
        if following.text == "(":
            raise PredicateError(
                f"there are no functions: `{token.text}` at character {token.place}", hint=f"a predicate has {_GRAMMAR}"
            )
        self.at += 1
        if following.kind != "text" or kind not in {"DATE", "TIMESTAMP"}:
            return ColumnName(token.text)
        self.at += 1
        return _date(following) if kind == "DATE" else _timestamp(following)

    def number(self, *, negative: bool) -> Constant:
        token = self.next
        if token.kind != "number":
            raise self.unexpected("a number after `-`", hint="there is no arithmetic")
        self.at += 1
        written = f"-{token.text}" if negative else token.text
        if "e" in written.lower():
            floating = float(written)
            if not math.isfinite(floating):
                raise PredicateError(f"the number at character {token.place} is too great for a floating number")
            return Constant("floating", floating)
        exact = Decimal(written)
        if sum(map(str.isdigit, plain(exact).lstrip("-0"))) > MOST_DIGITS:
            raise PredicateError(f"the number at character {token.place} has more than {MOST_DIGITS} digits")
        return Constant("number", exact)


def _flat(parts: list[Condition], kind: type[Conjunction | Disjunction]) -> tuple[Condition, ...]:
    """Joins of one kind within each other are one join: parentheses there say nothing."""
    return tuple(inner for part in parts for inner in (part.conditions if isinstance(part, kind) else (part,)))


def _negated(condition: Condition, negated: str | None) -> Condition:
    return Negation(condition) if negated else condition


def _text(token: _Token) -> str:
    value = token.text[1:-1].replace("''", "'")
    for character in value:
        # Engines end texts at NUL, and nobody sees the others in a review; joiners belong to scripts and emoji.
        if unicodedata.category(character) in {"Cc", "Cf", "Cs", "Zl", "Zp"} and character not in "\u200c\u200d":
            raise PredicateError(
                f"the text at character {token.place} holds the invisible character U+{ord(character):04X}"
            )
    return value


def _date(token: _Token) -> Constant:
    value = _text(token)
    try:
        if _DATE.fullmatch(value):
            return Constant("date", dt.date.fromisoformat(value))
    except ValueError:
        pass
    raise PredicateError(f"`{value}` at character {token.place} is no date", hint="write `DATE '2020-01-31'`")


def _timestamp(token: _Token) -> Constant:
    value = _text(token)
    try:
        if _TIMESTAMP.fullmatch(value):
            whole, _, fraction = value.partition(".")
            moment = dt.datetime.fromisoformat(whole).replace(tzinfo=dt.UTC, microsecond=int(fraction.ljust(6, "0")))
            return Constant("timestamp", moment)
    except ValueError:
        pass
    hint = "write `TIMESTAMP '2020-01-31 12:00:00'`, in UTC"
    raise PredicateError(f"`{value}` at character {token.place} is no timestamp", hint=hint)


def read(text: str) -> Condition:
    """The tree of a predicate's text.

    Raises:
        PredicateError: the text is outside of the language.
    """
    return _Parser(text).whole()
