# SPDX-License-Identifier: Apache-2.0
"""Proofs of who one is: the examples of the Green Book, and what is not taken for one."""

import hashlib

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import assume, given
from hypothesis import strategies as st

from dlms_codec.apdus.acse import Mechanism
from dlms_codec.authentication import Credentials, Exchange, check_suite, prove, verify
from dlms_codec.client_settings import ClientSettings
from dlms_codec.errors import EncodingError, MissingKey, SecurityError
from dlms_codec.objects import ObjectTable
from dlms_codec.responder import AccessOfClient
from dlms_codec.security import Keys
from tests.support.dlms_world import CLIENT_TITLE, KEYS, METER_TITLE, SECRET, SIGNING

GREEN_BOOK = Keys(bytes(range(16)), bytes(range(0xD0, 0xE0)))
CLIENT, METER = bytes.fromhex("4d4d4d0000000001"), bytes.fromhex("4d4d4d0000bc614e")
TO_METER, TO_CLIENT = b"K56iVagY", b"P6wRJ21F"
"""The challenges of the example, of the client and of the meter."""
GMAC = Credentials(Mechanism.GMAC)


def test_the_green_books_gmac() -> None:
    """DLMS UA 1000-2, the example of HLS with GMAC."""
    client = Exchange(CLIENT, METER, TO_CLIENT, TO_METER)
    meter = Exchange(METER, CLIENT, TO_METER, TO_CLIENT)
    from_client = bytes.fromhex("10000000011a52fe7dd3e72748973c1e28")
    from_meter = bytes.fromhex("1001234567fe1466afb3dbcd4f9389e2b7")
    assert prove(GMAC, client, GREEN_BOOK, suite=0, counter=1) == from_client
    assert prove(GMAC, meter, GREEN_BOOK, suite=0, counter=0x01234567) == from_meter
    assert verify(GMAC, client, from_client, GREEN_BOOK) == 1
    assert verify(GMAC, meter, from_meter, GREEN_BOOK) == 0x01234567


def test_digests_are_of_the_parts_in_their_order() -> None:
    exchange = Exchange(CLIENT, METER, TO_CLIENT, TO_METER)
    digests = {
        Mechanism.MD5: hashlib.md5(TO_CLIENT + SECRET),
        Mechanism.SHA1: hashlib.sha1(TO_CLIENT + SECRET),
        Mechanism.SHA256: hashlib.sha256(SECRET + CLIENT + METER + TO_CLIENT + TO_METER),
    }
    for mechanism, digest in digests.items():
        made = prove(Credentials(mechanism, SECRET), exchange, Keys(), suite=0, counter=0)
        assert made == digest.digest()


EVERY = [
    (Credentials(Mechanism.MD5, SECRET), 0),
    (Credentials(Mechanism.SHA1, SECRET), 0),
    (Credentials(Mechanism.SHA256, SECRET), 0),
    (GMAC, 0),
    (Credentials(Mechanism.ECDSA, None, SIGNING[1][0], SIGNING[1][0].public_key()), 1),
    (Credentials(Mechanism.ECDSA, None, SIGNING[2][0], SIGNING[2][0].public_key()), 2),
]


@pytest.mark.parametrize(("credentials", "suite"), EVERY)
@given(data=st.data())
def test_no_other_answer_is_taken(
    credentials: Credentials, suite: int, data: st.DataObject
) -> None:
    challenge, own = data.draw(st.binary(min_size=8, max_size=64)), bytes(16)
    assume(challenge + own != own + challenge)  # the standard does not say where one ends
    exchange = Exchange(CLIENT_TITLE, METER_TITLE, challenge, own)
    answer = prove(credentials, exchange, KEYS, suite=suite, counter=7)
    assert verify(credentials, exchange, answer, KEYS) == (7 if credentials is GMAC else None)
    changed = bytearray(answer)
    bit = data.draw(st.integers(0, 8 * len(answer) - 1))
    changed[bit // 8] ^= 1 << bit % 8
    for wrong in (bytes(changed), answer[:-1], answer + b"\0", b""):
        with pytest.raises(SecurityError):
            verify(credentials, exchange, wrong, KEYS)
    with pytest.raises(SecurityError):
        verify(credentials, Exchange(CLIENT_TITLE, METER_TITLE, own, challenge), answer, KEYS)


def test_what_is_missing_is_said_at_once() -> None:
    with pytest.raises(MissingKey, match="sha256 needs"):
        Credentials(Mechanism.SHA256)
    with pytest.raises(MissingKey, match="ecdsa needs"):
        Credentials(Mechanism.ECDSA)
    with pytest.raises(EncodingError, match="each maker's own"):
        Credentials(Mechanism.HIGH, SECRET)
    other = ec.derive_private_key(1, ec.SECP384R1())
    with pytest.raises(EncodingError, match="P-256 in suite 1"):
        check_suite(Credentials(Mechanism.ECDSA, None, other, other.public_key()), 1)
    with pytest.raises(EncodingError, match="there are 0, 1 and 2"):
        ClientSettings(suite=3)
    with pytest.raises(EncodingError, match="suite 2 has keys of 32 bytes, not 16"):
        ClientSettings(keys=KEYS, system_title=CLIENT_TITLE, suite=2)
    with pytest.raises(EncodingError, match="outlives the server"):
        AccessOfClient(ObjectTable([]), GMAC, KEYS)
    with pytest.raises(EncodingError, match="authentication key are needed"):
        AccessOfClient(ObjectTable([]), GMAC)
    with pytest.raises(EncodingError, match="a policy is"):
        AccessOfClient(ObjectTable([]), policy=0x20)
