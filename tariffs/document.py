# SPDX-License-Identifier: Apache-2.0
"""The tariff: a document that prices every slot of its validity, in one canonical encoding.

A tariff is a list of versions that follow each other without a gap; each holds charges (by energy,
power or time) and steps (taxes and the like, reckoned from the charges in order). The encoding is
deterministic CBOR:

    {"format": 1, "name": text, "revision": int, "currency": text, "zone": text,
     "rounding": {"rule": text, "decimals": int}, "missing": text,
     "medium": text where it is not electricity,
     "versions": [{"from": day, "until": day, "charges": [...], "steps": [...],
                   "rounded": {component: {"rule": text, "decimals": int}},
                   "settlement": {...} where there is one}]}

with days counted from 1970-01-01. Whoever signs a tariff signs these bytes, and `digest` names it
in statements and proofs.
"""

import enum
import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import cached_property
from hashlib import sha256
from itertools import pairwise
from operator import add, lt
from typing import Final

from protocols.canonical.cbor import CborValue, encode
from protocols.canonical.day_zone import zone_named
from tariffs._document_reader import TariffReader, decode_document
from tariffs.arithmetic import V
from tariffs.charges import LinearCharge
from tariffs.clock import ZoneClock, date_of, day_number
from tariffs.energy import EnergyCharge
from tariffs.errors import MalformedTariff, UnbillableReadings, UnpricedSlot
from tariffs.medium import Medium
from tariffs.memory import MemoryKey, carried_into
from tariffs.rounding import Rounding
from tariffs.schedule import rule_effort
from tariffs.usage import Register, utc_text
from tariffs.version import Version, check_name, rounding_canonical, rounding_from_canonical

FORMAT: Final = 1
DIGEST_DOMAIN: Final = b"meterlet/tariff/digest/1\x00"
MAX_SIZE: Final = 4 << 20
CURRENCY: Final = re.compile(r"[A-Z]{3}")
FEMTO_DECIMALS: Final = 15
MAX_VERSIONS: Final = 128
MAX_EFFORT: Final = 4096
"""Rules without dates (or as many as cost the same to check) in all schedules together."""


def check_heading(name: str, revision: int, currency: str) -> None:
    """Refuse what cannot head a tariff."""
    check_name(name, "the tariff's name")
    if not 1 <= revision < 1 << 32:
        raise MalformedTariff("the revision is not a number from 1")
    if not CURRENCY.fullmatch(currency):
        raise MalformedTariff(f"{currency!r} is no currency code such as EUR")


