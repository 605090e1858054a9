# SPDX-License-Identifier: Apache-2.0
"""Domain parameters of curves: the known ones to the last bit, and no others."""

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from hub.card.keys.curves import CURVES, NUMBERS, PARAMETERS, reference_of
from hub.card.status import CardRefusal
from tests.support.card import domain_parameters

references = st.sampled_from(sorted(CURVES))


@given(reference=references, scalar=st.integers(1, 1 << 200))
def test_points_of_the_library_satisfy_the_equation(reference: int, scalar: int) -> None:
    numbers, curve = NUMBERS[reference], CURVES[reference]()
    point = ec.derive_private_key(scalar, curve).public_key().public_numbers()
    x, y = point.x, point.y
    assert y * y % numbers.p == (x**3 + numbers.a * x + numbers.b) % numbers.p


@pytest.mark.parametrize("reference", CURVES)
def test_the_order_is_that_of_the_generator(reference: int) -> None:
    numbers, curve = NUMBERS[reference], CURVES[reference]()
    one, last = (
        ec.derive_private_key(scalar, curve).public_key().public_numbers()
        for scalar in (1, numbers.n - 1)
    )
    assert (last.x, last.y) == (one.x, numbers.p - one.y)


@pytest.mark.parametrize("reference", CURVES)
def test_a_curve_is_found_with_and_without_its_cofactor(reference: int) -> None:
    parameters = domain_parameters(reference)
    assert reference_of(parameters) == reference
    assert reference_of([*parameters, (0xB7, b"\x01")]) == reference
    # P-521 has a coefficient that begins with zeros, which some leave out.
    bare = [(kind, value.lstrip(b"\0")) for kind, value in parameters]
    assert reference_of(bare) == reference


@given(reference=references, kind=st.sampled_from(PARAMETERS), bit=st.integers(0, 255))
def test_a_parameter_with_another_bit_is_refused(reference: int, kind: int, bit: int) -> None:
    parameters = dict([*domain_parameters(reference), (0xB7, b"\x01".rjust(32, b"\0"))])
    size = len(parameters[kind])
    changed = int.from_bytes(parameters[kind], "big") ^ 1 << bit
    parameters[kind] = changed.to_bytes(size, "big")
    with pytest.raises(CardRefusal):
        reference_of(list(parameters.items()))


def test_parameters_come_whole_and_in_order() -> None:
    parameters = domain_parameters(0)
    for some in ([], parameters[:-1], parameters[::-1], [*parameters, parameters[0]]):
        with pytest.raises(CardRefusal):
            reference_of(some)
