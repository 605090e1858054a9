# SPDX-License-Identifier: Apache-2.0
"""The announcement of a round: which sum, of whom, under which key; signed by the operator.

    round  = CBOR [message, signature of the operator]
    digest = SHA-256 of the message; every other message of the round, and every mask, hangs on it

A resolution is a number of minutes: of a slot (5, 15, 30, 60) or a day (1440). Hours and days are
cut from the slots of a local day, so that a day of 23 or 25 hours is still one day.

A round may carry prices (`weighting`). Then a household contributes one number, what its uses at
that resolution are worth, and one is all that is opened. Such a round has a label of its own: who
does not know of prices takes no part.

A round names who collects it: the list of contributors counts with that one's signature alone. The
rounds of release 0.1 ("... 1", with prices "... 2") did not, and are no rounds any more.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Final, Self

from protocols.aggregation.errors import KeyRefused, MalformedMessage, PackingRefused, RoundRefused
from protocols.aggregation.members import NONCE_SIZE, RosterMember, require_region
from protocols.aggregation.packing import Layout
from protocols.aggregation.paillier import SHORT_EXPONENT, PaillierPublicKey
from protocols.aggregation.weighting import Weighting
from protocols.aggregation.wire import (
    KEY_SIZE,
    SignedMessage,
    decode_message,
    decode_signed,
    encode_message,
    require_size,
    sized,
)
from protocols.canonical.cbor import CborItem
from protocols.metrology import SLOT_MINUTES, GridError, Period

DAY_MINUTES: Final = 1440
RESOLUTIONS: Final = (*SLOT_MINUTES, DAY_MINUTES)
MOST_MEMBERS: Final = 1 << 16
LONGEST_DAYS: Final = 366
LARGEST_USE_BITS: Final = 32
"""Of what is weighed: certified uses are below 2^32 Wh."""
MOST_PROVED_BITS: Final = 1 << 16
"""A month of quarter-hours of 20 bits, which take a home some 10 s to prove."""
CHEAP_PROVED_BITS: Final = 1 << 13
"""A day of five minutes of 20 bits, or a week of hours: about a second."""

_ROUND: Final = "meterlet aggregation round 3"
_WEIGHTED_ROUND: Final = "meterlet aggregation round 4"


@dataclass(frozen=True, slots=True)
class RoundTerms:
    """What is to be added up, and how."""

    region: str
    register: bytes
    """The OBIS code, 6 bytes."""
    period: Period
    zone: str
    resolution_minutes: int
    value_bits: int
    """No household's use in a slot, hour or day of the resolution reaches 2^value_bits Wh."""
    group_bits: int
    exponent_bits: int
    """Of the randomness of encryption; half the key's bits, or `SHORT_EXPONENT`."""
    key: PaillierPublicKey
    are_ranges_proved: bool = False
    """Whether each household proves that its values fit their bits."""
    weighting: Weighting | None = None
    """What uses are weighed with, where one number is contributed and no curve."""
    use_count: int = field(init=False, repr=False, compare=False)
    """How many slots, hours or days of the resolution the period has."""

    def __post_init__(self) -> None:
        require_region(self.region)
        require_size("register", self.register, 6)
        if self.resolution_minutes not in RESOLUTIONS:
            raise MalformedMessage(f"a resolution of {self.resolution_minutes} minutes")
        if (self.period.last - self.period.first).days >= LONGEST_DAYS:
            raise MalformedMessage(f"a period of more than {LONGEST_DAYS} days")
        if self.exponent_bits not in (SHORT_EXPONENT, self.key.bits // 2):
            raise MalformedMessage(f"an exponent of {self.exponent_bits} bits")
        self.bounds  # noqa: B018  (raises where there is no such zone)
        object.__setattr__(self, "use_count", self._counted_uses())
        self._require_prices()
        range_bits = self.range_bits  # raises where there is no room
        if self.are_ranges_proved and range_bits > MOST_PROVED_BITS:
            raise MalformedMessage("ranges of so many values take longer to prove than is sensible")

    @property
    def bounds(self) -> tuple[int, int]:
        """The first second of the period and the second after it."""
        return self.period.bounds(self.zone)

    @property
    def layout(self) -> Layout:
        """How values lie in plaintexts."""
        bits = self.value_bits
        if self.weighting is not None:
            if not 1 <= bits <= LARGEST_USE_BITS:
                raise PackingRefused(f"a use has 1 to {LARGEST_USE_BITS} bits")
            bits = self.weighting.bits(bits)
        return Layout.for_key(self.key.bits, bits, self.group_bits)

    @property
    def range_bits(self) -> int:
        """How many bits a household's values have in all: what a proof of their ranges costs."""
        return self.value_count() * self.layout.value_bits

    def value_count(self) -> int:
        """Return how many values a household contributes."""
        return 1 if self.weighting is not None else self.use_count

    def limb_count(self) -> int:
        """Return how many limbs a household's values take."""
        return self.layout.limb_count(self.value_count())

    def ciphertext_count(self) -> int:
        """Return how many ciphertexts a household's values take."""
        return self.layout.plaintext_count(self.value_count())

    def contributed(self, uses: Sequence[int]) -> list[int]:
        """Return the values that a household of these uses contributes.

        Raises `PackingRefused` for a use that a weighted round has no room for, `RoundRefused` if
        there is not one for each price.
        """
        if self.weighting is None:
            return list(uses)
        return [self.weighting.lifted(uses, self.value_bits)]

    def revealed(self, sums: Sequence[int], households: int) -> tuple[int, ...]:
        """Return what the sums over so many households' values mean: watt-hours, or a worth."""
        if self.weighting is None:
            return tuple(sums)
        low = self.weighting.low(self.value_bits)
        return tuple(total + households * low for total in sums)

    def _counted_uses(self) -> int:
        if self.resolution_minutes == DAY_MINUTES:
            return sum(1 for _ in self.period.days(self.zone))
        return sum(
            -(-(grid.end - grid.begin) // (60 * self.resolution_minutes))
            for grid in self.period.grids(self.zone, SLOT_MINUTES[0])
        )

    def _require_prices(self) -> None:
        if self.weighting is None:
            return
        if self.resolution_minutes == DAY_MINUTES:
            raise MalformedMessage("prices are of slots or hours")
        if len(self.weighting.prices) != self.use_count:
            raise MalformedMessage(
                f"{len(self.weighting.prices)} prices for {self.use_count} slots of the period"
            )


@dataclass(frozen=True, slots=True)
class Round(SignedMessage):
    """Terms and roster, signed by the operator."""

    terms: RoundTerms
    nonce: bytes = field(metadata=sized(NONCE_SIZE))
    """The one that the members' keys are for; rounds may share it (`rosters`)."""
    valid_until: int
    """When households stop answering, epoch seconds."""
    collector: bytes = field(metadata=sized(KEY_SIZE))
    """The Ed25519 key of the concentrator that collects it and signs who has contributed."""
    members: tuple[RosterMember, ...]
    """In the order of their meters' ids."""

    def _check(self) -> None:
        if not 0 <= self.valid_until < 1 << 40:
            raise MalformedMessage("a round ends at some time")
        meters = [member.meter for member in self.members]
        if meters != sorted(set(meters)):
            raise MalformedMessage("the roster is not in order, or a meter is in it twice")
        if not 2 <= len(meters) <= min(MOST_MEMBERS, 1 << self.terms.group_bits):
            raise MalformedMessage(f"a roster of {len(meters)}, more than there is room for, or 1")
        for kind in ("exchange", "signing"):
            if len({getattr(member.keys, kind) for member in self.members}) != len(meters):
                raise MalformedMessage("two members have one key")
        if len({member.certificate.certifier for member in self.members}) != len(meters):
            raise MalformedMessage("two members have one certifier")
        if any(member.keys.nonce != self.nonce for member in self.members):
            raise MalformedMessage("a member's keys are for another round")
        if any(member.certificate.region != self.terms.region for member in self.members):
            raise MalformedMessage("a member is of another region")

    @classmethod
    def announce(
        cls,
        terms: RoundTerms,
        nonce: bytes,
        valid_until: int,
        collector: bytes,
        members: tuple[RosterMember, ...],
        operator_seed: bytes,
    ) -> Self:
        """Return the round of these members, in order, signed with the operator's key."""
        ordered = tuple(sorted(members, key=lambda member: member.meter))
        return cls(terms, nonce, valid_until, collector, ordered).signed(operator_seed)

    def index_of(self, meter: bytes) -> int:
        """Return the meter's place in the roster; raise `RoundRefused` if it has none."""
        for index, member in enumerate(self.members):
            if member.meter == meter:
                return index
        raise RoundRefused(f"meter {meter.hex()} is not in the roster")

    @property
    def message(self) -> bytes:
        """What the operator signs."""
        terms, label, weighed = self.terms, _ROUND, tuple[bytes, ...]()
        if terms.weighting is not None:
            label, weighed = _WEIGHTED_ROUND, (terms.weighting.encode(),)
        return encode_message(
            label, *weighed, terms.region, terms.register,
            terms.period.first.isoformat(), terms.period.last.isoformat(), terms.zone,
            terms.resolution_minutes, terms.value_bits, terms.group_bits, terms.exponent_bits,
            terms.key.encode(), int(terms.are_ranges_proved), self.nonce, self.valid_until,
            self.collector, *(member.encode() for member in self.members),
        )  # fmt: skip

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the round of exactly these bytes; raise `MalformedMessage` otherwise."""
        message, signature = decode_signed(data)
        try:
            return cls(*_contents(message), signature=signature)
        except (GridError, KeyRefused, PackingRefused, ValueError) as error:
            raise MalformedMessage(f"not a round: {error}") from None


def _contents(message: bytes) -> tuple[RoundTerms, bytes, int, bytes, tuple[RosterMember, ...]]:
    weighting, items = _items(message)
    match items:
        case [
            str(region), bytes(register), str(first), str(last), str(zone), int(resolution),
            int(value_bits), int(group_bits), int(exponent_bits), bytes(key),
            int(proved), bytes(nonce), int(valid_until), bytes(collector), *members,
        ] if proved in (0, 1):  # fmt: skip
            pass
        case _:
            raise MalformedMessage("not a round: other fields than one has")
    period = Period(_date(first), _date(last))
    terms = RoundTerms(
        region, register, period, zone, resolution, value_bits, group_bits, exponent_bits,
        PaillierPublicKey.decode(key), bool(proved), weighting,
    )  # fmt: skip
    roster = []
    for member in members:
        if not isinstance(member, bytes):
            raise MalformedMessage("not a member")
        roster.append(RosterMember.decode(member, region, nonce))
    return terms, nonce, valid_until, collector, tuple(roster)


def _items(message: bytes) -> tuple[Weighting | None, list[CborItem]]:
    """Return the prices of a round, if it has any, and all else that it says."""
    try:
        return None, decode_message(message, _ROUND)
    except MalformedMessage:
        match decode_message(message, _WEIGHTED_ROUND):
            case [bytes(weighting), *items]:
                return Weighting.decode(weighting), items
            case _:
                raise MalformedMessage("not a round: it has no prices") from None


def _date(text: str) -> date:
    day = date.fromisoformat(text)
    if day.isoformat() != text:
        raise MalformedMessage("a date is not written as YYYY-MM-DD")
    return day


def values_at_resolution(
    days: tuple[tuple[int, ...], ...], slot_minutes: int, resolution_minutes: int
) -> list[int]:
    """Return the sums of each day's slots that a resolution makes one value of.

    Raises `RoundRefused` where slots are longer than the resolution, or do not divide it.
    """
    step, rest = divmod(resolution_minutes, slot_minutes)
    if rest or not step:
        raise RoundRefused(
            f"slots of {slot_minutes} minutes do not make values of {resolution_minutes} minutes"
        )
    if resolution_minutes == DAY_MINUTES:
        return [sum(day) for day in days]
    return [sum(day[at : at + step]) for day in days for at in range(0, len(day), step)]
