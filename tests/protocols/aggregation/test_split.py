# SPDX-License-Identifier: Apache-2.0
"""A key in two hands: together they open sums, alone nothing."""

import os
from collections.abc import Sequence
from dataclasses import replace

import pytest

from protocols.aggregation import (
    JointDecryptor,
    KeyRefused,
    KeyShare,
    RoundRefused,
    SumRefused,
    open_sum,
    require_sum,
    split_key,
)
from protocols.aggregation.split import combine
from tests.protocols.aggregation.homes import (
    announce,
    collect,
    encryptor,
    homes,
    plain_sum,
    private_key,
    randomness,
)

KEY = private_key()
FIRST, SECOND = split_key(KEY, randomness("split"))


def test_both_halves_together_decrypt() -> None:
    plaintexts = [0, 1, 12345, KEY.public_key.modulus - 1]
    ciphertexts = encryptor().encrypt_many(plaintexts, os.urandom)
    halves = FIRST.apply(ciphertexts), SECOND.apply(ciphertexts)
    assert combine(KEY.public_key, *halves) == plaintexts


def test_one_half_decrypts_nothing() -> None:
    [ciphertext] = encryptor().encrypt_many([12345], os.urandom)
    for share in (FIRST, SECOND):
        with pytest.raises(ValueError, match="do not belong together"):
            combine(KEY.public_key, share.apply([ciphertext]))
    other, _ = split_key(KEY, randomness("another split"))
    with pytest.raises(ValueError, match="do not belong together"):
        combine(KEY.public_key, other.apply([ciphertext]), SECOND.apply([ciphertext]))


def test_a_round_is_opened_by_both_holders_and_the_second_sees_that_it_is_a_sum() -> None:
    members = homes(6, 24)
    announced = announce(members)
    collector = collect(announced, members)

    def auditor(ciphertexts: Sequence[int]) -> list[int]:
        require_sum(announced, ciphertexts, collector.evidence(), 5)
        return SECOND.apply(ciphertexts)

    opened = open_sum(announced, collector.batch(), JointDecryptor(FIRST, auditor))
    assert opened.values == plain_sum(members)


def test_the_second_holder_opens_no_single_household_and_no_other_product() -> None:
    members = homes(6, 24)
    announced = announce(members)
    evidence = collect(announced, members).evidence()
    size = announced.terms.key.ciphertext_size
    rows = [
        [int.from_bytes(one.ciphertexts[at : at + size], "big") for at in range(0, 2 * size, size)]
        for one in evidence
    ]
    product = announced.terms.key.product(rows)
    require_sum(announced, product, evidence, 6)
    for given, ciphertexts, reason in (
        (evidence[:1], rows[0], "fewer than 5"),
        (evidence[:1] * 6, rows[0], "fewer than 5"),
        (evidence, rows[0], "not the product"),
        (evidence[:5], product, "not the product"),
        ((replace(evidence[0], load=evidence[1].load), *evidence[1:]), product, "not a sum"),
    ):
        with pytest.raises(RoundRefused, match=reason):
            require_sum(announced, ciphertexts, given, 5)


def test_a_holder_that_answers_wrongly_spoils_the_sum_and_falsifies_none() -> None:
    members = homes(6, 24)
    announced = announce(members)
    batch = collect(announced, members).batch()
    n = KEY.public_key.modulus

    def adds(ciphertexts: Sequence[int]) -> list[int]:
        return [half * (1 + 5 * n) % (n * n) for half in SECOND.apply(ciphertexts)]

    def says_nothing(_: Sequence[int]) -> list[int]:
        return []

    for liar in (adds, says_nothing, FIRST.apply):
        with pytest.raises(SumRefused):
            open_sum(announced, batch, JointDecryptor(FIRST, liar))


def test_shares_survive_their_encoding_and_do_not_show() -> None:
    for share in (FIRST, SECOND):
        assert KeyShare.decode(share.encode()) == share
        assert str(share.exponent) not in repr(share)
    for bad in (b"", FIRST.encode()[:-1], bytes(400)):
        with pytest.raises(KeyRefused):
            KeyShare.decode(bad)
    with pytest.raises(ValueError, match="oversized"):
        FIRST.apply([0])
