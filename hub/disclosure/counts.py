# SPDX-License-Identifier: Apache-2.0
"""How much one applet has told one recipient: numbers about any moment, how often, and bits.

count      no more numbers are about any one moment than the consent says
how often  no more numbers are about periods that lie within so many days than it says
bits       of a consent by bits: no more bits are about any one slot than it says
"""

from collections.abc import Mapping, Sequence

from hub.disclosure.consents import ConsentTerms
from hub.disclosure.frequency import check_often
from hub.disclosure.numbers import Number, ReleasedNumber
from hub.disclosure.rules import check_count, check_slot_bits
from protocols.amounts import Reading


def check_counts(
    fresh: Sequence[Number],
    terms: Mapping[str, ConsentTerms],
    own: Sequence[ReleasedNumber],
) -> None:
    """Hold the numbers asked for against those told by the same applet to the same recipient."""
    counted = [number for number in fresh if not number.is_recalled]
    if counted:
        _check_counted(counted, terms, own)
    _check_bits(fresh, terms, own)


def _check_counted(
    counted: Sequence[Number], terms: Mapping[str, ConsentTerms], own: Sequence[ReleasedNumber]
) -> None:
    period = counted[0].begin, counted[0].end
    registers = frozenset[str]().union(*(number.registers for number in counted))
    for kind, one in terms.items():
        same = {
            # All samples of a request are one answer: how far they are apart bounds them.
            (told.sequence if kind == Reading.kind else told.number.identity): told.number
            for told in own
            if kind in told.number.kinds
            and registers & told.number.registers
            and not told.number.is_recalled
        }
        asked = [number for number in counted if kind in number.kinds]
        count = min(1, len(asked)) if kind == Reading.kind else len(asked)
        spans = [(number.begin, number.end) for number in same.values()]
        check_count(period, count, spans, one.answers)
        check_often(period, spans, one, count)


def _check_bits(
    fresh: Sequence[Number], terms: Mapping[str, ConsentTerms], own: Sequence[ReleasedNumber]
) -> None:
    """Hold bits about any one slot to the consents by bits; what is recalled tells bits, too."""
    for kind, one in terms.items():
        asked = [number for number in fresh if one.slot_bits and kind in number.kinds]
        for period in sorted({(number.begin, number.end) for number in asked}):
            here = [number for number in asked if (number.begin, number.end) == period]
            registers = frozenset[str]().union(*(number.registers for number in here))
            told = {
                (known.sequence if kind == Reading.kind else known.number.identity): (
                    known.number.begin,
                    known.number.end,
                    known.number.bits,
                )
                for known in own
                if kind in known.number.kinds and registers & known.number.registers
            }
            bits = sum(number.bits for number in here)
            check_slot_bits(period, bits, told.values(), one.slot_bits)
