# SPDX-License-Identifier: Apache-2.0
"""From the carried state of an account to the quantities that numbers go on from, and back.

Both sides work out what a bill hands on (`protocols.proofs.numbers`): the hub with openings, which
it keeps, the recipient as points. So a state needs no proof of its own.
"""

from collections.abc import Mapping, Sequence

from protocols.amounts import Carried, NumberAmount, Total
from protocols.carried import CarriedState, CarriedValue
from protocols.proofs.errors import FalseStatement, ProofRefused
from protocols.proofs.group import Point
from protocols.proofs.pedersen import commit
from protocols.proofs.quantity import Quantity

Openings = Mapping[str, tuple[int, int]]
"""Value and blinding of each carried value, by name."""


def carried_quantities(
    state: CarriedState, numbers: Sequence[NumberAmount], openings: Openings | None = None
) -> dict[str, Quantity]:
    """Return the values that numbers go on from, with their openings where these are given.

    Raises `ProofRefused` where the state has not just what the numbers take for carried,
    `FalseStatement` where it is not what the openings open.
    """
    quantities = {}
    for number in numbers:
        for one in number.carried if isinstance(number, Total) else ():
            known = state.find(one.name)
            if known is None or known.carried != one:
                raise ProofRefused(f"the state has no {one.name}, or with other bounds")
            low, high = one.bounds
            secret = None if openings is None else openings[one.name]
            point = Point.decode(known.point)
            if secret is not None and commit(*secret) != point:
                raise FalseStatement(f"{one.name}: the state is not the one that was kept")
            quantities[one.name] = Quantity(point, max(abs(low), abs(high)), secret)
    return quantities


def state_after(
    state: CarriedState, end: int, numbers: Sequence[NumberAmount], kept: Mapping[str, Quantity]
) -> CarriedState:
    """Return the state that a bill up to `end` hands on which went on from `state`."""
    values = [
        CarriedValue(Carried(one.name, one.low, one.bits), kept[one.name].point.encode())
        for number in numbers
        if isinstance(number, Total)
        for one in number.kept
    ]
    return state.following(end, sorted(values, key=lambda value: value.name))


def fit_state(state: CarriedState, numbers: Sequence[NumberAmount]) -> bool:
    """Tell whether a state has just the values, with their bounds, that numbers go on from."""
    carried = [one for number in numbers if isinstance(number, Total) for one in number.carried]
    known = {value.name: value.carried for value in state.values}
    return all(known.get(one.name) == one for one in carried)


def quantities_of(openings: Openings) -> dict[str, Quantity]:
    """Return the quantities that openings open."""
    return {
        name: Quantity(commit(value, blinding), abs(value), (value, blinding))
        for name, (value, blinding) in openings.items()
    }


def openings_of(kept: Mapping[str, Quantity]) -> dict[str, tuple[int, int]]:
    """Return what the prover keeps of what is handed on."""
    return {name: quantity.opened() for name, quantity in kept.items()}
