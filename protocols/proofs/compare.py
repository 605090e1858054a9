# SPDX-License-Identifier: Apache-2.0
"""Comparisons of hidden quantities, and what tariffs make of them.

Each function is a statement that prover and verifier both run (`protocols.proofs.session`). The
ideas are few:

    a ≤ b            b − a is in a range
    m = min(a, b)    m is one of both (one-of-several proof), m ≤ a and m ≤ b
    M = max(x)       M is one of the x, and x[i] ≤ M for all i; of many, all in one proof
    f(x), piecewise  f(x) = slope·x + Σ change[k]·min(x, break[k])    is linear in minima
    q = round(v/d)   v − d·q is in a range of width d

Widths are in bits, of the largest difference that can occur: a statement whose widths are too
small cannot be proved, one whose widths are larger than needed is as sound but longer.
"""

from collections.abc import Callable, Sequence

from protocols.amounts import QuotientRule
from protocols.proofs.many_ranges import FEW_ITEMS
from protocols.proofs.quantity import Quantity
from protocols.proofs.session import Session


def require_at_most(
    session: Session, label: str, small: Quantity, large: Quantity, width: int
) -> None:
    """Prove small ≤ large; their difference is below 2^width."""
    session.require_range(label, large - small, width)


def minimum(session: Session, label: str, a: Quantity, b: Quantity, width: int) -> Quantity:
    """Return the smaller one of two quantities, hiding which it is.

    Size: 195 bytes and two ranges of `width` bits.
    """
    chosen = session.choose(label, (a, b), lambda: int(b.value < a.value))
    require_at_most(session, label, chosen, a, width)
    require_at_most(session, label, chosen, b, width)
    return chosen


def maximum(session: Session, label: str, a: Quantity, b: Quantity, width: int) -> Quantity:
    """Return the larger one of two quantities, hiding which it is."""
    return -minimum(session, label, -a, -b, width)


def positive_part(session: Session, label: str, quantity: Quantity, width: int) -> Quantity:
    """Return the quantity if it is positive, and 0 otherwise."""
    return maximum(session, label, quantity, Quantity.constant(0), width)


def largest(session: Session, label: str, items: Sequence[Quantity], width: int) -> Quantity:
    """Return the largest of many quantities, hiding which it is.

    Size: up to eight items 97 bytes for each item, and a range of `width` bits for each; above, 33
    bytes and a part of the one proof that `protocols.proofs.many_ranges` makes of all maxima.
    """
    if len(items) > FEW_ITEMS:
        return session.largest(label, items, lambda _: width)
    chosen = session.choose(label, items, lambda: _place_of_largest(items))
    for item in items:
        require_at_most(session, label, item, chosen, width)
    return chosen


def largest_few(
    session: Session, label: str, items: Sequence[Quantity], count: int, width: int
) -> Quantity:
    """Return the sum of the `count` largest of more items, hiding which they are.

    The items are not negative, and below 2^width. With a threshold λ, hidden, and for each item a
    hidden bit b that says on which side of λ it is (as a whole: the bits sum to `count`), the sum
    is count·λ + Σ d with d = item − λ where b = 1 and 0 where b = 0. That b and d belong together
    is one choice: d + b·K is 0 or item − λ + K, for a K that no d comes near. Then d ≥ 0 and
    d ≥ item − λ put each item on its side.
    """
    if not 0 < count < len(items):
        raise ValueError(f"{label}: {count} of {len(items)} items")
    apart = 1 << width + 2
    order = _order(items)
    threshold = session.commit(label, lambda: items[order()[count - 1]].value, width)
    total, bits = threshold * count, Quantity.constant(0)
    for place, item in enumerate(items):

        def is_high(place: int = place) -> int:
            return int(place in order()[:count])

        above = item - threshold
        both = session.choose(label, (Quantity.constant(0), above + apart), is_high)
        bit = session.commit(label, is_high, 1)
        part = session.require_range(label, both - bit * apart, width)
        require_at_most(session, label, above, part, width)
        total, bits = total + part, bits + bit
    session.require_equal(label, bits, Quantity.constant(count))
    return total


