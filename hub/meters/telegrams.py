# SPDX-License-Identifier: Apache-2.0
"""What a telegram says of one meter, whatever protocol carried it.

A reader (`hub.meters.readers`) makes these of a stream's bytes. Each names what the meter counts by
medium and OBIS groups C, D and E, in whole watt-hours or litres, rounded down. Where a meter counts
by tariff alone, as the Dutch do, the total is the sum of its tariffs.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from decimal import Decimal
from typing import Final, NamedTuple, Protocol, Self

from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.cmac import CMAC

from meter_codecs.mbus import MeterKey
from protocols.metrology import Medium

TOTAL: Final = 0
"""In group E: over all tariffs."""
MOST_TARIFFS: Final = 4
MOST_METERS: Final = 4096
"""Whose counters are remembered."""
LARGEST_DIGITS: Final = 30
MOST_DIGITS: Final = 1_000
"""Of a value, leading to trailing: more than any number of a meter has, floats of 8 bytes too."""
UNITS: Final[Mapping[str, tuple[int, int]]] = {
    "Wh": (1, 1),
    "kWh": (1_000, 1),
    "MWh": (1_000_000, 1),
    "GWh": (1_000_000_000, 1),
    "J": (1, 3_600),
    "kJ": (1_000, 3_600),
    "MJ": (1_000_000, 3_600),
    "GJ": (1_000_000_000, 3_600),
    "l": (1, 1),
    "dm3": (1, 1),
    "m3": (1_000, 1),
    "m³": (1_000, 1),
}
"""What each unit is in watt-hours or litres, as a fraction."""
VOLUMES: Final = frozenset({"l", "dm3", "m3", "m³"})


class Quantity(NamedTuple):
    """What a register counts: the groups A, C, D and E of its OBIS code; B says which one it is."""

    medium: int
    c: int
    d: int
    e: int

    @classmethod
    def of(cls, register: bytes) -> Self:
        """Return what a register counts, by its OBIS code of 6 bytes."""
        return cls(register[0], register[2], register[3], register[4])


DRAWN: Final = Quantity(Medium.ELECTRICITY, 1, 8, TOTAL)
FED_IN: Final = Quantity(Medium.ELECTRICITY, 2, 8, TOTAL)
GAS: Final = Quantity(Medium.GAS, 3, 0, TOTAL)
COLD_WATER: Final = Quantity(Medium.COLD_WATER, 1, 0, TOTAL)
HOT_WATER: Final = Quantity(Medium.HOT_WATER, 1, 0, TOTAL)
HEAT: Final = Quantity(Medium.HEAT, 1, 0, TOTAL)
COLD: Final = Quantity(Medium.COLD, 1, 0, TOTAL)


class Counted(NamedTuple):
    """What a register shows, in whole steps, and by how many it goes on at least."""

    steps: int
    at_least: int


@dataclass(frozen=True, slots=True)
class MeterTelegram:
    """What one telegram says of one meter."""

    offset: int
    """Where in the stream it begins."""
    protocol: str
    """`P1`, `DLMS`, `M-Bus`, `wireless M-Bus`, `Current Cost`, `MQTT`."""
    meter: bytes
    """Its identification, in the letters that people read; empty where it sends none."""
    counted: Mapping[Quantity, Counted]
    time: int | None = None
    """When it was read, where it says so, in epoch seconds."""
    watts: int | None = None
    """The power of the moment."""
    key_mark: bytes | None = None
    """By which key it was deciphered and found right (`key_mark`); None: it came in clear."""

    def shown(self, register: bytes) -> Counted | None:
        """Return what a register shows, None where the telegram does not say it."""
        wanted = Quantity.of(register)
        found = self.counted.get(wanted)
        if found is not None or wanted.e != TOTAL:
            return found
        tariffs = [
            one
            for number in range(1, MOST_TARIFFS + 1)
            if (one := self.counted.get(wanted._replace(e=number))) is not None
        ]
        if not tariffs:
            return None
        return Counted(sum(one.steps for one in tariffs), max(one.at_least for one in tariffs))


@dataclass(frozen=True, slots=True)
class LostBytes:
    """Bytes that nothing could be read from."""

    offset: int
    reason: str
    meter: bytes = b""
    """Whose they are, where that can be told: of sources on which many are heard."""


_MARKED: Final = b"which key it was"


def key_mark(key: bytes | MeterKey) -> bytes:
    """Return what two keys are told apart by; the key does not follow from it."""
    if isinstance(key, MeterKey):
        return key.mac(_MARKED)
    cmac = CMAC(AES(key))
    cmac.update(_MARKED)
    return cmac.finalize()


IN_CLEAR: Final = "it came in clear, and there is a key for this meter: anybody can have sent it"
OTHER_KEY: Final = "the key that opens it is another meter's: this one's own is known"
NAMELESS: Final = "it names no meter, and only the hub's own, or the one of --of, may do so"
NO_TAG: Final = "it has no tag, and there is an authentication key: anybody can have changed it"
SEEN_BEFORE: Final = "its counter is not above the last one: it was sent before"


@dataclass(slots=True)
class Counters:
    """The highest counter of each meter's protected messages: an earlier one was sent before."""

    _last: dict[bytes, int] = field(default_factory=dict)

    def follows(self, meter: bytes, counter: int | None) -> bool:
        """Tell whether a counter is above the last one of a meter; one without is no matter."""
        if counter is None:
            return True
        last = self._last.get(meter)
        if last is not None and counter <= last:
            return False
        if last is not None or len(self._last) < MOST_METERS:
            self._last[meter] = counter
        return True


@dataclass(slots=True)
class Heard:
    """What a reader made of some bytes."""

    telegrams: list[MeterTelegram] = field(default_factory=list)
    lost: list[LostBytes] = field(default_factory=list)


class Reader(Protocol):
    """Turns the bytes of a line, as they come, into what meters say."""

    def feed(self, data: bytes) -> Heard:
        """Return what is complete."""
        ...

    def close(self) -> Heard:
        """Return what is left at the end."""
        ...


def counted(value: int | Decimal, scaler: int, unit: str | None, medium: Medium) -> Counted | None:
    """Return a value times 10^`scaler` of a unit in whole steps of a medium; None if it is none."""
    if unit is None or unit not in UNITS or (unit in VOLUMES) is not medium.counts_volume:
        return None
    number = Decimal(value)
    if not number.is_finite() or number < 0 or abs(number.adjusted() + scaler) > LARGEST_DIGITS:
        return None
    _, digits, exponent = number.as_tuple()
    assert isinstance(exponent, int)
    if len(digits) > MOST_DIGITS:
        return None
    power = exponent + scaler
    whole = int("".join(map(str, digits)))
    factor, divisor = UNITS[unit]
    top, bottom = whole * factor * 10 ** max(power, 0), divisor * 10 ** max(-power, 0)
    step = factor * 10 ** max(power, 0) // bottom
    return Counted(top // bottom, max(step, 1))


def epoch_seconds(moment: datetime, zone: tzinfo) -> int:
    """Return a meter's moment in epoch seconds; one that says no zone is of where it hangs."""
    return int((moment if moment.tzinfo else moment.replace(tzinfo=zone)).timestamp())


def gathered(values: Iterable[tuple[Quantity, Counted | None]]) -> dict[Quantity, Counted]:
    """Return the first value of each quantity."""
    found: dict[Quantity, Counted] = {}
    for quantity, one in values:
        if one is not None:
            found.setdefault(quantity, one)
    return found
