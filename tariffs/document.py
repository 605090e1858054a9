# SPDX-License-Identifier: Apache-2.0
"""The tariff: a document that prices every slot of its validity, in one canonical encoding.

A tariff is a list of versions that follow each other without a gap; each holds charges (by energy,
power or time) and steps (taxes and the like, reckoned from the charges in order). The encoding is
deterministic CBOR:

    {"format": 1, "name": text, "revision": int, "currency": text, "zone": text,
     "rounding": {"rule": text, "decimals": int}, "missing": text,
     "versions": [{"from": day, "until": day, "charges": [...], "steps": [...],
                   "rounded": {component: {"rule": text, "decimals": int}}}]}

with days counted from 1970-01-01. Whoever signs a tariff signs these bytes, and `digest` names it
in statements and proofs.
"""

import enum
import re
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from hashlib import sha256
from itertools import pairwise
from operator import add, lt
from typing import Final

from tariffs import _canonical
from tariffs._canonical import Value
from tariffs._fields import Fields
from tariffs.charges import (
    Charge,
    FixedCharge,
    LinearCharge,
    MeteredCharge,
    charge_canonical,
    charge_from_canonical,
)
from tariffs.clock import Clock, date_of, day_number
from tariffs.energy import EnergyCharge
from tariffs.errors import MalformedTariff, TariffError, UnbillableReadings, UnpricedSlot
from tariffs.rounding import Rounding, Rule
from tariffs.schedule import Schedule, rule_effort
from tariffs.steps import Step, step_canonical, step_from_canonical
from tariffs.timetable import Exceptions
from tariffs.usage import Register, utc_text

__all__ = ["FORMAT", "MissingRule", "Tariff", "Version", "check_heading", "check_name"]

FORMAT: Final = 1
DIGEST_DOMAIN: Final = b"meterlet/tariff/digest/1\x00"
MAX_SIZE: Final = 4 << 20
LAST_DAY: Final = day_number(date(2200, 1, 1))
NAME: Final = re.compile(r"[^\s\x00-\x1f\x7f](?:[^\x00-\x1f\x7f]{0,78}[^\s\x00-\x1f\x7f])?")
CURRENCY: Final = re.compile(r"[A-Z]{3}")
FEMTO_DECIMALS: Final = 15
NANO_DECIMALS: Final = 9
MAX_VERSIONS: Final = 128
MAX_COMPONENTS: Final = 64
MAX_EFFORT: Final = 4096
"""Rules without dates (or as many as cost the same to check) in all schedules together."""


def check_heading(name: str, revision: int, currency: str) -> None:
    """Refuse what cannot head a tariff."""
    check_name(name, "the tariff's name")
    if not 1 <= revision < 1 << 32:
        raise MalformedTariff("the revision is not a number from 1")
    if not CURRENCY.fullmatch(currency):
        raise MalformedTariff(f"{currency!r} is no currency code such as EUR")


def check_name(name: str, what: str) -> None:
    """Refuse what no tariff, component or band can be called."""
    if not NAME.fullmatch(name):
        raise MalformedTariff(f"{what} {name!r} is empty, too long or holds control characters")


class MissingRule(enum.StrEnum):
    """What is billed for a slot whose use is not known."""

    OMIT = "omit"
    """Nothing, until it is known; the bill lists the slot."""
    REFUSE = "refuse"
    """There is no bill until it is known."""
    WEEK_BEFORE = "week-before"
    """The use of the same slot a week before, if the bill's period holds it; the bill says so."""


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
        found: list[LinearCharge] = []
        for charge in self.metered:
            if not isinstance(charge, LinearCharge) or charge.register is not Register.IMPORT:
                raise TariffError(
                    "it has no price for a slot by itself", component=f"charge {charge.name}"
                )
            found.append(charge)
        return tuple(found)

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

    def canonical(self) -> Value:
        """Return the version as a document holds it."""
        return {
            "from": self.valid_from,
            "until": self.valid_until,
            "charges": [charge_canonical(charge) for charge in self.charges],
            "steps": [step_canonical(step) for step in self.steps],
            "rounded": {name: _rounding_tree(one) for name, one in self.rounded.items()},
        }

    @classmethod
    def from_canonical(cls, value: Value) -> "Version":
        """Return the version that a document holds."""
        fields = Fields(value, "version")
        version = cls(
            fields.integer("from"),
            fields.integer("until"),
            tuple(charge_from_canonical(charge) for charge in fields.items("charges")),
            tuple(step_from_canonical(step) for step in fields.items("steps")),
            {name: _rounding(one) for name, one in fields.named("rounded")},
        )
        fields.done()
        return version


