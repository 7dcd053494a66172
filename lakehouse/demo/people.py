"""Invented people and the entities they are: names, addresses, numbers, and the ids that files know them by.

Nobody real: phones come from the ranges set aside for drama, mail addresses from reserved domains, national ids from a
prefix that is never issued, account numbers from a bank code that does not exist (their check digits are right). The
same seed and index is always the same person, whichever columns are asked for.
"""

from __future__ import annotations

import datetime as dt
import json
import unicodedata
import zlib
from dataclasses import dataclass, field
from functools import cache, cached_property
from importlib import resources
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from lakehouse.demo import values

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy.typing as npt

#: category (or the nearest one above it) -> what of a person it shows
_SHOWN = {
    "user": "code",
    "user.name": "name",
    "user.name.first": "given",
    "user.name.last": "family",
    "user.contact": "email",
    "user.contact.email": "email",
    "user.contact.phone_number": "phone",
    "user.contact.fax_number": "phone",
    "user.contact.address": "address",
    "user.contact.address.street": "address",
    "user.contact.address.city": "city",
    "user.contact.address.state": "city",
    "user.contact.address.postal_code": "postcode",
    "user.contact.address.country": "country",
    "user.demographic.date_of_birth": "birth_date",
    "user.demographic.gender": "gender",
    "user.government_id": "national_id",
    "user.financial": "account",
    "user.device.ip_address": "ip_address",
    "user.unique_id": "code",
}
_BANK = "TEST"
_DAYS_PER_YEAR = 365.25


def child(seed: int, *names: str) -> np.random.Generator:
    """A generator of its own for a named purpose, so that asking for one column does not change another."""
    return np.random.default_rng([seed, *(zlib.crc32(name.encode()) for name in names)])


def shown_by(category: str) -> str | None:
    """What of a person a column of that category shows; None when the category is not about a person's identity."""
    known = category
    while known:
        if known in _SHOWN:
            return _SHOWN[known] if known != "user" or category == "user" else None
        known = known.rpartition(".")[0]
    return None


@cache
def _names() -> Mapping[str, list[str]]:
    return json.loads(resources.files("lakehouse.demo").joinpath("names.json").read_text(encoding="utf-8"))


def _plain(name: str) -> str:
    spelled = name.translate(str.maketrans({"ß": "ss", "ø": "o", "Ø": "O", "ł": "l", "Ł": "L", "Þ": "Th", "ð": "d"}))
    letters = unicodedata.normalize("NFKD", spelled).encode("ascii", "ignore").decode()
    return "".join(letter for letter in letters.lower() if letter.isalnum())


