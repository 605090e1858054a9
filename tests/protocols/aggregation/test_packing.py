# SPDX-License-Identifier: Apache-2.0
"""Rows of slots: sums come out, and room that does not suffice is refused."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.aggregation.errors import PackingRefused
from protocols.aggregation.packing import Layout
from protocols.proofs.group import ORDER
from tests.support.plain_packing import PlainPacking

LAYOUT = Layout.for_key(1024)
VALUES = st.lists(st.integers(0, (1 << 20) - 1), min_size=1, max_size=60)


@pytest.mark.parametrize(
    ("bits", "readings"), [(1024, 21), (2048, 49), (3072, 77), (4096, 105)]
)  # fmt: skip
def test_a_key_has_room_for_so_many_readings(bits: int, readings: int) -> None:
    layout = Layout.for_key(bits)
    assert layout.slots * layout.limbs == readings
    assert layout.plaintext_count(readings) == 1
    assert layout.plaintext_count(readings + 1) == 2


@given(VALUES)
def test_values_come_back_out_of_limbs_and_plaintexts(values: list[int]) -> None:
    limbs = LAYOUT.limbs_of(values)
    assert len(limbs) == LAYOUT.limb_count(len(values))
    plaintexts = LAYOUT.plaintexts_of(limbs)
    assert LAYOUT.limbs_in(plaintexts, len(limbs), 1) == limbs
    assert LAYOUT.values_of(limbs, len(values)) == values


@pytest.mark.parametrize("bits", [1024, 2048, 3072])
@pytest.mark.parametrize("group_bits", [3, 10, 16])
def test_the_largest_sum_of_the_largest_group_has_room(bits: int, group_bits: int) -> None:
    layout = Layout.for_key(bits, 20, group_bits)
    group, count = 1 << group_bits, layout.slots * layout.limbs
    most = [(1 << 20) - 1] * count
    sums = [group * limb for limb in layout.limbs_of(most)]
    assert layout.values_of(sums, count) == [group * value for value in most]
    assert max(sums) < ORDER
    [masked] = layout.plaintexts_of([group * (ORDER - 1)] * layout.limbs)
    assert masked < 1 << bits - 1
    assert (
        layout.limbs_in([masked], layout.limbs, group)
        == [group * (ORDER - 1) % ORDER] * layout.limbs
    )


@pytest.mark.parametrize(
    "tight",
    [
        {"slot_bits": 35},
        {"slots": 8},
        {"limb_bits": 271},
        {"limbs": 4},
        {"group_bits": 17},
        {"value_bits": 21},
        {"slots": 0},
    ],
    ids=str,
)
def test_room_that_does_not_suffice_is_refused(tight: dict[str, int]) -> None:
    with pytest.raises(PackingRefused):
        replace(LAYOUT, **tight)


@pytest.mark.parametrize("value", [1 << 20, -1])
def test_a_value_that_could_overflow_its_slot_is_refused_and_named(value: int) -> None:
    with pytest.raises(PackingRefused, match="value 2"):
        LAYOUT.limbs_of([1, 2, value])


def test_limbs_that_no_sum_of_the_group_can_have_are_refused() -> None:
    plaintexts = LAYOUT.plaintexts_of([ORDER - 1, ORDER - 1])
    assert LAYOUT.limbs_in(plaintexts, 2, 1) == [ORDER - 1] * 2
    for spoiled in ([ORDER, 0], [0, 2 * ORDER]):
        with pytest.raises(PackingRefused, match="no sum of 1"):
            LAYOUT.limbs_in(LAYOUT.plaintexts_of(spoiled), 2, 1)
    with pytest.raises(PackingRefused, match="something else"):
        LAYOUT.limbs_in(LAYOUT.plaintexts_of([1, 2, 3]), 2, 1)
    with pytest.raises(PackingRefused, match="something else"):
        LAYOUT.limbs_in([1 << 1000], 2, 1)
    with pytest.raises(PackingRefused):
        LAYOUT.values_of([1 << 253], 7)
    with pytest.raises(PackingRefused):
        LAYOUT.values_of(LAYOUT.limbs_of([1] * 7), 6)


@given(st.lists(st.integers(0, (1 << 24) - 1), max_size=48), st.integers(1, 1 << 16))
def test_plain_packing_adds_up(values: list[int], group: int) -> None:
    packing = PlainPacking.for_key(2048, 40, 24, 1 << 16)
    packed = packing.pack(values)
    expected = [group * value for value in values]
    assert packing.unpack(group * packed)[: len(values)] == expected


def test_plain_packing_refuses_what_could_run_over() -> None:
    with pytest.raises(PackingRefused, match="do not fit"):
        PlainPacking.for_key(2048, 39, 24, 1 << 16)
    with pytest.raises(PackingRefused, match="slot 1"):
        PlainPacking(2, 40, 24, 9).pack([0, 1 << 24])
    with pytest.raises(PackingRefused, match="3 values"):
        PlainPacking(2, 40, 24, 9).pack([0, 1, 2])
