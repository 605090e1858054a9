# SPDX-License-Identifier: Apache-2.0
"""How generous a decoder is: which departures from the standard it takes, and how much."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Quirk(enum.Flag):
    """Departures from the standard that real meters show; each can be switched off.

    `Quirk.ALL & ~Quirk.DZG_SIGN` accepts all but one, `Quirk(0)` none.
    """

    DZG_SIGN = enum.auto()
    """DZG DVS74 of two serial ranges send positive power, in all and of a phase, as a signed number
    that lacks room for its sign; `ListEntry.corrected` then holds the number meant. Off: it stays
    None."""

    KERMIT_CRC = enum.auto()
    """Some Holley DTZ541 use CRC-16/Kermit for messages and frames. Off: such CRCs are wrong."""

    BARE_TIME = enum.auto()
    """Some Holley DTZ541 send an SML_Time as its bare value, without choosing one of its forms."""

    REPEATED_TYPE = enum.auto()
    """Hager meters repeat the type bits in the second byte of a type-length field: f1 77 for f1 07.
    Off: such fields are malformed."""

    PADDING_4 = enum.auto()
    """DZG DVS74 pad with four bytes where none would do; the standard allows 0 to 3."""

    LIST_VALUE = enum.auto()
    """Some EMH meters send a value that is a list (SML_ListType, only since version 1.05)."""

    MISSING_VALUE = enum.auto()
    """Some EMH meters send entries without their mandatory value: `value` is None."""

    SHORT_CHECKSUM = enum.auto()
    """A message checksum whose high byte is zero may come as one byte (as gateways send it).
    Off: it is malformed."""

    SHORT_RECORD = enum.auto()
    """Optional fields at the end of a record may be left out altogether."""

    ALL = (
        DZG_SIGN | KERMIT_CRC | BARE_TIME | REPEATED_TYPE | PADDING_4 | LIST_VALUE
        | MISSING_VALUE | SHORT_CHECKSUM | SHORT_RECORD
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Limits:
    """The most that a decoder takes from a stranger; beyond it raises `LimitExceeded`.

    `frame` bounds what a stream decoder buffers, in bytes; `octets` one octet string, in bytes;
    `elements` one list; `depth` the nesting of lists.
    """

    frame: int = 1 << 20
    octets: int = 1 << 20
    elements: int = 1 << 16
    depth: int = 64


DEFAULT_LIMITS = Limits()
