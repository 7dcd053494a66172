"""`demo.yaml`: what a domain's synthetic rows look like beyond what its contract says.

Every key is optional; without the file the generator works from the contract alone. Read with pydantic because text
comes in here; unknown keys are errors. docs/generator.md describes each key.
"""

import datetime as dt
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lakehouse.errors import ProjectError


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Amount(_Strict):
    """A skewed amount: lognormal around `median`, rounded to `decimals`."""

    median: float
    spread: float = 1.0
    minimum: float = 0.0
    maximum: float = 1e9
    decimals: int = 0


class Uniform(_Strict):
    """An even amount between two bounds."""

    minimum: float
    maximum: float
    decimals: int = 0


class Turn(_Strict):
    """One word after the other; with `of`, the next word when every entity or row that `of` names had its turn."""

    words: tuple[str, ...]
    of: str | None = None


class Away(_Strict):
    """Some days from the date in another column, lognormal around `median`; `before` it or after."""

    column: str
    median: float
    spread: float = 1.0
    minimum: int = 0
    maximum: int = 3650
    before: bool = False


class Joined(_Strict):
    """Other columns side by side."""

    columns: tuple[str, ...]
    separator: str = ""


class Months(_Strict):
    """Months from a day to the date in another column."""

    column: str
    since: dt.date


class Running(_Strict):
    """What an amount adds up to by entity: plus where column `sign` has one of the words of `plus`, else minus."""

    amount: str
    sign: str
    plus: tuple[str, ...]
    decimals: int = 2


#: Keys of a spec that do not make values: how they are finished, and which entity a reference names.
_FINISHING = frozenset({"empty", "prefix", "suffix", "negate", "month_start", "turn"})


class Spec(_Strict):
    """How a column's values are made: at most one of the first two groups, then the finishing touches.

    The second group looks at other columns of the same row, as variants have left them.
    """

    constant: str | None = None
    choice: dict[str, float] | None = None
    pattern: str | None = None
    serial: int | None = None
    words: tuple[tuple[str, ...], ...] | None = None
    amount: Amount | None = None
    uniform: Uniform | None = None
    attribute: str | None = None
    person: str | None = None
    in_turn: Turn | None = None

    away: Away | None = None
    joined: Joined | None = None
    total: tuple[str, ...] | None = None
    months: Months | None = None
    running: Running | None = None

    empty: float = Field(default=0.0, ge=0.0, le=1.0)
    prefix: str = ""
    suffix: str = ""
    negate: bool = False
    month_start: bool = False
    turn: bool = False

    @property
    def makes_values(self) -> bool:
        """Whether the spec says how to make values, not only how to finish them."""
        return bool(self.model_fields_set - _FINISHING)

    @property
    def looks_at(self) -> tuple[str, ...]:
        """The columns of the row that the values are made of; empty when they are made by themselves."""
        one = [each.column for each in (self.away, self.months) if each is not None]
        summed = [self.running.amount, self.running.sign] if self.running else []
        return (*one, *(self.joined.columns if self.joined else ()), *(self.total or ()), *summed)


class Groups(_Strict):
    """Rows come in groups that share columns: the lines of an invoice, the legs of a trip."""

    columns: tuple[str, ...]
    median: float = 10.0
    spread: float = 1.2
    maximum: int = 1000


class Pool(_Strict):
    """Columns that vary together, out of `size` items; a `skew` above 1 makes the first items frequent."""

    columns: tuple[str, ...]
    size: int = Field(default=1000, ge=1)
    skew: float = Field(default=2.0, gt=0)


class Variant(_Strict):
    """A share of rows or groups that looks different: a cancellation, a correction, a fee."""

    share: float = Field(ge=0.0, le=1.0)
    of: Literal["rows", "groups"] = "rows"
    set: dict[str, Spec]


class Period(_Strict):
    """The days that event times fall on, and the hours of a day."""

    first: dt.date = dt.date(2024, 1, 1)
    last: dt.date = dt.date(2024, 12, 31)
    closed: tuple[Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"], ...] = ()
    hours: tuple[int, int] = (0, 24)


class EntityRecipe(_Strict):
    """How the ids of an entity look, and what follows from the entity alone (a customer's country)."""

    first_id: int = 1
    last_id: int = 10**9 - 1
    rows_each: float = 100.0
    skew: float = Field(default=2.0, gt=0)
    prefix: str = ""
    digits: int = 0
    attributes: dict[str, Spec] = Field(default_factory=dict)


class TableRecipe(_Strict):
    """One table's recipe.

    `share` is its part of the rows asked for, `most` how many there can be at all; `file` is a strftime name for one file
    a day. `quoted` says whether all text is quoted or only what needs it, `line_end` what a line ends with.
    """

    share: float = 1.0
    most: int | None = None
    period: Period | None = None
    file: str | None = None
    quoted: Literal["needed", "text"] = "needed"
    line_end: Literal["\n", "\r\n"] = "\n"
    groups: Groups | None = None
    pools: tuple[Pool, ...] = ()
    columns: dict[str, Spec] = Field(default_factory=dict)
    variants: tuple[Variant, ...] = ()
    repeats: float = Field(default=0.0, ge=0.0, lt=1.0)


class Asker(_Strict):
    """Somebody of the policy's groups, and what he reads for."""

    user: str
    purpose: str


class Question(_Strict):
    """One query over the domain's views, for several people to ask at the end of a demo."""

    sql: str
    people: tuple[Asker, ...] = Field(min_length=1)


class Recipe(_Strict):
    """A domain's recipe; `shown` is whether a demo shows the domain when nobody names one."""

    shown: bool = True
    ask: Question | None = None
    period: Period = Period()
    entities: dict[str, EntityRecipe] = Field(default_factory=dict)
    tables: dict[str, TableRecipe] = Field(default_factory=dict)

    def table(self, name: str) -> TableRecipe:
        """The table's recipe, an empty one when there is none."""
        return self.tables.get(name, TableRecipe())

    def entity(self, name: str) -> EntityRecipe:
        """The entity's recipe, an empty one when there is none."""
        return self.entities.get(name, EntityRecipe())


def load_recipe(root: Path, domain: str) -> Recipe:
    """The recipe of a domain, an empty one when the project has none.

    Raises:
        ProjectError: the file is not YAML or says something that a recipe cannot say.
    """
    file = root / "policies" / "domains" / domain / "demo.yaml"
    if not file.is_file():
        return Recipe()
    try:
        return Recipe.model_validate(yaml.safe_load(file.read_text(encoding="utf-8")) or {})
    except yaml.YAMLError as error:
        raise ProjectError("not readable as YAML", where=str(file), hint="mend the file's syntax") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ProjectError(
            f"`{place}`: {first['msg'].lower()}", where=str(file), hint="docs/generator.md lists the keys of a recipe"
        ) from error