class MissingRule(enum.StrEnum):
    """What is billed for a slot whose use is not known."""

    OMIT = "omit"
    """Nothing, until it is known; the bill lists the slot."""
    REFUSE = "refuse"
    """There is no bill until it is known."""
    WEEK_BEFORE = "week-before"
    """The use of the same slot a week before, if the bill's period holds it; the bill says so."""


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
    medium: Medium = Medium.ELECTRICITY
    """What the meter measures."""

    def __post_init__(self) -> None:
        check_heading(self.name, self.revision, self.currency)
        ZoneClock(self.zone)
        if not self.versions:
            raise MalformedTariff("there is no version")
        if len(self.versions) > MAX_VERSIONS:
            raise MalformedTariff(f"more than {MAX_VERSIONS} versions")
        if sum(version.effort for version in self.versions) > MAX_EFFORT:
            raise MalformedTariff("more rules and dates than can be checked in good time")
        for before, after in pairwise(self.versions):
            if before.valid_until != after.valid_from:
                raise MalformedTariff(
                    f"a version ends on {date_of(before.valid_until)} and the next begins on"
                    f" {date_of(after.valid_from)}: they must follow each other"
                )
            after.check_follows(before)
        for version in self.versions:
            version.check_medium(self.medium)
        if any(version.settlement for version in self.versions) and self.rounding.decimals > 6:
            raise MalformedTariff("what is settled is rounded to 6 decimals at most")

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
        clock = ZoneClock(self.zone)
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

    # Memory

    @property
    def has_memory(self) -> bool:
        """Whether a bill depends on those before."""
        return any(version.has_memory for version in self.versions)

    def carried_from(
        self, version: Version, values: Mapping[MemoryKey, V], end: int
    ) -> dict[MemoryKey, V]:
        """Return what goes on of what is known when a version's part of a bill ends.

        Where another version is in force from `end` on, what that one has the same component for.
        """
        day = ZoneClock(self.zone).day_of(end)
        following = self.versions[min(bisect_right(self.boundaries, end), len(self.versions)) - 1]
        return carried_into(version, following, values, day)

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

    def require_validity(self, begin: int, end: int) -> None:
        """Return if the tariff is valid all through [begin, end); else raise `UnpricedSlot`."""
        if not self.begin <= begin < end <= self.end:
            last = date_of(day_number(self.valid_until) - 1)
            raise UnpricedSlot(
                f"{_period_text(begin, end, self.zone)} is not within the validity of"
                f" {self.name}, {self.valid_from} to {last} in {self.zone}",
                start=begin,
            )

    def prices(self, starts: Sequence[int], slot_seconds: int) -> list[int]:
        """Return the price of each slot: micro-units per kWh, net, of all metered charges together.

        The starts are epoch seconds in order. Raises `UnpricedSlot` for one outside the validity
        or across a change of price, `UnbillableReadings` for starts that are out of order,
        `TariffError` if a charge has no price for a slot by itself (blocks, demand, feed-in).
        """
        return self._summed(starts, slot_seconds, lambda version: version.linear)

    def drawn_prices(self, starts: Sequence[int], slot_seconds: int) -> list[int]:
        """Return the price of each slot for what is drawn, whatever is credited for feed-in.

        Raises as `prices` does, but for feed-in.
        """
        return self._summed(starts, slot_seconds, lambda version: version.linear_on_import)

    def _summed(
        self,
        starts: Sequence[int],
        slot_seconds: int,
        charges_of: Callable[[Version], Sequence[LinearCharge]],
    ) -> list[int]:
        prices: list[int] = []
        for version, part in self.parts(starts, slot_seconds):
            slots = starts[part]
            total = [0] * len(slots)
            for charge in charges_of(version):
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

    def canonical(self) -> dict[int | str, CborValue]:
        """Return the tariff as a document holds it."""
        return {
            "format": FORMAT,
            "name": self.name,
            "revision": self.revision,
            "currency": self.currency,
            "zone": self.zone,
            "rounding": rounding_canonical(self.rounding),
            "missing": self.missing,
            "versions": [version.canonical() for version in self.versions],
            **({} if self.medium is Medium.ELECTRICITY else {"medium": self.medium}),
        }

    def encode(self) -> bytes:
        """Return the canonical document."""
        return encode(self.canonical())

    @classmethod
    def decode(cls, data: bytes) -> "Tariff":
        """Return the tariff that `data` encodes; raise `MalformedTariff` for any other bytes."""
        if len(data) > MAX_SIZE:
            raise MalformedTariff(f"document: larger than {MAX_SIZE} bytes")
        tree = decode_document(data)
        if _effort_of(tree) > MAX_EFFORT:  # before any of them costs time
            raise MalformedTariff("document: more rules and dates than can be checked in good time")
        fields = TariffReader(tree, "tariff")
        if (form := fields.integer("format")) != FORMAT:
            raise MalformedTariff(f"document: format {form}, this release reads {FORMAT}")
        tariff = cls(
            name=fields.text("name"),
            revision=fields.integer("revision"),
            currency=fields.text("currency"),
            zone=fields.text("zone"),
            rounding=rounding_from_canonical(fields.value("rounding")),
            missing=fields.choice("missing", MissingRule),
            versions=tuple(map(Version.from_canonical, fields.items("versions"))),
            medium=fields.choice("medium", Medium) if "medium" in fields else Medium.ELECTRICITY,
        )
        fields.done()
        if tariff.encode() != data:
            raise MalformedTariff("document: not in canonical form")
        return tariff

    @cached_property
    def digest(self) -> bytes:
        """The 32 bytes that name this tariff: SHA-256 over a label and the document."""
        return sha256(DIGEST_DOMAIN + self.encode()).digest()


def _effort_of(value: CborValue) -> int:
    if isinstance(value, Mapping):
        dates = value.get("dates")
        own = rule_effort(len(dates)) if isinstance(dates, Sequence) else 0
        return own + sum(map(_effort_of, value.values()))
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return sum(map(_effort_of, value))
    return 0


def _period_text(begin: int, end: int, zone: str) -> str:
    """Return [begin, end) as local days or, where it is not of whole days, as local times."""
    try:
        first, past = (datetime.fromtimestamp(moment, zone_named(zone)) for moment in (begin, end))
    except (OSError, OverflowError, ValueError):
        return f"{utc_text(begin)} to {utc_text(end)}"
    if first < past and first.time() == past.time() == time():
        return f"{first.date()} to {past.date() - timedelta(days=1)}"
    return f"{first:%Y-%m-%d %H:%M} to {past:%Y-%m-%d %H:%M}"