def _order(items: Sequence[Quantity]) -> Callable[[], list[int]]:
    """Return what tells the places of the items, largest first; only the prover calls it."""
    found: list[int] = []

    def order() -> list[int]:
        if not found:
            found.extend(sorted(range(len(items)), key=lambda place: -items[place].value))
        return found

    return order


def require_largest(
    session: Session, label: str, items: Sequence[Quantity], place: int, width: int
) -> None:
    """Prove that none of the items is larger than the one at the public `place`."""
    for other, item in enumerate(items):
        if other != place:
            require_at_most(session, label, item, items[place], width)


def tiers(
    session: Session, label: str, total: Quantity, limits: Sequence[int], width: int
) -> list[Quantity]:
    """Return how much of `total` lies in each tier: one more than there are limits.

    The limits are public and rise; `total` is not negative. The parts sum to the total by
    construction, and nothing is shown of them.
    """
    if list(limits) != sorted(set(limits)) or min(limits, default=1) <= 0:
        raise ValueError(f"{label}: the limits of the tiers do not rise")
    parts, below = [], Quantity.constant(0)
    for limit in limits:
        up_to = minimum(session, label, total, Quantity.constant(limit), width)
        parts.append(up_to - below)
        below = up_to
    return [*parts, total - below]


def piecewise_linear(
    session: Session,
    label: str,
    quantity: Quantity,
    slopes: Sequence[int],
    breaks: Sequence[int],
    width: int,
) -> Quantity:
    """Return f(quantity), where f(0) = 0 and f has slopes[k] between breaks[k-1] and breaks[k].

    The first slope holds down to minus infinity, the last one up to infinity.
    """
    if len(slopes) != len(breaks) + 1 or list(breaks) != sorted(set(breaks)):
        raise ValueError(f"{label}: not one slope more than there are rising breaks")
    value = quantity * slopes[-1]
    for before, after, place in zip(slopes, slopes[1:], breaks, strict=False):
        bend = minimum(session, label, quantity, Quantity.constant(place), width)
        # min(x, b) − min(0, b): the bend adds nothing at 0.
        value += (bend - min(place, 0)) * (before - after)
    return value


def rounded(
    session: Session,
    label: str,
    quantity: Quantity,
    divisor: int,
    rounding: QuotientRule,
    width: int,
) -> Quantity:
    """Return quantity / divisor as a whole number, committed, below 2^width.

    The quantity is not negative, which is proved too: round -quantity where it is negative.
    Proves bounds of twice the remainder, 2·quantity - 2·divisor·result:

        DOWN        from 0 to 2·divisor - 1
        HALF_UP     from -divisor to divisor - 1
        HALF_EVEN   from -divisor to divisor, one less at both ends if the result is odd
    """
    if divisor < 1:
        raise ValueError(f"{label}: cannot divide by {divisor}")
    result = session.commit(label, lambda: rounding.divide(quantity.value, divisor), width)
    remainder = quantity * 2 - result * (2 * divisor)
    bound = divisor.bit_length() + 1
    if rounding is QuotientRule.DOWN:
        session.require_between(label, remainder, 0, 2 * divisor - 1)
        return result  # which is not negative, and so neither is the quantity
    session.require_range(label, quantity, width + divisor.bit_length())
    if rounding is QuotientRule.HALF_UP:
        session.require_between(label, remainder, -divisor, divisor - 1)
        return result
    odd = session.choose(label, (Quantity.constant(0), Quantity.constant(1)),
                         lambda: result.value % 2)  # fmt: skip
    half = session.commit(label, lambda: result.value // 2, width)
    session.require_equal(label, result, half * 2 + odd)
    session.require_range(label, remainder + divisor - odd, bound)
    session.require_range(label, -remainder + divisor - odd, bound)
    return result


def _place_of_largest(items: Sequence[Quantity]) -> int:
    return max(range(len(items)), key=lambda place: items[place].value)
