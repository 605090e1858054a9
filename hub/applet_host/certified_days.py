# SPDX-License-Identifier: Apache-2.0
"""Which days are certified, for whoever may ask about a register: in refusals, and when asked."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Final

from hub.metering import MeteredRegister
from protocols.certified_span import encode_span, span_in_words
from protocols.iso7816.apdu import CommandApdu, ResponseApdu
from protocols.metrology import Period
from protocols.platform.errors import Refusal, Refused
from sml_codec import Obis

SW_SUCCESS: Final = 0x9000
SW_WRONG_P1_P2: Final = 0x6A86
SW_NOT_FOUND: Final = 0x6A88


def incomplete(meters: Sequence[MeteredRegister], period: Period) -> Refused:
    """Return the refusal of a period with days that are not certified; it names those that are."""
    spans = [meter.certified_span() for meter in meters]
    shortest = min(spans, key=lambda span: span.last if span else date.min)
    return Refused(
        Refusal.INCOMPLETE,
        f"incomplete: {period.first} to {period.last} was asked for, {span_in_words(shortest)}",
    )


def tell_span(registers: Mapping[str, MeteredRegister], command: CommandApdu) -> ResponseApdu:
    """Answer DAYS (`protocols.certified_span`) about one of the registers an applet may ask of."""
    if command.p2:
        return ResponseApdu(b"", SW_WRONG_P1_P2)
    for name, meter in registers.items():
        if Obis.parse(name).code == command.data:
            return ResponseApdu(encode_span(meter.certified_span()), SW_SUCCESS)
    return ResponseApdu(b"", SW_NOT_FOUND)