@dataclass(frozen=True)
class Tariff:
    """Prices for every slot of a stretch of days; see the module's description."""

    name: str
    revision: int
    """Counts the documents of this name; a later one supersedes."""
    currency: str
    zone: str
    """Where the tariff's days begin: validity and standing charges go by its wall clock."""
    rounding: Rounding
    versions: tuple[Version, ...]
    missing: MissingRule = MissingRule.OMIT

    def __post_init__(self) -> None:
        check_heading(self.name, self.revision, self.currency)
        Clock(self.zone)
        if not self.versions:
            raise MalformedTariff("there is no version")
        if len(self.versions) > MAX_VERSIONS:
            raise MalformedTariff(f"more than {MAX_VERSIONS} versions")
        if sum(_effort(one) for each in self.versions for one in each.charges) > MAX_EFFORT:
            raise MalformedTariff("more rules and dates than can be checked in good time")
        for before, after in pairwise(self.versions):
            if before.valid_until != after.valid_from:
                raise MalformedTariff(
                    f"a version ends on {date_of(before.valid_until)} and the next begins on"
                    f" {date_of(after.valid_from)}: they must follow each other"
                )

    # Validity

    @property
    def valid_from(self) -> date:
        """The first local day of the validity."""
        return date_of(self.versions[0].valid_from)

    @property
    def valid_until(self) -> date:
        """The local day before which the validity ends."""
        return date_of(self.versions[-1].valid_until)

    @cached_property
    def boundaries(self) -> tuple[int, ...]:
        """The moments at which the versions begin, and the one at which the last ends."""
        clock = Clock(self.zone)
        days = [version.valid_from for version in self.versions]
        return tuple(map(clock.day_begin, [*days, self.versions[-1].valid_until]))

    @property
    def begin(self) -> int:
        """The first moment of the validity."""
        return self.boundaries[0]

    @property
    def end(self) -> int:
        """The moment at which the validity ends."""
        return self.boundaries[-1]

    @cached_property
    def exact_decimals(self) -> int:
        """The decimals of the currency in which this tariff's bills are exact; 15 or more."""
        return max(FEMTO_DECIMALS, *(version.exact_decimals for version in self.versions))

    # Prices

    def parts(self, starts: Sequence[int], slot_seconds: int) -> list[tuple[Version, slice]]:
        """Return which of the slots fall to which version.

        Raises `UnbillableReadings` if the starts are not in order, and `UnpricedSlot` for a slot
        outside the validity or across the boundary of two versions.
        """
        if slot_seconds <= 0 or not all(map(lt, starts, starts[1:])):
            raise UnbillableReadings("the slots have no length, or are not in order of time")
        parts = []
        for version, (begin, end) in zip(self.versions, pairwise(self.boundaries), strict=True):
            first, past = bisect_left(starts, begin), bisect_left(starts, end)
            if first < past:
                if starts[past - 1] + slot_seconds > end:
                    raise self._unpriced(starts[past - 1], "reaches beyond")
                parts.append((version, slice(first, past)))
        if starts and starts[0] < self.begin:
            raise self._unpriced(starts[0], "begins before")
        if starts and starts[-1] >= self.end:
            raise self._unpriced(starts[bisect_left(starts, self.end)], "begins after")
        return parts

    def _unpriced(self, start: int, how: str) -> UnpricedSlot:
        last = date_of(day_number(self.valid_until) - 1)
        return UnpricedSlot(
            f"the slot at {utc_text(start)} {how} the validity of its prices;"
            f" {self.name} is valid {self.valid_from} to {last} in {self.zone}",
            start=start,
        )

    def prices(self, starts: Sequence[int], slot_seconds: int) -> list[int]:
        """Return the price of each slot: micro-units per kWh, net, of all metered charges together.

        The starts are epoch seconds in order. Raises `UnpricedSlot` for one outside the validity
        or across a change of price, `UnbillableReadings` for starts that are out of order,
        `TariffError` if a charge has no price for a slot by itself (blocks, demand, feed-in).
        """
        prices: list[int] = []
        for version, part in self.parts(starts, slot_seconds):
            slots = starts[part]
            total = [0] * len(slots)
            for charge in version.linear:
                total = list(map(add, total, charge.unit_prices(slots, slot_seconds)))
            prices += total
        return prices

    def bands(self, starts: Sequence[int], slot_seconds: int) -> list[str]:
        """Return the name of each slot's band, among the charges on what is drawn.

        Where several charges have bands, their names are joined ("day+HT"); flat charges add
        nothing to the name unless all are. Raises as `prices` does, but for those charges only.
        """
        names: list[str] = []
        for version, part in self.parts(starts, slot_seconds):
            slots = starts[part]
            charges = [
                charge
                for charge in version.metered
                if isinstance(charge, EnergyCharge) and charge.register is Register.IMPORT
            ]
            banded = [charge for charge in charges if len(charge.prices) > 1] or charges[:1]
            columns = [charge.labels(slots, slot_seconds) for charge in banded]
            names += map("+".join, zip(*columns, strict=True)) if columns else [""] * len(slots)
        return names

    # Encoding

    def canonical(self) -> dict[int | str, Value]:
        """Return the tariff as a document holds it."""
        return {
            "format": FORMAT,
            "name": self.name,
            "revision": self.revision,
            "currency": self.currency,
            "zone": self.zone,
            "rounding": _rounding_tree(self.rounding),
            "missing": self.missing,
            "versions": [version.canonical() for version in self.versions],
        }

    def encode(self) -> bytes:
        """Return the canonical document."""
        return _canonical.encode(self.canonical())

    @classmethod
    def decode(cls, data: bytes) -> "Tariff":
        """Return the tariff that `data` encodes; raise `MalformedTariff` for any other bytes."""
        if len(data) > MAX_SIZE:
            raise MalformedTariff(f"document: larger than {MAX_SIZE} bytes")
        tree = _canonical.decode(data)
        if _effort_of(tree) > MAX_EFFORT:  # before any of them costs time
            raise MalformedTariff("document: more rules and dates than can be checked in good time")
        fields = Fields(tree, "tariff")
        if (form := fields.integer("format")) != FORMAT:
            raise MalformedTariff(f"document: format {form}, this release reads {FORMAT}")
        tariff = cls(
            name=fields.text("name"),
            revision=fields.integer("revision"),
            currency=fields.text("currency"),
            zone=fields.text("zone"),
            rounding=_rounding(fields.map("rounding")),
            missing=fields.choice("missing", MissingRule),
            versions=tuple(map(Version.from_canonical, fields.items("versions"))),
        )
        fields.done()
        if tariff.encode() != data:
            raise MalformedTariff("document: not in canonical form")
        return tariff

    @cached_property
    def digest(self) -> bytes:
        """The 32 bytes that name this tariff: SHA-256 over a label and the document."""
        return sha256(DIGEST_DOMAIN + self.encode()).digest()


def _effort_of(value: Value) -> int:
    if isinstance(value, Mapping):
        dates = value.get("dates")
        own = rule_effort(len(dates)) if isinstance(dates, Sequence) else 0
        return own + sum(map(_effort_of, value.values()))
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return sum(map(_effort_of, value))
    return 0


def _rounding_tree(rounding: Rounding) -> Value:
    return {"rule": rounding.rule, "decimals": rounding.decimals}


def _rounding(value: Value) -> Rounding:
    fields = Fields(value, "rounding")
    rounding = Rounding(fields.choice("rule", Rule), fields.integer("decimals"))
    fields.done()
    return rounding