@dataclass(frozen=True)
class People:
    """`count` people; `column` shows one thing of some of them."""

    seed: int
    count: int
    today: dt.date

    def column(self, shown: str, indices: npt.NDArray[np.int64]) -> pl.Series:
        """One thing (`name`, `email`, `birth_date`, …) of the people at the indices."""
        return self._all(shown).gather(pl.Series(indices))

    def _all(self, shown: str) -> pl.Series:
        if shown not in self._made:
            self._made[shown] = self._makers[shown](child(self.seed, "people", shown))
        return self._made[shown]

    @cached_property
    def _made(self) -> dict[str, pl.Series]:
        return {}

    @property
    def _makers(self) -> Mapping[str, Callable[[np.random.Generator], pl.Series]]:
        return {
            "given": lambda rng: values.pick(_names()["given"], self._drawn(rng, "given")),
            "family": lambda rng: values.pick(_names()["family"], self._drawn(rng, "family")),
            "name": lambda _: values.joined([self._all("given"), self._all("family")], separator=" "),
            "email": lambda _: self._emails(),
            "phone": self._phones,
            "address": self._addresses,
            "city": lambda rng: values.pick(_names()["city"], self._drawn(rng, "city")),
            "postcode": self._postcodes,
            "country": lambda rng: values.pick(_names()["country"], self._drawn(rng, "country")),
            "birth_date": self._birth_dates,
            "gender": lambda rng: values.choice(rng, self.count, {"female": 0.49, "male": 0.49, "other": 0.02}),
            "national_id": self._national_ids,
            "account": self._accounts,
            "ip_address": self._addresses_of_devices,
            "code": lambda rng: self._digits(rng, 10),
        }

    def _drawn(self, rng: np.random.Generator, pool: str) -> npt.NDArray[np.int64]:
        return rng.integers(0, len(_names()[pool]), self.count)

    def _digits(self, rng: np.random.Generator, width: int) -> pl.Series:
        return pl.Series(rng.integers(0, 10**width, self.count)).cast(pl.String).str.zfill(width)

    def _emails(self) -> pl.Series:
        names = _names()
        given = values.pick([_plain(name) for name in names["given"]], self._index_of("given"))
        family = values.pick([_plain(name) for name in names["family"]], self._index_of("family"))
        frame = pl.DataFrame({"local": values.joined([given, family], separator=".")})
        turn = pl.int_range(pl.len()).over("local") + 1
        number = pl.when(turn > 1).then(turn.cast(pl.String)).otherwise(pl.lit(""))
        local = frame.select(pl.concat_str("local", number)).to_series()
        # The domain follows the name, so that the running number keeps addresses apart.
        return values.joined(
            [local, values.pick(names["mail"], self._index_of("family") % len(names["mail"]))], separator="@"
        )

    def _index_of(self, part: str) -> npt.NDArray[np.int64]:
        return self._drawn(child(self.seed, "people", part), part)

    def _phones(self, rng: np.random.Generator) -> pl.Series:
        return values.joined([values.pick(_names()["phone"], self._drawn(rng, "phone")), self._digits(rng, 3)])

    def _addresses(self, rng: np.random.Generator) -> pl.Series:
        number = pl.Series(rng.integers(1, 240, self.count)).cast(pl.String)
        street = values.joined([number, values.pick(_names()["street"], self._drawn(rng, "street"))], separator=" ")
        city = values.joined([self._all("city"), self._all("postcode")], separator=" ")
        return values.joined([street, city], separator=", ")

    def _postcodes(self, rng: np.random.Generator) -> pl.Series:
        area = values.pick(_names()["area"], self._index_of("city"))
        outward = values.joined([area, pl.Series(rng.integers(1, 20, self.count)).cast(pl.String)])
        letters = values.pick(list("ABDEFGHJLNPQRSTUWXYZ"), rng.integers(0, 20, self.count))
        last = values.pick(list("ABDEFGHJLNPQRSTUWXYZ"), rng.integers(0, 20, self.count))
        inward = values.joined([pl.Series(rng.integers(0, 10, self.count)).cast(pl.String), letters, last])
        return values.joined([outward, inward], separator=" ")

    def _birth_dates(self, rng: np.random.Generator) -> pl.Series:
        years = np.clip(rng.normal(46, 16, self.count), 18, 95)
        last = (self.today - dt.date(1970, 1, 1)).days
        days = (last - years * _DAYS_PER_YEAR).astype(np.int64)
        return values.instants(days * 86_400, None, date_only=True)

    def _national_ids(self, rng: np.random.Generator) -> pl.Series:
        suffix = values.pick(list("ABCD"), rng.integers(0, 4, self.count))
        return values.joined([pl.Series(["QQ"] * self.count), self._digits(rng, 6), suffix])

    def _accounts(self, rng: np.random.Generator) -> pl.Series:
        """IBAN-shaped: `GB`, check digits by ISO 7064, a bank code nobody has, sort code, account number."""
        sort_code, account = rng.integers(0, 10**6, self.count), rng.integers(0, 10**8, self.count)
        bank = int("".join(str(ord(letter) - 55) for letter in _BANK))
        remainder = (bank * pow(10, 14, 97) + sort_code * pow(10, 8, 97) + account) % 97
        checksum = 98 - (remainder * pow(10, 6, 97) + int("161100")) % 97
        parts = [pl.Series(checksum).cast(pl.String).str.zfill(2), pl.Series([_BANK] * self.count)]
        parts.append(pl.Series(sort_code).cast(pl.String).str.zfill(6))
        parts.append(pl.Series(account).cast(pl.String).str.zfill(8))
        return values.joined([pl.Series(["GB"] * self.count), *parts])

    def _addresses_of_devices(self, rng: np.random.Generator) -> pl.Series:
        nets = values.pick(["192.0.2.", "198.51.100.", "203.0.113."], rng.integers(0, 3, self.count))
        return values.joined([nets, pl.Series(rng.integers(1, 255, self.count)).cast(pl.String)])


@dataclass(frozen=True)
class Reference:
    """What a foreign key can name: how many there are, the keys at some indices, and which ones are drawn by chance."""

    count: int
    keys: Callable[[npt.NDArray[np.int64]], pl.Series]
    drawn: Callable[[np.random.Generator, int], npt.NDArray[np.int64]]


@dataclass(frozen=True)
class Entities:
    """The entities of one type: their ids, the people they are, and what follows from each.

    `given` are ids found in real files; without them ids run from `first_id`.
    """

    count: int
    first_id: int
    last_id: int
    people: People
    skew: float = 2.0
    given: pl.Series | None = None
    prefix: str = ""
    digits: int = 0
    attributes: Mapping[str, pl.Series] = field(default_factory=dict[str, pl.Series])

    def ids(self, indices: npt.NDArray[np.int64]) -> pl.Series:
        """The ids of the entities at the indices."""
        if self.given is not None:
            return self.given.gather(pl.Series(indices))
        return self._spelled(values.serial(self.first_id, indices))

    def strangers(self, rng: np.random.Generator, rows: int) -> pl.Series:
        """Ids beyond the last one: nobody has a profile for them."""
        span = max(10 ** len(str(self.last_id)) - self.last_id - 1, 1)
        return self._spelled(values.serial(self.last_id + 1, rng.integers(0, span, rows)))

    def drawn(self, rng: np.random.Generator, rows: int) -> npt.NDArray[np.int64]:
        """Some entities, the first ones more often."""
        return values.skewed(rng, rows, size=self.count, skew=self.skew)

    def _spelled(self, numbers: pl.Series) -> pl.Series:
        if not self.prefix and not self.digits:
            return numbers
        return values.joined([pl.Series([self.prefix] * len(numbers)), numbers.str.zfill(self.digits)])
