# SPDX-License-Identifier: Apache-2.0
"""Masks: the same at both ends, cancelling in the sum; and the proof of their secret."""

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from protocols.aggregation.errors import RoundRefused
from protocols.aggregation.masks import (
    pair_key,
    pair_masks,
    round_key,
    self_masks,
    sum_pair_masks,
)
from protocols.aggregation.shared_secret_proof import (
    is_exchange_key,
    prove_shared_secret,
    verify_shared_secret,
)
from protocols.proofs.group import ORDER
from tests.support.aggregation import randomness

SEEDS = st.binary(min_size=32, max_size=32)


def public(seed: bytes) -> bytes:
    return X25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()


@given(SEEDS, SEEDS, SEEDS)
def test_both_ends_of_a_pair_have_one_key_and_each_round_another(
    one: bytes, other: bytes, digest: bytes
) -> None:
    here = pair_key(one, public(one), public(other), digest)
    assert here == pair_key(other, public(other), public(one), digest)
    assert here != pair_key(one, public(one), public(other), bytes(31) + b"x")


@given(st.lists(st.tuples(st.sampled_from([1, -1]), SEEDS), max_size=20), st.integers(0, 9))
def test_lanes_add_up_like_single_masks(pairs: list[tuple[int, bytes]], count: int) -> None:
    expected = [0] * (count + 1)
    for sign, key in pairs:
        for place, mask in enumerate(pair_masks(key, count)):
            expected[place] = (expected[place] + sign * mask) % ORDER
    assert sum_pair_masks(pairs, count) == expected


def test_masks_of_thousands_of_pairs_do_not_run_over_their_lanes() -> None:
    keys = [(1, number.to_bytes(32, "big")) for number in range(3000)]
    total = sum_pair_masks(keys, 2)
    assert total == [sum(column) % ORDER for column in zip(*(pair_masks(k, 2) for _, k in keys))]  # noqa: B905


def test_self_masks_and_pair_masks_of_one_secret_have_nothing_in_common() -> None:
    assert not set(self_masks(bytes(32), 9)) & set(pair_masks(bytes(32), 9))


@pytest.mark.parametrize("key", [bytes(32), (1).to_bytes(32, "little")])
def test_keys_of_small_order_are_refused(key: bytes) -> None:
    seed = randomness("seed")(32)
    with pytest.raises(RoundRefused):
        pair_key(seed, public(seed), key, bytes(32))
    assert not is_exchange_key(key)


@given(SEEDS, SEEDS)
def test_a_proved_secret_is_that_of_x25519(one: bytes, other: bytes) -> None:
    proof = prove_shared_secret(one, public(other), b"context")
    secret = verify_shared_secret(proof, public(one), public(other), b"context")
    exchanged = X25519PrivateKey.from_private_bytes(one).exchange(
        X25519PrivateKey.from_private_bytes(other).public_key()
    )
    assert secret == exchanged
    digest = bytes(32)
    key = round_key(secret, public(one), public(other), digest)
    assert key == pair_key(other, public(other), public(one), digest)


def test_a_secret_that_is_not_that_of_the_keys_is_not_proved() -> None:
    one, other, third = (randomness(n)(32) for n in range(3))
    proof = prove_shared_secret(one, public(other), b"context")
    foreign = prove_shared_secret(one, public(third), b"context")
    forgeries = [
        foreign[:32] + proof[32:],
        foreign,
        proof[:32] + bytes(16) + proof[48:],
        proof[:48] + bytes(32),
        proof[:48] + b"\xff" * 32,
        b"\xff" * 32 + proof[32:],
        (1).to_bytes(32, "little") + proof[32:],
        proof[:-1],
        proof + b"\0",
    ]
    for forged in forgeries:
        with pytest.raises(RoundRefused):
            verify_shared_secret(forged, public(one), public(other), b"context")
    with pytest.raises(RoundRefused):
        verify_shared_secret(proof, public(one), public(other), b"another context")
    with pytest.raises(RoundRefused):
        verify_shared_secret(proof, public(third), public(other), b"context")


def test_half_of_all_numbers_are_keys_on_the_twist_and_refused() -> None:
    drawn = randomness("twist")
    count = sum(is_exchange_key(drawn(31) + b"\x7f") for _ in range(400))
    assert 140 < count < 260
    assert not is_exchange_key(((1 << 255) - 19 + 9).to_bytes(32, "little"))  # 9, not reduced
    assert is_exchange_key((9).to_bytes(32, "little"))
