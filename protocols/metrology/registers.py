# SPDX-License-Identifier: Apache-2.0
"""Registers of a meter by their OBIS codes, and the pair that a bill may be about: drawn, fed in.

An OBIS code has the value groups A to F (IEC 62056-6-1); of electricity (A = 1), C = 1 is active
energy drawn and C = 2 active energy fed in. So 1-0:1.8.0*255 and 1-0:2.8.0*255 are a pair.
"""

from collections.abc import Iterable
from typing import Final

OBIS_SIZE: Final = 6
ELECTRICITY: Final = 1
DRAWN, FED_IN = 1, 2
ACTIVE_ENERGY_IMPORT: Final = bytes.fromhex("0100010800ff")
"""1-0:1.8.0*255."""
ACTIVE_ENERGY_EXPORT: Final = bytes.fromhex("0100020800ff")
"""1-0:2.8.0*255."""


def is_feed_in_pair(register: bytes, feed_in_register: bytes) -> bool:
    """Tell whether these OBIS codes are of energy drawn and of energy fed in, in this order.

    Whoever mixed them up would have what is drawn credited.
    """
    return (
        len(register) == len(feed_in_register) == OBIS_SIZE
        and register[0] == feed_in_register[0] == ELECTRICITY
        and (register[2], feed_in_register[2]) == (DRAWN, FED_IN)
    )


def feed_in_of(register: bytes, registers: Iterable[bytes]) -> bytes | None:
    """Return the first of these registers that counts what is fed in beside `register`, or None."""
    return next((other for other in registers if is_feed_in_pair(register, other)), None)
