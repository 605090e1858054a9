# SPDX-License-Identifier: Apache-2.0
"""Steps: what is reckoned from the charges' amounts alone, in the order of the document.

A step names the items it is reckoned on, charges or earlier steps, and adds an item of its own.
Rates are integers in parts per million, so that an amount of d decimals gives one of d + 6.
"""

from dataclasses import dataclass
from typing import ClassVar, Final, TypeAlias

from tariffs._canonical import Value
from tariffs._fields import Fields
from tariffs.errors import MalformedTariff

__all__ = ["MILLION", "Step", "Tax", "step_from_canonical"]

MILLION: Final = 10**6


@dataclass(frozen=True, slots=True)
class Tax:
    """A share of the items it names, added to them."""

    kind: ClassVar = "tax"

    name: str
    ppm: int
    """190_000 for 19 %."""
    on: tuple[str, ...]

    def __post_init__(self) -> None:
        if not 0 <= self.ppm <= 10 * MILLION:
            raise MalformedTariff("the rate is not between 0 and 1000 %")

    def canonical(self) -> Value:
        """Return the step as a document holds it."""
        return {"kind": self.kind, "name": self.name, "ppm": self.ppm, "on": self.on}

    @classmethod
    def from_fields(cls, name: str, fields: Fields) -> "Tax":
        """Return the step that a document holds."""
        return cls(name, fields.integer("ppm"), fields.texts("on"))


Step: TypeAlias = Tax


def step_from_canonical(value: Value) -> Step:
    """Return the step that a document holds."""
    fields = Fields(value, "step")
    kind, name = fields.text("kind"), fields.text("name")
    if kind != Tax.kind:
        raise MalformedTariff(f"unknown kind of step {kind!r}")
    try:
        step = Tax.from_fields(name, fields)
        fields.done()
    except MalformedTariff as error:
        raise error.within(f"step {name}") from None
    return step
