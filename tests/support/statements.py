# SPDX-License-Identifier: Apache-2.0
"""Certified days as a hub sends them with a statement, and the source for its prover."""

from collections.abc import Sequence

from hub.certifier import Certification, Certifier
from protocols.amounts import Amount, NumberAmount
from protocols.metrology import CertifiedPeriod
from protocols.proofs import Source, needs_slots, registers_by_slots


def sent(
    certifier: Certifier, certified: Sequence[Certification], *, by_slots: bool
) -> CertifiedPeriod:
    """Return the days, with their slots where these are needed."""
    days = [certifier.with_slots(one) if by_slots else one.day for one in certified]
    return CertifiedPeriod(tuple(days))


def stated(
    certifier: Certifier, certified: Sequence[Certification], amounts: Sequence[Amount]
) -> tuple[Source, tuple[bytes, ...]]:
    """Return what amounts are proved of, and the days as they are sent with the proof."""
    return _stated(certifier, certified, by_slots=needs_slots(amounts))


def stated_numbers(
    certifier: Certifier,
    certified: Sequence[Certification],
    numbers: Sequence[NumberAmount],
    register: int = 0,
) -> tuple[Source, tuple[bytes, ...]]:
    """Return the same for numbers, of the register that they give this place."""
    by_slots = registers_by_slots(numbers, register + 1)[register]
    return _stated(certifier, certified, by_slots=by_slots)


def _stated(
    certifier: Certifier, certified: Sequence[Certification], *, by_slots: bool
) -> tuple[Source, tuple[bytes, ...]]:
    period = sent(certifier, certified, by_slots=by_slots)
    opening = certifier.opening(certified, needs_slots=by_slots)
    source = period.source(opening, needs_slots=by_slots)
    return source, tuple(day.encode() for day in period.days)
