# SPDX-License-Identifier: Apache-2.0
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.proofs import ORDER, PointVector, commit, commit_many, derive_blindings
from protocols.proofs.group import GENERATOR, multiply_generator
from protocols.proofs.pedersen import H

SECRET = bytes(range(32))
values = st.one_of(
    st.integers(0, 70_000),
    st.integers(0, 2**64 - 1),
    st.sampled_from([0, 255, 256, 2**16 - 1, 2**16, 2**32 - 1, 2**32, 2**64 - 1]),
)
signed = st.one_of(values, values.map(lambda value: -value), st.just(2**64), st.just(2**200))
blindings = st.integers(1, ORDER - 1)


@given(signed, blindings)
@settings(deadline=None)
def test_a_commitment_is_value_times_h_plus_blinding_times_g(value: int, blinding: int) -> None:
    assert commit(value, blinding) == H * value + GENERATOR * blinding


@given(st.lists(st.tuples(values, blindings), max_size=8))
@settings(max_examples=50, deadline=None)
def test_a_batch_commits_like_its_members(pairs: list[tuple[int, int]]) -> None:
    batch = commit_many([value for value, _ in pairs], [blinding for _, blinding in pairs])
    assert list(batch) == [commit(value, blinding) for value, blinding in pairs]


@given(signed, signed, blindings, blindings, st.integers(-1000, 1000))
@settings(max_examples=50, deadline=None)
def test_commitments_add_up_as_their_values_do(x: int, y: int, r: int, s: int, w: int) -> None:
    assert commit(x, r) + commit(y, s) * w == commit(x + w * y, (r + w * s) % ORDER)


def test_a_blinding_of_nought_shows_the_value_alone() -> None:
    assert commit(5, 0) == H * 5
    assert commit(0, 0).is_infinity
    assert commit(0, 5) == multiply_generator(5)


@pytest.mark.parametrize(
    ("wrong", "blinding"), [(-1, 1), (2**64, 1), (1, 0), (1, ORDER), (1, -1)]
)  # fmt: skip
def test_a_batch_refuses_what_it_cannot_commit_to(wrong: int, blinding: int) -> None:
    with pytest.raises(ValueError):
        commit_many([3, wrong], [1, blinding])


def test_a_batch_needs_a_blinding_for_each_value() -> None:
    assert commit_many([], []) == PointVector()
    with pytest.raises(ValueError):
        commit_many([1, 2], [1])


def test_blindings_depend_on_secret_and_context_and_do_not_repeat() -> None:
    first = derive_blindings(SECRET, b"day 1", 1000)
    assert first == derive_blindings(SECRET, b"day 1", 1000)
    assert first[:10] == derive_blindings(SECRET, b"day 1", 10)
    lists = [
        first,
        derive_blindings(SECRET, b"day 2", 1000),
        derive_blindings(SECRET, b"", 1000),
        derive_blindings(SECRET[::-1], b"day 1", 1000),
    ]
    assert len(set().union(*lists)) == 4000
    assert all(0 < blinding < ORDER for blinding in first)
    # Uniform: the mean of 1000 draws is within six standard deviations of the middle.
    assert abs(sum(first) / 1000 / ORDER - 0.5) < 6 / (12 * 1000) ** 0.5
    with pytest.raises(ValueError):
        derive_blindings(b"short", b"", 1)


def test_the_blindings_of_an_old_release_are_derived_again() -> None:
    assert f"{derive_blindings(SECRET, b'frozen', 3)[2]:064x}" == FROZEN


FROZEN = "43797c697a99f9e7b431805808021a59cb17b0303828763374ed5066395a9451"
