# SPDX-License-Identifier: Apache-2.0
"""The ranges that a statement gathers, and which proofs they come to in the end.

What is of whole bytes is looked up, where there is enough of it or it is of a maximum; all others
are in one Bulletproof, or are proved bit by bit where that is shorter. A range that does not end at
a power of 2 is always in the Bulletproof. Widths, ends and groups decide, which both sides know.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from protocols.proofs.batch import Check
from protocols.proofs.bits import FEW_BITS, receive_bits, send_bits
from protocols.proofs.channel import Incoming, Outgoing
from protocols.proofs.group import Point
from protocols.proofs.many_ranges import are_looked_up, receive_many_ranges, send_many_ranges
from protocols.proofs.nonces import Nonces
from protocols.proofs.quantity import Quantity
from protocols.proofs.ranges import receive_bounded, send_bounded


@dataclass(frozen=True, slots=True)
class Range:
    """0 <= quantity < 2^width, or up to a largest number of that width."""

    label: str
    quantity: Quantity
    width: int
    group: int | None = None
    """Which maximum it is part of: one quantity of such a group is 0."""
    most: int | None = None
    """The largest number, where that is not 2^width - 1."""

    @property
    def largest(self) -> int:
        """The largest number."""
        return (1 << self.width) - 1 if self.most is None else self.most


def send_gathered(channel: Outgoing, ranges: Sequence[Range], nonces: Nonces) -> None:
    """Send the proofs of all ranges; raise `FalseStatement` where one does not hold."""
    looked_up, others = _split(ranges)
    if looked_up:
        send_many_ranges(
            channel, _opened(looked_up), _widths(looked_up), _groups(looked_up), nonces
        )
    if _is_bulletproof(others):
        send_bounded(channel, _opened(others), [one.largest for one in others], nonces)
        return
    for one in others:
        send_bits(channel, one.quantity.point, one.quantity.opened(), one.width, nonces)


def receive_gathered(channel: Incoming, ranges: Sequence[Range]) -> list[Check]:
    """Receive the proofs of all ranges; what remains is to check them."""
    checks: list[Check] = []
    looked_up, others = _split(ranges)
    if looked_up:
        points, groups = _points(looked_up), _groups(looked_up)
        checks.append(
            receive_many_ranges(channel, _name(looked_up), points, _widths(looked_up), groups)
        )
    if _is_bulletproof(others):
        largest = [one.largest for one in others]
        checks.append(receive_bounded(channel, _name(others), _points(others), largest))
        return checks
    for one in others:
        checks += receive_bits(channel, _name(others), one.quantity.point, one.width)
    return checks


def _split(ranges: Sequence[Range]) -> tuple[list[Range], list[Range]]:
    """Return which ranges are looked up, and which are not."""
    plain = [one for one in ranges if one.most is None]
    grouped = [one.group is not None for one in plain]
    looked_up = {
        id(one)
        for one, is_looked_up in zip(plain, are_looked_up(_widths(plain), grouped), strict=True)
        if is_looked_up
    }
    split: dict[bool, list[Range]] = {True: [], False: []}
    for one in ranges:
        split[id(one) in looked_up].append(one)
    return split[True], split[False]


def _is_bulletproof(others: Sequence[Range]) -> bool:
    return sum(_widths(others)) > FEW_BITS or any(one.most is not None for one in others)


def _groups(ranges: Sequence[Range]) -> list[list[int]]:
    """Return the places of each maximum's ranges."""
    places: dict[int, list[int]] = {}
    for place, one in enumerate(ranges):
        if one.group is not None:
            places.setdefault(one.group, []).append(place)
    return [*places.values()]


def _opened(ranges: Sequence[Range]) -> list[tuple[int, int]]:
    return [one.quantity.opened() for one in ranges]


def _points(ranges: Sequence[Range]) -> list[Point]:
    return [one.quantity.point for one in ranges]


def _widths(ranges: Sequence[Range]) -> list[int]:
    return [one.width for one in ranges]


def _name(ranges: Sequence[Range]) -> str:
    return "the ranges of " + ", ".join(dict.fromkeys(one.label for one in ranges))
