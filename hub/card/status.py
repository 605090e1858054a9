# SPDX-License-Identifier: Apache-2.0
"""Status words, and the one exception that becomes one.

A handler that will not do what it is asked raises `CardRefusal` with the status word that the
standards prescribe and the rule that says so; the connection answers with the first and shows
the second to whoever traces the card. Secrets never stand in a reason.
"""

import enum
from collections.abc import Iterator
from contextlib import contextmanager

from hub.errors import HubError
from protocols.iso7816.errors import MalformedTlv


class Sw(enum.IntEnum):
    """The status words this card uses (ISO/IEC 7816-4, 5.6; GPCS 2.3.1, 11.1.3)."""

    SUCCESS = 0x9000
    MORE_DATA = 0x6100
    CARD_IS_LOCKED = 0x6283
    AUTHENTICATION_FAILED = 0x6300
    MORE_ENTRIES = 0x6310
    MEMORY_FAILURE = 0x6581
    WRONG_LENGTH = 0x6700
    CHANNEL_NOT_SUPPORTED = 0x6881
    SECURE_MESSAGING_NOT_SUPPORTED = 0x6882
    LAST_OF_CHAIN_EXPECTED = 0x6883
    SECURITY_NOT_SATISFIED = 0x6982
    BLOCKED = 0x6983
    CONDITIONS_NOT_SATISFIED = 0x6985
    WRONG_DATA = 0x6A80
    FUNCTION_NOT_SUPPORTED = 0x6A81
    NOT_FOUND = 0x6A82
    NO_MEMORY = 0x6A84
    WRONG_P1_P2 = 0x6A86
    REFERENCE_NOT_FOUND = 0x6A88
    UNKNOWN_INSTRUCTION = 0x6D00
    UNKNOWN_CLASS = 0x6E00
    NO_DIAGNOSIS = 0x6F00
    NOT_SELECTED = 0x6999


class CardRefusal(HubError):
    """The card will not do it: a status word and the rule behind it."""

    def __init__(self, sw: int, reason: str) -> None:
        super().__init__(f"{sw:04X}: {reason}")
        self.status_word = sw
        self.reason = reason


@contextmanager
def refusing_malformed(what: str) -> Iterator[None]:
    """Turn `MalformedTlv` into the `CardRefusal` (6A80) that says `what` is malformed."""
    try:
        yield
    except MalformedTlv as error:
        raise CardRefusal(Sw.WRONG_DATA, f"{what}: {error}") from error
