# SPDX-License-Identifier: Apache-2.0
"""Registers of a meter by their OBIS codes: what they count, and the pair that a bill may be about.

An OBIS code has the value groups A to F (IEC 62056-6-1); of electricity (A = 1), C = 1 is active
energy drawn and C = 2 active energy fed in. So 1-0:1.8.0*255 and 1-0:2.8.0*255 are a pair.

A says the medium, and with it what a register counts in whole steps, here and everywhere:

    1        electricity             watt-hours, shown as kWh
    5, 6     cold and heat           watt-hours, shown as kWh
    7        gas                     litres, shown as m3
    8, 9     cold and hot water      litres, shown as m3

Where a name or a column of this project says watt-hours, of a register of volume it is litres.
"""

import enum
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

OBIS_SIZE: Final = 6
ELECTRICITY: Final = 1
DRAWN, FED_IN = 1, 2
ACTIVE_ENERGY_IMPORT: Final = bytes.fromhex("0100010800ff")
"""1-0:1.8.0*255."""
ACTIVE_ENERGY_EXPORT: Final = bytes.fromhex("0100020800ff")
"""1-0:2.8.0*255."""
GAS_VOLUME: Final = bytes.fromhex("0700030000ff")
"""7-0:3.0.0*255."""
WATER_VOLUME: Final = bytes.fromhex("0800010000ff")
"""8-0:1.0.0*255, of cold water."""
HEAT_ENERGY: Final = bytes.fromhex("0600010000ff")
"""6-0:1.0.0*255."""
_CODE: Final = re.compile("[0-9a-f]{12}")


def is_feed_in_pair(register: bytes, feed_in_register: bytes) -> bool:
    """Tell whether these OBIS codes are of energy drawn and of energy fed in, in this order.

    Whoever mixed them up would have what is drawn credited.
    """
    return (
        len(register) == len(feed_in_register) == OBIS_SIZE
        and register[0] == feed_in_register[0] == ELECTRICITY
        and (register[2], feed_in_register[2]) == (DRAWN, FED_IN)
    )


def encode_registers(main: bytes, others: Iterable[bytes], slot_minutes: int) -> dict[str, Any]:
    """Return the registers that a recipient knows of: what is to be known of each, by OBIS code.

    The codes are in hexadecimal digits. What is to be known is how long a slot is.
    """
    return {code.hex(): {"slot_minutes": slot_minutes} for code in sorted({main, *others})}


def decode_registers(value: object, main: bytes) -> tuple[tuple[bytes, ...], int]:
    """Return the other registers than `main`, in order, and the length of slots.

    Raises `ValueError`, beginning with the register's code, for anything that `encode_registers`
    does not give, and where registers have slots of different lengths or `main` is not there.
    """
    if not isinstance(value, Mapping) or main.hex() not in value:
        raise ValueError("not a mapping that has the main one")
    lengths = set()
    for code, terms in value.items():
        if not isinstance(code, str) or not _CODE.fullmatch(code):
            raise ValueError(f"{code!r}: not an OBIS code of 6 bytes in hexadecimal digits")
        match terms:
            case {"slot_minutes": int(minutes)} if len(terms) == 1 and type(minutes) is int:
                lengths.add(minutes)
            case _:
                raise ValueError(f"{code}: just slot_minutes has to be said of it")
    if len(lengths) > 1:
        raise ValueError("slots of different lengths")
    others = tuple(bytes.fromhex(code) for code in sorted(value) if code != main.hex())
    return others, lengths.pop()


def feed_in_of(register: bytes, registers: Iterable[bytes]) -> bytes | None:
    """Return the first of these registers that counts what is fed in beside `register`, or None."""
    return next((other for other in registers if is_feed_in_pair(register, other)), None)


class Medium(enum.IntEnum):
    """What a meter measures; the numbers are those of value group A."""

    ELECTRICITY = 1
    COLD = 5
    HEAT = 6
    GAS = 7
    COLD_WATER = 8
    HOT_WATER = 9

    @property
    def counts_volume(self) -> bool:
        """Whether its registers count litres, not watt-hours."""
        return self in (Medium.GAS, Medium.COLD_WATER, Medium.HOT_WATER)

    @property
    def step(self) -> str:
        """The unit of a register's whole steps."""
        return "l" if self.counts_volume else "Wh"

    @property
    def shown_unit(self) -> str:
        """The unit that people read, of a thousand steps."""
        return "m3" if self.counts_volume else "kWh"

    def __str__(self) -> str:
        return self.name.lower().replace("_", " ")


def medium_of(register: bytes) -> Medium:
    """Return what a register is of; of a code that says nothing, electricity."""
    try:
        return Medium(register[0])
    except ValueError:
        return Medium.ELECTRICITY
