# SPDX-License-Identifier: Apache-2.0
"""One version of a tariff: the charges and steps in force on a stretch of days."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Final

from protocols.canonical.cbor import CborValue
from tariffs._document_reader import TariffReader
from tariffs.blocks import BlockCharge, LimitKind
from tariffs.charges import (
    Charge,
    FixedCharge,
    LinearCharge,
    MeteredCharge,
    charge_canonical,
    charge_from_canonical,
    registers_of,
    remembers,
)
from tariffs.clock import day_number
from tariffs.demand import DemandCharge
from tariffs.errors import MalformedTariff, TariffError
from tariffs.fixed import CapacityCharge
from tariffs.gas import GasCharge
from tariffs.medium import Medium
from tariffs.memory import MemoryShape
from tariffs.periods import Interval, interval_days
from tariffs.rounding import Rounding, RoundingRule
from tariffs.schedule import Schedule
from tariffs.settlement import Settlement, settlement_canonical, settlement_from_canonical
from tariffs.steps import Cap, Step, step_canonical, step_from_canonical
from tariffs.timetable import Exceptions
from tariffs.usage import Register

LAST_DAY: Final = day_number(date(2200, 1, 1))
MAX_NAME: Final = 80
MAX_COMPONENTS: Final = 64
NANO_DECIMALS: Final = 9


def check_name(name: str, what: str) -> None:
    """Refuse what no tariff, component or band can be called: names are shown on terminals."""
    if not name.isprintable() or name != name.strip() or not 0 < len(name) <= MAX_NAME:
        raise MalformedTariff(
            f"{what} {name!r} is empty, too long, or holds characters that cannot be shown"
        )


def _effort(charge: Charge) -> int:
    timetable = getattr(charge, "timetable", None)
    usual = timetable.usual if isinstance(timetable, Exceptions) else timetable
    return usual.effort if isinstance(usual, Schedule) else 0


@dataclass(frozen=True, slots=True)
class Version:
    """The charges and steps in force on the days from `valid_from`, before `valid_until`."""

    valid_from: int
    valid_until: int
    """Numbers of days (`tariffs.clock`)."""
    charges: tuple[Charge, ...]
    steps: tuple[Step, ...] = ()
    rounded: Mapping[str, Rounding] = field(default_factory=dict)
    """The components whose amounts are rounded by themselves, before they are used further."""
    settlement: Settlement | None = None
    """What is due of the whole, where that is not the sum of charges and steps."""

    def __post_init__(self) -> None:
        if not 0 <= self.valid_from < self.valid_until <= LAST_DAY:
            raise MalformedTariff("it is valid from 1970 to 2200 at most, and for a day at least")
        if not self.charges:
            raise MalformedTariff("there is no charge")
        if len(self.charges) + len(self.steps) > MAX_COMPONENTS:
            raise MalformedTariff(f"more than {MAX_COMPONENTS} components")
        known: set[str] = set()
        for charge in self.charges:
            self._check_new("charge", charge.name, known)
            timetable = getattr(charge, "timetable", None)
            for band in timetable.names if timetable is not None else ():
                check_name(band, "the band's name")
        for step in self.steps:
            self._check_step(step, known)
            self._check_new("step", step.name, known)
        if self.settlement is not None:
            self._check_new("step", self.settlement.name, known)
            known.remove(self.settlement.name)  # it is rounded in any case
        for name in self.rounded:
            if name not in known:
                raise MalformedTariff(f"there is no component {name!r} to round")

    @staticmethod
    def _check_step(step: Step, known: set[str]) -> None:
        if not step.on or len(set(step.on)) != len(step.on):
            raise MalformedTariff("'on' names nothing, or twice", component=f"step {step.name}")
        for name in step.on:
            if name not in known:
                raise MalformedTariff(
                    f"'on' names {name!r}, which does not come before it",
                    component=f"step {step.name}",
                )

    @staticmethod
    def _check_new(kind: str, name: str, known: set[str]) -> None:
        check_name(name, "the name")
        if name in known:
            raise MalformedTariff(
                f"two components have the name {name!r}", component=f"{kind} {name}"
            )
        known.add(name)

    @property
    def metered(self) -> tuple[MeteredCharge, ...]:
        """The charges whose amounts depend on readings."""
        return tuple(one for one in self.charges if not isinstance(one, FixedCharge))

    @property
    def linear(self) -> tuple[LinearCharge, ...]:
        """The metered charges, all of which must be by the imported kWh at a price for each slot.

        Raises `TariffError` naming one that is not: such a tariff has no one price for a slot.
        """
        return self._linear(self.metered)

    @property
    def linear_on_import(self) -> tuple[LinearCharge, ...]:
        """As `linear`, but leaving out the charges on what is fed in."""
        return self._linear(
            [charge for charge in self.metered if Register.IMPORT in registers_of(charge)]
        )

    @staticmethod
    def _linear(charges: Sequence[MeteredCharge]) -> tuple[LinearCharge, ...]:
        found: list[LinearCharge] = []
        for charge in charges:
            if not isinstance(charge, LinearCharge) or charge.register is not Register.IMPORT:
                raise TariffError(
                    "it has no price for a slot by itself", component=f"charge {charge.name}"
                )
            found.append(charge)
        return tuple(found)

    @property
    def memory_shapes(self) -> dict[str, MemoryShape]:
        """The memory of each component that has one, by name."""
        steps = (step for step in self.steps if isinstance(step, Cap))
        last = () if self.settlement is None else (self.settlement,)
        shapes = (
            *(charge.memory_shape for charge in self.charges if remembers(charge)),
            *(step.memory_shape for step in steps),
            *(step.memory_shape for step in last),
        )
        return {shape.name: shape for shape in shapes if shape is not None}

    @property
    def has_memory(self) -> bool:
        """Whether a bill depends on those before."""
        return bool(self.memory_shapes)

    def check_follows(self, before: "Version") -> None:
        """Refuse to come after a version that carries what is owed, which this one would lose."""
        shapes = self.memory_shapes
        for name, shape in before.memory_shapes.items():
            year, _ = interval_days(Interval.YEAR, self.valid_from, shape.year_begins)
            is_settled = shape.is_yearly and year == self.valid_from
            if shape.is_owed and not is_settled and shapes.get(name) != shape:
                until = " until its year ends" if shape.is_yearly else ""
                raise MalformedTariff(
                    f"it carries what is owed, so the versions that follow need the same{until}",
                    component=f"{'charge' if name in before._charge_names else 'step'} {name}",
                )

    def check_medium(self, medium: Medium) -> None:
        """Refuse charges that there are not of what a meter measures."""
        for charge in self.charges:
            match charge:
                case GasCharge():
                    known = medium is Medium.GAS
                case DemandCharge() | CapacityCharge():
                    known = medium.step == "Wh"
                case BlockCharge():
                    by_power = charge.limits is LimitKind.POWER
                    known = medium.step == "Wh" or not by_power
                case _:
                    known = True
            if medium is not Medium.ELECTRICITY and not isinstance(charge, FixedCharge):
                known = known and Register.EXPORT not in registers_of(charge)
            if not known:
                raise MalformedTariff(
                    f"a tariff for {medium} has no such charge", component=f"charge {charge.name}"
                )

    @property
    def _charge_names(self) -> set[str]:
        return {charge.name for charge in self.charges}

    @property
    def effort(self) -> int:
        """What it takes to check the schedules, in rules without dates."""
        return sum(map(_effort, self.charges))

    @property
    def exact_decimals(self) -> int:
        """How many decimals of the currency the amounts need to be exact."""
        decimals: dict[str, int] = {}

        def note(name: str, needed: int) -> None:
            rounding = self.rounded.get(name)
            decimals[name] = needed if rounding is None else rounding.decimals

        most = NANO_DECIMALS
        for charge in self.charges:
            note(charge.name, NANO_DECIMALS)
        for step in self.steps:
            needed = max(decimals[name] for name in step.on) + step.added_decimals
            most = max(most, needed)
            note(step.name, max(needed, NANO_DECIMALS))
        return most

    def canonical(self) -> CborValue:
        """Return the version as a document holds it."""
        members: dict[int | str, CborValue] = {
            "from": self.valid_from,
            "until": self.valid_until,
            "charges": [charge_canonical(charge) for charge in self.charges],
            "steps": [step_canonical(step) for step in self.steps],
            "rounded": {name: rounding_canonical(one) for name, one in self.rounded.items()},
        }
        if self.settlement is not None:
            members["settlement"] = settlement_canonical(self.settlement)
        return members

    @classmethod
    def from_canonical(cls, value: CborValue) -> "Version":
        """Return the version that a document holds."""
        fields = TariffReader(value, "version")
        version = cls(
            fields.integer("from"),
            fields.integer("until"),
            tuple(charge_from_canonical(charge) for charge in fields.items("charges")),
            tuple(step_from_canonical(step) for step in fields.items("steps")),
            {name: rounding_from_canonical(one) for name, one in fields.named("rounded")},
            settlement_from_canonical(fields.value("settlement"))
            if "settlement" in fields
            else None,
        )
        fields.done()
        return version


def rounding_canonical(rounding: Rounding) -> CborValue:
    """Return a rounding as a document holds it."""
    return {"rule": rounding.rule, "decimals": rounding.decimals}


def rounding_from_canonical(value: CborValue) -> Rounding:
    """Return the rounding that a document holds."""
    fields = TariffReader(value, "rounding")
    rounding = Rounding(fields.choice("rule", RoundingRule), fields.integer("decimals"))
    fields.done()
    return rounding
