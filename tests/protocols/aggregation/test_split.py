# SPDX-License-Identifier: Apache-2.0
"""A key in two hands: together they open sums, alone nothing."""

import os
from collections.abc import Sequence
from dataclasses import replace

import pytest

from protocols.aggregation import partial_decryption as halves
from protocols.aggregation.decryption import decrypt_sum
from protocols.aggregation.errors import HolderRefused, KeyRefused, RoundRefused
from protocols.aggregation.partial_decryption import (
    PartialDecryption,
    prove_partial_decryption,
    verify_partial_decryption,
)
from protocols.aggregation.split_key import JointDecryptor, KeyShare, combine, split_key
from protocols.aggregation.trusteeship import require_sum
from protocols.proofs import Transcript
from tests.support.aggregation import (
    announce,
    collect,
    encryptor,
    homes,
    plain_sum,
    private_key,
    randomness,
)
from tests.support.soak import places

KEY = private_key()
FIRST, SECOND = split_key(KEY, randomness("split"))


def test_both_halves_together_decrypt() -> None:
    plaintexts = [0, 1, 12345, KEY.public_key.modulus - 1]
    ciphertexts = encryptor().encrypt_many(plaintexts, os.urandom)
    parts = FIRST.apply(ciphertexts), SECOND.apply(ciphertexts)
    assert combine(KEY.public_key, *parts) == plaintexts


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

    def auditor(ciphertexts: Sequence[int]) -> PartialDecryption:
        require_sum(announced, ciphertexts, collector.evidence(), 5)
        return SECOND.partially_decrypt(ciphertexts, os.urandom)

    opened = decrypt_sum(announced, collector.batch(), JointDecryptor(FIRST, auditor))
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

    def adds(ciphertexts: Sequence[int]) -> PartialDecryption:
        true = SECOND.partially_decrypt(ciphertexts, os.urandom)
        return replace(true, values=tuple(half * (1 + 5 * n) % (n * n) for half in true.values))

    def proves(ciphertexts: Sequence[int], values: tuple[int, ...]) -> PartialDecryption:
        proof = prove_partial_decryption(
            KEY.public_key, SECOND.exponent, ciphertexts, values, os.urandom
        )
        return PartialDecryption(values, proof)

    def adds_and_proves(ciphertexts: Sequence[int]) -> PartialDecryption:
        return proves(ciphertexts, adds(ciphertexts).values)

    def moves(ciphertexts: Sequence[int]) -> PartialDecryption:
        """What it adds to one plaintext it takes from another."""
        first, second, *others = SECOND.apply(ciphertexts)
        moved = first * (1 + n) % (n * n), second * (1 - n) % (n * n)
        return proves(ciphertexts, (*moved, *others))

    def says_nothing(_: Sequence[int]) -> PartialDecryption:
        return PartialDecryption((), b"")

    def proves_nothing(ciphertexts: Sequence[int]) -> PartialDecryption:
        return replace(SECOND.partially_decrypt(ciphertexts, os.urandom), proof=b"")

    def is_the_first(ciphertexts: Sequence[int]) -> PartialDecryption:
        return FIRST.partially_decrypt(ciphertexts, os.urandom)

    liars = adds, adds_and_proves, moves, says_nothing, proves_nothing, is_the_first
    for liar in liars:
        with pytest.raises(HolderRefused):
            decrypt_sum(announced, batch, JointDecryptor(FIRST, liar))


@pytest.mark.more_in_soak
def test_every_byte_of_a_proof_of_halves_counts() -> None:
    ciphertexts = encryptor().encrypt_many([12345, 67890], os.urandom)
    true = SECOND.partially_decrypt(ciphertexts, os.urandom)
    assert PartialDecryption.decode(true.encode(KEY.public_key), KEY.public_key) == true
    assert verify_partial_decryption(KEY.public_key, FIRST.exponent, ciphertexts, true)
    assert not verify_partial_decryption(KEY.public_key, FIRST.exponent, ciphertexts[::-1], true)
    for place in places(true.proof):
        flipped = bytearray(true.proof)
        flipped[place] ^= 1
        wrong = replace(true, proof=bytes(flipped))
        assert not verify_partial_decryption(KEY.public_key, FIRST.exponent, ciphertexts, wrong)


def test_halves_of_a_wrong_length_are_none() -> None:
    ciphertexts = encryptor().encrypt_many([12345], os.urandom)
    data = SECOND.partially_decrypt(ciphertexts, os.urandom).encode(KEY.public_key)
    for bad in (b"", data[:-1], data + b"\0"):
        with pytest.raises(ValueError, match="not halves"):
            PartialDecryption.decode(bad, KEY.public_key)


def test_a_simulator_without_the_share_makes_proofs_that_verify(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Challenge and response first, commitments after; the hash is made to give that challenge."""
    key = KEY.public_key
    n, square = key.modulus, key.modulus**2
    ciphertexts = encryptor().encrypt_many([12345], os.urandom)
    true = SECOND.partially_decrypt(ciphertexts, os.urandom)
    challenge, response = os.urandom(16), bytes(1) + os.urandom(len(true.proof) - 17)
    commitments = []

    def programmed(_: Transcript, found: Sequence[int]) -> bytes:
        commitments.append(list(found))
        return challenge

    monkeypatch.setattr(halves, "_challenge", programmed)
    made = PartialDecryption(true.values, challenge + response)
    assert verify_partial_decryption(key, FIRST.exponent, ciphertexts, made)
    [[base_commitment, _]] = commitments
    base = int(halves._base(n))
    e, z = int.from_bytes(challenge, "big"), int.from_bytes(response, "big")
    assert base_commitment == pow(base, z - e * SECOND.exponent, square)


def test_shares_survive_their_encoding_and_do_not_show() -> None:
    for share in (FIRST, SECOND):
        assert KeyShare.decode(share.encode()) == share
        assert str(share.exponent) not in repr(share)
    for bad in (b"", FIRST.encode()[:-1], bytes(400)):
        with pytest.raises(KeyRefused):
            KeyShare.decode(bad)
    with pytest.raises(ValueError, match="oversized"):
        FIRST.apply([0])
