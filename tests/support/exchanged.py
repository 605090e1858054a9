# SPDX-License-Identifier: Apache-2.0
"""A sunny household in March 2025 whose meter is exchanged: what each sent, what was used."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Final

from hub.meters.emulated import emulated_meter_id, telegrams
from hub.meters.simulator import SyntheticHousehold
from hub.readings import Reading, ReadingFlag, Readout
from protocols.metrology import ACTIVE_ENERGY_EXPORT, ACTIVE_ENERGY_IMPORT, Period

MARCH: Final = Period.month(2025, 3)
ZONE: Final = "Europe/Berlin"
SLOT: Final = 900
REGISTERS: Final = ACTIVE_ENERGY_IMPORT, ACTIVE_ENERGY_EXPORT
OBIS: Final = "1-0:1.8.0*255", "1-0:2.8.0*255"


@dataclass(frozen=True, slots=True)
class Exchange:
    """When a meter with this serial number was put up, and what its registers showed first."""

    time: int
    serial: int
    starts: Mapping[bytes, int]

    @property
    def meter(self) -> bytes:
        """The new meter's id."""
        return emulated_meter_id(self.serial)

    @property
    def at(self) -> str:
        """The moment, as the command takes it."""
        return datetime.fromtimestamp(self.time, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def whole_month() -> list[Readout]:
    """Return what one meter would have shown all month, every quarter-hour."""
    house = SyntheticHousehold(ZONE, solar_watts_peak=6_000)
    return list(house.readouts(MARCH.first, MARCH.last, SLOT))


def uses(readouts: Sequence[Readout], register: bytes) -> list[int]:
    """Return the use of each quarter-hour."""
    shown = [readout.readings[register].register_wh for readout in readouts]
    return [after - before for before, after in pairwise(shown)]


@dataclass(frozen=True, slots=True)
class MeterPart:
    """What one meter sent, and what came after it."""

    meter: bytes
    readouts: list[Readout]
    exchange: Exchange | None
    """That ended it."""
    ends: Mapping[bytes, int]
    """What its registers showed last."""

    @property
    def options(self) -> list[object]:
        """The exchange as options of `meterlet hub exchange-meter`."""
        assert self.exchange is not None
        options: list[object] = ["--at", self.exchange.at, "--meter", self.exchange.meter.hex()]
        for obis, code in zip(OBIS, REGISTERS, strict=True):
            options += ["--register", f"{obis}={self.ends[code]}:{self.exchange.starts[code]}"]
        return options

    def write(self, path: Path) -> Path:
        """Write what it sent as a capture."""
        path.write_bytes(b"".join(telegrams(self.meter, self.readouts)))
        return path


def parts(
    readouts: Sequence[Readout],
    exchanges: Sequence[Exchange],
    gaps: Sequence[range] = (),
) -> Iterator[MeterPart]:
    """Yield what each meter sent of a month; in `gaps` nobody read."""
    meter, offsets, first = emulated_meter_id(1), dict.fromkeys(REGISTERS, 0), readouts[0].time
    for exchange in (*exchanges, None):
        last = readouts[-1].time + 1 if exchange is None else exchange.time
        sent = [one for one in readouts if first <= one.time < last]
        ends = {code: _register_at(readouts, code, last) + offsets[code] for code in REGISTERS}
        yield MeterPart(
            meter,
            [_shifted(one, offsets, gaps, first) for one in _read(sent, gaps)],
            exchange,
            ends,
        )
        if exchange is not None:
            # What the old meter counted after its last readout, the new one does not count.
            offsets = {
                code: exchange.starts[code] - (ends[code] - offsets[code]) for code in REGISTERS
            }
            meter, first = exchange.meter, exchange.time + 1


def _read(readouts: Sequence[Readout], gaps: Sequence[range]) -> list[Readout]:
    return [one for one in readouts if not any(one.time in gap for gap in gaps)]


def _shifted(
    readout: Readout, offsets: Mapping[bytes, int], gaps: Sequence[range], first: int
) -> Readout:
    resumed = any(gap.stop <= readout.time < gap.stop + SLOT for gap in gaps)
    flags = ReadingFlag.RESUMED if resumed else ReadingFlag(0)
    return Readout(
        {
            code: Reading(readout.time, reading.register_wh + offsets[code], flags)
            for code, reading in readout.readings.items()
        }
    )


def _register_at(readouts: Sequence[Readout], code: bytes, time: int) -> int:
    """Return a register at a moment: between two readouts, half of what was used between them."""
    before = [one for one in readouts if one.time <= time][-1].readings[code].register_wh
    after = next((one for one in readouts if one.time > time), None)
    on_readout = any(one.time == time for one in readouts)
    if after is None or on_readout:
        return before
    return before + (after.readings[code].register_wh - before) // 2
