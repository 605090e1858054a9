# SPDX-License-Identifier: Apache-2.0
"""Protected messages: read with the right keys, and refused with the right reason without."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlms_codec import (
    CounterGuard,
    DlmsError,
    EncodingError,
    GeneralCiphered,
    GeneralCiphering,
    Keys,
    Message,
    MissingKey,
    ProtectedText,
    ReplayedCounter,
    SecurityError,
    ServiceCiphered,
    TelegramReader,
    UnprotectedMessage,
    WrongAuthenticationKey,
    WrongKey,
    decipher,
    decipher_apdu,
    decode_apdu,
    protect,
    unwrap_key,
    wrap_key,
)
from dlms_codec.apdus.acse import Aarq, Context
from dlms_codec.apdus.initiate import Conformance, InitiateRequest
from dlms_codec.apdus.notifications import DataNotification
from dlms_codec.numbers import UInt32
from dlms_codec.protection import PROTECTED_TAGS
from dlms_codec.security import demand

TITLE = bytes.fromhex("4d4d4d0000bc614e")
KEYS = Keys(
    bytes.fromhex("000102030405060708090a0b0c0d0e0f"),
    bytes.fromhex("d0d1d2d3d4d5d6d7d8d9dadbdcdddedf"),
)
# The InitiateRequest that the Green Book enciphers as its example (with the keys above).
GREEN_BOOK = (
    "01011000112233445566778899aabbccddeeff0000065f1f0400007e1f04b0",
    "801302ff8a7874133d414ced25b42534d28db0047720606b175bd52211be68",
    "41db204d39ee6fdb8e356855",
)
PUSH = DataNotification(7, None, UInt32(42)).encode()
PROTECTIONS = st.sampled_from([0x10, 0x20, 0x30, 0x21, 0x31, 0x32, 0x70])


def is_message(plain: bytes) -> bool:
    try:
        decode_apdu(plain)
    except DlmsError:
        return False
    return True


def test_the_green_books_example() -> None:
    plain, text, tag = map(bytes.fromhex, GREEN_BOOK)
    protected = protect(plain, TITLE, 0x01234567, KEYS)
    assert (protected.text, protected.tag) == (text, tag)
    clear = decipher(protected, TITLE, KEYS)
    assert (clear.apdu, clear.authenticated) == (plain, True)


@given(st.binary(max_size=100), PROTECTIONS, st.integers(0, 2**32 - 1), st.sampled_from([16, 32]))
def test_what_is_protected_is_read_again(
    apdu: bytes, control: int, counter: int, size: int
) -> None:
    keys = Keys(bytes(range(size)), bytes(range(size, 2 * size)))
    protected = protect(apdu, TITLE, counter, keys, control=control)
    wire = GeneralCiphered(TITLE, protected).encode()
    outer = decode_apdu(wire)
    assert isinstance(outer, GeneralCiphered)
    clear = decipher_apdu(outer, keys)
    assert clear.apdu == apdu
    assert clear.authenticated is (True if control & 0x10 else None)


def test_a_wrong_key_is_told_from_a_wrong_authentication_key_and_from_no_tag() -> None:
    other = bytes(16)
    both = GeneralCiphered(TITLE, protect(PUSH, TITLE, 1, KEYS))
    no_tag = GeneralCiphered(TITLE, protect(PUSH, TITLE, 1, KEYS, control=0x20))
    wrong_key, wrong_tag = Keys(other, KEYS.authentication), Keys(KEYS.encryption, other)
    for message, keys, error in (
        (both, wrong_key, WrongKey),
        (both, wrong_tag, WrongAuthenticationKey),
        (no_tag, wrong_key, WrongKey),
        (both, Keys(), MissingKey),
    ):
        with pytest.raises(error) as raised:
            decipher_apdu(message, keys, is_message=is_message)
        assert PUSH.hex() not in str(raised.value)
    assert decipher_apdu(no_tag, wrong_tag, is_message=is_message).authenticated is None
    unchecked = decipher_apdu(both, Keys(KEYS.encryption), is_message=is_message)
    assert (unchecked.apdu, unchecked.authenticated) == (PUSH, None)


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_no_changed_byte_passes_where_there_is_a_tag(place: int, change: int) -> None:
    wire = bytearray(GeneralCiphered(TITLE, protect(PUSH, TITLE, 1, KEYS)).encode())
    wire[place % len(wire)] ^= change
    reader = TelegramReader(keys=KEYS)
    telegram = reader.read(Message(0, bytes(wire), 1))
    # What has lost its mark of authentication is read, and said not to be authenticated.
    assert telegram.authenticated is not True


def test_a_message_without_its_senders_title_needs_one() -> None:
    service = ServiceCiphered(0xC8, protect(PUSH, TITLE, 1, KEYS))
    with pytest.raises(MissingKey):
        decipher_apdu(service, KEYS)
    assert decipher_apdu(service, KEYS, system_title=TITLE).authenticated
    nameless = GeneralCiphered(b"", protect(PUSH, TITLE, 1, KEYS))
    assert decipher_apdu(nameless, KEYS, system_title=TITLE).apdu == PUSH


def test_dedicated_and_broadcast_keys_are_keys_of_their_own() -> None:
    keys = Keys(KEYS.encryption, KEYS.authentication, bytes(16), bytes([1]) * 16)
    dedicated = protect(PUSH, TITLE, 1, keys, dedicated=True)
    message = GeneralCiphered(TITLE, dedicated, dedicated=True)
    assert decipher_apdu(message, keys).apdu == PUSH
    with pytest.raises(MissingKey, match="dedicated"):
        decipher_apdu(message, KEYS)
    with pytest.raises(WrongAuthenticationKey):
        decipher_apdu(GeneralCiphered(TITLE, dedicated), keys)
    broadcast = protect(PUSH, TITLE, 1, keys, control=0x70)
    assert decipher(broadcast, TITLE, keys).apdu == PUSH
    with pytest.raises(WrongKey):
        decipher(broadcast, TITLE, KEYS, is_message=is_message)


def test_what_is_not_supported_is_said_to_be() -> None:
    compressed = ProtectedText(0xB0, 1, b"x", bytes(12))
    with pytest.raises(SecurityError, match="compressed"):
        decipher(compressed, TITLE, KEYS)
    agreed = GeneralCiphering(
        b"", TITLE, b"", b"", b"", b"\x02\x00\x00", protect(PUSH, TITLE, 1, KEYS)
    )
    with pytest.raises(SecurityError, match="agreed"):
        decipher_apdu(agreed, KEYS)
    named = GeneralCiphering(b"", TITLE, b"", b"", b"", b"", protect(PUSH, TITLE, 1, KEYS))
    assert decipher_apdu(named, KEYS).apdu == PUSH


def test_keys_are_shown_nowhere() -> None:
    keys = Keys(KEYS.encryption, KEYS.authentication, bytes(range(16)), bytes(16))
    shown = repr(keys) + repr(protect(PUSH, TITLE, 1, keys))
    for key in (keys.encryption, keys.authentication, keys.dedicated):
        assert key is not None
        assert repr(key)[2:-1] not in shown
        assert key.hex() not in shown
    with pytest.raises(EncodingError) as raised:
        Keys(b"too short")
    assert "too short" not in str(raised.value)


def test_a_proposal_with_a_key_in_it_shows_no_key() -> None:
    key = bytes(range(0x41, 0x51))
    proposal = InitiateRequest(Conformance.GET, 1024, key)
    for shown in (proposal, Aarq(Context.LOGICAL_NAMES, proposal.encode())):
        assert key.decode() not in repr(shown)


def test_a_counter_is_taken_once_and_only_upwards() -> None:
    guard = CounterGuard()
    guard.take(0)
    guard.take(5)
    for counter in (5, 4, 0):
        with pytest.raises(ReplayedCounter):
            guard.take(counter)
    guard.take(6)


def test_less_protection_than_is_asked_for_is_refused() -> None:
    with pytest.raises(UnprotectedMessage, match="no tag"):
        demand(ProtectedText(0x20, 1, b""))
    with pytest.raises(UnprotectedMessage, match="not enciphered"):
        demand(ProtectedText(0x10, 1, b"", bytes(12)))
    demand(ProtectedText(0x30, 1, b"", bytes(12)))


def test_keys_are_wrapped_as_rfc_3394_says() -> None:
    master = bytes.fromhex("000102030405060708090a0b0c0d0e0f")
    key = bytes.fromhex("00112233445566778899aabbccddeeff")
    wrapped = wrap_key(master, key)
    assert wrapped.hex() == "1fa68b0a8112b447aef34bd8fb5a7b829d3e862371d2cfe5"
    assert unwrap_key(master, wrapped) == key
    with pytest.raises(WrongKey):
        unwrap_key(bytes(16), wrapped)
    for wrong in (b"", b"short", wrapped[:-1]):
        with pytest.raises(DlmsError):
            unwrap_key(master, wrong)


def test_each_service_has_a_tag_for_each_key() -> None:
    assert PROTECTED_TAGS["glo", 0xC0] == 0xC8
    assert PROTECTED_TAGS["ded", 0xC4] == 0xD4
    names = {ServiceCiphered(tag, ProtectedText(0, 0, b"")).name for tag in PROTECTED_TAGS.values()}
    assert len(names) == len(PROTECTED_TAGS) == 20
    with pytest.raises(EncodingError):
        ServiceCiphered(0xC0, ProtectedText(0, 0, b""))
