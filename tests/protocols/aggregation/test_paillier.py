# SPDX-License-Identifier: Apache-2.0
"""Paillier beside the oracle `phe`: keys and ciphertexts are interchangeable, both ways."""

import os

import phe
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.aggregation.errors import Fault, KeyRefused
from protocols.aggregation.paillier import (
    SHORT_EXPONENT,
    Encryptor,
    PaillierPrivateKey,
    PaillierPublicKey,
)
from tests.support.aggregation import encryptor, private_key, randomness

KEY = private_key()
N = KEY.public_key.modulus
ORACLE_PUBLIC = phe.PaillierPublicKey(N)
ORACLE = phe.PaillierPrivateKey(ORACLE_PUBLIC, KEY.p, KEY.q)
PLAIN = st.integers(0, N - 1)


@given(PLAIN)
def test_phe_decrypts_what_we_encrypt(plaintext: int) -> None:
    assert ORACLE.raw_decrypt(encryptor().encrypt(plaintext, os.urandom)) == plaintext


@given(PLAIN)
def test_we_decrypt_what_phe_encrypts(plaintext: int) -> None:
    assert KEY.decrypt(ORACLE_PUBLIC.raw_encrypt(plaintext)) == plaintext


@given(st.lists(PLAIN, min_size=1, max_size=5))
def test_products_of_both_kinds_of_ciphertexts_decrypt_to_sums(plaintexts: list[int]) -> None:
    ours = [encryptor().encrypt(m, os.urandom) for m in plaintexts]
    theirs = [ORACLE_PUBLIC.raw_encrypt(m) for m in plaintexts]
    [product] = KEY.public_key.product([[c] for c in ours + theirs])
    assert KEY.decrypt(product) == ORACLE.raw_decrypt(int(product)) == 2 * sum(plaintexts) % N


def test_keys_made_by_phe_serve_here_and_ours_there() -> None:
    public, private = phe.generate_paillier_keypair(n_length=1024)
    ours = PaillierPrivateKey(private.p, private.q)
    ciphertext = Encryptor(PaillierPublicKey(public.n), SHORT_EXPONENT).encrypt(99, os.urandom)
    assert ours.decrypt(ciphertext) == private.raw_decrypt(ciphertext) == 99
    assert ours.public_key.modulus == public.n


@pytest.mark.parametrize("exponent_bits", [SHORT_EXPONENT, 512, 1024])
@pytest.mark.parametrize("window_bits", [1, 5, 8])
def test_any_window_and_exponent_encrypts_the_same_plaintexts(
    exponent_bits: int, window_bits: int
) -> None:
    crypt = Encryptor(KEY.public_key, exponent_bits, window_bits)
    assert KEY.decrypt(crypt.encrypt(12345, randomness(1))) == 12345
    plain = Encryptor(KEY.public_key, exponent_bits).encrypt(12345, randomness(1))
    assert crypt.encrypt(12345, randomness(1)) == plain


def test_the_tables_give_the_power_of_the_base() -> None:
    base, square = KEY.public_key.residue(), N * N
    drawn = int.from_bytes(randomness("r")(32), "big")
    expected = pow(base, drawn, square)
    assert encryptor().encrypt(0, randomness("r")) == expected
    assert ORACLE.raw_decrypt(base) == 0


def test_the_same_plaintext_never_looks_the_same() -> None:
    assert len({encryptor().encrypt(7, os.urandom) for _ in range(20)}) == 20


@pytest.mark.parametrize("bits", [1024, 2048])
def test_a_generated_key_is_as_long_as_asked_and_survives_its_encoding(bits: int) -> None:
    key = PaillierPrivateKey.generate(bits, randomness(bits))
    assert key.public_key.bits == bits
    assert key.p % 4 == key.q % 4 == 3
    assert PaillierPrivateKey.decode(key.encode()) == key
    assert PaillierPublicKey.decode(key.public_key.encode()) == key.public_key


def test_private_keys_do_not_show_in_their_representation() -> None:
    assert str(KEY.p) not in repr(KEY)
    assert repr(KEY) == "PaillierPrivateKey()"


def test_faults_of_ciphertexts_are_named() -> None:
    public = KEY.public_key
    good = encryptor().encrypt(1, os.urandom)
    assert public.fault_of([good, good]) is None
    assert public.fault_of([good, 0]) is Fault.OVERSIZED
    assert public.fault_of([good, N * N]) is Fault.OVERSIZED
    assert public.fault_of([good, KEY.p]) is Fault.NOT_COPRIME
    assert public.fault_of([N, good]) is Fault.NOT_COPRIME


@pytest.mark.parametrize("ciphertext", [0, -1, N * N, N, KEY.p])
def test_what_is_no_ciphertext_is_not_decrypted(ciphertext: int) -> None:
    with pytest.raises(ValueError, match="not a ciphertext"):
        KEY.decrypt(ciphertext)


@pytest.mark.parametrize("plaintext", [-1, N])
def test_plaintexts_out_of_range_are_not_encrypted(plaintext: int) -> None:
    with pytest.raises(ValueError, match="plaintext"):
        encryptor().encrypt(plaintext, os.urandom)


@pytest.mark.parametrize(
    "modulus",
    [3 * 5, N + 1, KEY.p * KEY.p, (1 << 4096) + 1, (1 << 1023) - 1],
    ids=["short", "even", "square", "long", "of an odd length"],
)
def test_moduli_that_are_none_are_refused(modulus: int) -> None:
    with pytest.raises(KeyRefused):
        PaillierPublicKey(modulus)


def test_factors_that_do_not_make_a_key_are_refused() -> None:
    with pytest.raises(KeyRefused, match="not prime"):
        PaillierPrivateKey(KEY.p, KEY.q + 2)
    with pytest.raises(KeyRefused, match="do not go together"):
        PaillierPrivateKey(KEY.p, KEY.p)
    with pytest.raises(KeyRefused, match="256 or more"):
        Encryptor(KEY.public_key, 128)
    with pytest.raises(KeyRefused, match="leading zeros"):
        PaillierPublicKey.decode(bytes(1) + KEY.public_key.encode())
