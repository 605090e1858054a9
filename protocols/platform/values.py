# SPDX-License-Identifier: Apache-2.0
"""What the platform's calls return: each a record of the contract."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from protocols.platform.rows import Leaf

__all__ = ["U32", "Grid", "Opened", "OpenedAmounts", "Slots", "Use"]

U32 = Annotated[int, Leaf.U32]
"""A whole number of 32 bits; an `int` has 64 and a sign."""


@dataclass(frozen=True, slots=True)
class Opened:
    """Σ weight·use over a period, and what proves it.

    opening           Σ weight·blinding modulo the group's order: 32 bytes, big-endian
    certified days    the period's, in order, as the certifier signed them
    digest            what the disclosure ledger calls this release: 32 bytes
    """

    value: int
    opening: bytes
    certified_days: tuple[bytes, ...]
    digest: bytes


@dataclass(frozen=True, slots=True)
class OpenedAmounts:
    """What several amounts come to over a period, and what proves it.

    certified days    the period's, in order, as the certifier signed them
    """

    values: tuple[int, ...]
    proof: bytes
    certified_days: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Grid:
    """How time is cut into slots, which fill the local days of an IANA zone."""

    record: ClassVar = "slot-grid"

    zone: str
    slot_minutes: U32


@dataclass(frozen=True, slots=True)
class Slots:
    """When a period's slots start, in order, and their states.

    A state is a byte: 0 measured, 1 estimated, 2 substituted, 3 missing.
    """

    record: ClassVar = "slot-list"

    starts: tuple[int, ...]
    states: bytes


@dataclass(frozen=True, slots=True)
class Use:
    """What was used in a period's slots; starts and states are those of slots."""

    record: ClassVar = "slot-use"

    starts: tuple[int, ...]
    watt_hours: tuple[int, ...]
    states: bytes
