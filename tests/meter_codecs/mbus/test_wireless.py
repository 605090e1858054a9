# SPDX-License-Identifier: Apache-2.0
"""Frames of the radio link, their layers and keys."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meter_codecs.mbus import (
    Address,
    Authentication,
    Body,
    ChecksumMismatch,
    EncodingError,
    ExtendedLink,
    FormatMemory,
    FrameFormat,
    KeyMissing,
    KeyRing,
    LinkFrame,
    LongFrame,
    MalformedMbus,
    MbusError,
    MeterKey,
    RequestRefused,
    UnknownFormat,
    UnreadContent,
    UnsupportedMode,
    WrongKey,
    crc16,
    decode_body,
    decode_compact,
    decode_link,
    decode_three_of_six,
    decode_wired,
    decode_wireless,
    encode_compact,
    encode_three_of_six,
    make_body,
    make_record,
    read_wireless,
)
from meter_codecs.mbus.link import SND_NR
from meter_codecs.mbus.sealing import seal_mode_5, seal_mode_7, seal_mode_10, seal_session
from tests.meter_codecs.mbus.strategies import addresses, plain_bodies

METER = Address.of("KAM", "76348799", 0x1B, 0x16)
KEY = MeterKey(bytes(range(16)))
OTHER = MeterKey(bytes(range(1, 17)))
KEYS = KeyRing({"76348799": KEY})
BODY = make_body([make_record(b"\x04\x13", 6408), make_record(b"\x44\x13", 6000)])
OMS_KEY = KeyRing(default=MeterKey.from_hex("0102030405060708090A0B0C0D0E0F11"))
# Gas meter, mode 5, frame format A: OMS specification, volume 2, annex N.
OMS_GAS = bytes.fromhex(
    "2E44931578563412330333637A2A0020255923C95AAA26D1B2E7493BC2AD013EC4A6F6D3529B520EDFF0EA6DEFC9"
    "55B29D6D69EBF3EC8A"
)

formats = st.sampled_from(FrameFormat)


def frame(payload: bytes, frame_format: FrameFormat = FrameFormat.A) -> bytes:
    return LinkFrame(SND_NR, METER, payload, frame_format).encode()


def test_the_example_of_the_oms_specification() -> None:
    telegram = decode_wireless(OMS_GAS, keys=OMS_KEY)
    assert str(telegram.meter) == "ELS 12345678"
    assert [str(record.scaled) for record in telegram.records] == ["28504.27", "None", "0"]
    assert telegram.is_encrypted
    assert telegram.mode == 5
    assert telegram.encode() == OMS_GAS


def test_the_checksum_of_the_standard() -> None:
    assert crc16(bytes.fromhex("3444ee4d813929271608")) == 0x811D
    assert crc16(b"123456789") == 0xC2B7
    assert crc16(b"") == 0xFFFF


@given(addresses, st.binary(min_size=1, max_size=240), formats, st.integers(0, 255))
def test_every_frame_comes_back_as_it_was(
    address: Address, payload: bytes, frame_format: FrameFormat, control: int
) -> None:
    sent = LinkFrame(control, address, payload, frame_format)
    assert decode_link(sent.encode()) == sent


@given(st.binary(min_size=2, max_size=200), st.sampled_from(["A", "B"]))
def test_frames_of_mode_c_keep_their_preamble(payload: bytes, letter: str) -> None:
    preamble = bytes.fromhex("54cd" if letter == "A" else "543d")
    sent = LinkFrame(SND_NR, METER, payload, FrameFormat(letter), preamble)
    assert decode_link(sent.encode()) == sent


@pytest.mark.parametrize("frame_format", [FrameFormat.A, FrameFormat.B])
@pytest.mark.parametrize("size", [1, 15, 114, 115, 116, 117, 118, 130, 200, 240])
def test_the_longest_parts_of_both_formats(frame_format: FrameFormat, size: int) -> None:
    wire = frame(bytes(range(size)), frame_format)
    assert decode_link(wire).payload == bytes(range(size))


def test_a_wrong_checksum_is_told_apart_from_a_wrong_length() -> None:
    wire = bytearray(OMS_GAS)
    wire[30] ^= 1
    with pytest.raises(ChecksumMismatch, match="block 3"):
        decode_link(bytes(wire))
    for cut in (0, 1, 10, 11, 20, len(OMS_GAS) - 1):
        with pytest.raises(MalformedMbus):
            decode_link(OMS_GAS[:cut])
    with pytest.raises(EncodingError):
        frame(bytes(250))


def test_a_frame_of_mode_c_and_format_b_must_have_its_checksum() -> None:
    sent = LinkFrame(SND_NR, METER, bytes(20), FrameFormat.B, b"\x54\x3d").encode()
    with pytest.raises(ChecksumMismatch, match="format B"):
        decode_link(sent[:-1] + bytes([sent[-1] ^ 1]))


@given(st.binary(max_size=60))
def test_three_of_six_comes_back(data: bytes) -> None:
    chips = encode_three_of_six(data)
    assert decode_three_of_six(chips) == data
    assert len(chips) == (len(data) * 12 + 7) // 8


def test_three_of_six_of_the_standard() -> None:
    assert encode_three_of_six(b"\x0f\x7d").hex() == "5a94f1"
    with pytest.raises(MalformedMbus, match="mean nothing"):
        decode_three_of_six(b"\xff\xff\xff")


@given(plain_bodies, st.integers(0, 255), st.booleans(), plain_bodies, formats)
def test_mode_5_comes_back(
    body: Body, access: int, long: bool, clear: Body, frame_format: FrameFormat
) -> None:
    payload = seal_mode_5(
        METER, body.encode(), KEY, access=access, long_header=long, clear=clear.encode()
    )
    telegram = decode_wireless(frame(payload, frame_format), keys=KEYS)
    values = [record.value for record in (*body.records, *clear.records)]
    assert [record.value for record in telegram.records] == values
    assert (telegram.is_encrypted, telegram.is_authenticated) == (True, None)


@given(plain_bodies, st.integers(0, (1 << 32) - 1), st.booleans(), formats)
def test_mode_7_comes_back_authenticated(
    body: Body, counter: int, long: bool, frame_format: FrameFormat
) -> None:
    payload = seal_mode_7(METER, body.encode(), KEY, counter=counter, access=1, long_header=long)
    telegram = decode_wireless(frame(payload, frame_format), keys=KEYS)
    assert [r.value for r in telegram.records] == [r.value for r in body.records]
    assert (telegram.counter, telegram.is_authenticated) == (counter, True)


@given(plain_bodies, st.integers(0, 0x1FFFFFFF), st.booleans(), st.none() | addresses)
def test_a_session_comes_back(
    body: Body, session: int, encrypted: bool, peer: Address | None
) -> None:
    key = KEY if encrypted else None
    content = b"\x78" + body.encode()
    payload = seal_session(METER, content, key, control=0x20, access=7, session=session, peer=peer)
    telegram = decode_wireless(frame(payload), keys=KEYS)
    assert [r.value for r in telegram.records] == [r.value for r in body.records]
    assert telegram.is_encrypted == encrypted
    assert telegram.extended_link is not None
    assert payload.startswith(telegram.extended_link.encode())


@pytest.mark.parametrize("peer", [None, METER])
def test_a_link_layer_without_a_session_is_passed_through(peer: Address | None) -> None:
    other = peer.encode_link() if peer else b""
    layer = ExtendedLink(0x8E if peer else 0x8C, 0x20, 3, other)
    inner = seal_mode_5(METER, BODY.encode(), KEY, access=3)
    telegram = decode_wireless(frame(layer.encode() + inner), keys=KEYS)
    assert telegram.extended_link == layer
    assert [record.value for record in telegram.records] == [6408, 6000]


@pytest.mark.parametrize("kind", [2, 5, 7])
def test_a_session_of_another_kind_is_named_and_refused(kind: int) -> None:
    layer = ExtendedLink(0x8D, 0x20, 3, b"", kind << 29)
    with pytest.raises(UnsupportedMode, match=f"enciphering {kind} is reserved"):
        decode_wireless(frame(layer.encode() + bytes(20)), keys=KEYS)


def test_a_session_in_clear_with_a_wrong_checksum_is_damaged() -> None:
    layer = ExtendedLink(0x8D, 0x20, 3, b"", 5)
    with pytest.raises(ChecksumMismatch, match="extended link layer"):
        decode_wireless(frame(layer.encode() + bytes(20)), keys=KEYS)


def sealed(kind: str) -> bytes:
    body = BODY.encode()
    if kind == "5":
        return seal_mode_5(METER, body, KEY, access=9)
    if kind == "7":
        return seal_mode_7(METER, body, KEY, counter=9, access=9)
    if kind == "10":
        return seal_mode_10(METER, body, KEY, counter=9, access=9)
    return seal_session(METER, b"\x78" + body, KEY, control=0x20, access=9, session=9)


@pytest.mark.parametrize("kind", ["5", "7", "10", "session"])
def test_no_key_a_wrong_key_and_noise_are_told_apart(kind: str) -> None:
    wire = frame(sealed(kind))
    with pytest.raises(KeyMissing, match="no key for KAM 76348799"):
        decode_wireless(wire)
    with pytest.raises(KeyMissing):
        decode_wireless(wire, keys=KeyRing({"00000001": KEY}))
    with pytest.raises(WrongKey, match="the key for KAM 76348799 does not open it") as caught:
        decode_wireless(wire, keys=KeyRing(default=OTHER))
    assert "damaged" not in str(caught.value)
    with pytest.raises(ChecksumMismatch):
        decode_wireless(wire[:-3] + bytes([wire[-3] ^ 1]) + wire[-2:], keys=KEYS)
    bare = frame(sealed(kind), FrameFormat.BARE)
    with pytest.raises(WrongKey, match="or it was damaged"):
        decode_wireless(bare, keys=KeyRing(default=OTHER))


@pytest.mark.parametrize("mode", [1, 2, 3, 4, 6, 8, 9, 10, 13, 15])
def test_other_modes_are_named_and_refused(mode: int) -> None:
    payload = b"\x7a" + bytes([1, 0, 0x20, mode]) + bytes(range(3, 40))
    telegram = read_wireless(decode_link(frame(payload)), keys=KEYS)
    assert isinstance(telegram.error, UnsupportedMode)
    assert f"security mode {mode} (" in str(telegram.error)
    assert (telegram.is_encrypted, telegram.content) == (True, None)


@pytest.mark.parametrize(
    ("at", "value", "error"),
    [
        (3, 0xF0, UnsupportedMode),  # a part in clear
        (5, 0x00, UnsupportedMode),  # another derivation of the key
        (5, 0x20, UnsupportedMode),
        (6, 0x02, WrongKey),  # another version of the key
        (1, 0x08, WrongKey),
    ],
)
def test_of_aes_ccm_the_layout_that_is_known_is_read(
    at: int, value: int, error: type[Exception]
) -> None:
    payload = bytearray(sealed("10"))
    telegram = decode_wireless(frame(bytes(payload)), keys=KEYS)
    assert [record.value for record in telegram.records] == [6408, 6000]
    assert (telegram.is_authenticated, telegram.counter, telegram.key) == (True, 9, KEY)
    payload[at] = value
    with pytest.raises(error):
        decode_wireless(frame(bytes(payload)), keys=KEYS)


def test_aes_ccm_under_a_long_header_and_cut_off() -> None:
    payload = seal_mode_10(METER, BODY.encode(), KEY, counter=9, access=9, long_header=True)
    assert decode_wireless(frame(payload), keys=KEYS).meter == METER
    for size in range(1, len(payload)):
        with pytest.raises(MbusError):
            decode_wireless(frame(payload[:size]), keys=KEYS)


def test_what_the_receiver_has_deciphered_is_read_as_it_is() -> None:
    payload = b"\x7a" + bytes([1, 0, 0x10, 0x05]) + b"\x2f\x2f" + BODY.encode()
    telegram = decode_wireless(frame(payload))
    assert [record.value for record in telegram.records] == [6408, 6000]
    assert not telegram.is_encrypted


def test_a_wired_telegram_is_opened_by_the_same_key() -> None:
    payload = seal_mode_5(METER, BODY.encode(), KEY, access=9, long_header=True)
    telegram = decode_wired(LongFrame(8, 1, payload[0], payload[1:]), keys=KEYS)
    assert [record.value for record in telegram.records] == [6408, 6000]
    assert telegram.meter == METER
    short = seal_mode_5(METER, BODY.encode(), KEY, access=9)
    with pytest.raises(MalformedMbus, match="without the address"):
        decode_wired(LongFrame(8, 1, short[0], short[1:]), keys=KEYS)


def test_a_long_header_names_the_meter_behind_a_radio_module() -> None:
    inner = Address.of("GWF", "00182007", 0x35, 7)
    payload = seal_mode_5(inner, BODY.encode(), KEY, access=1, long_header=True)
    telegram = decode_wireless(frame(payload), keys=KeyRing({"00182007": KEY}))
    assert telegram.meter == inner
    assert isinstance(telegram.frame, LinkFrame)
    assert telegram.frame.address == METER


def test_a_fragment_is_not_taken_for_a_message() -> None:
    for fragment in (0x4001, 0x0002):
        layer = Authentication(fragment).encode()
        telegram = read_wireless(decode_link(frame(layer + b"\x78" + BODY.encode())))
        assert "a fragment of a longer message" in str(telegram.error)
        assert telegram.content is None


def test_layers_that_end_too_early_are_refused() -> None:
    whole = sealed("7")
    for cut in range(1, len(whole) - 1):
        telegram = read_wireless(decode_link(frame(whole[:cut])), keys=KEYS)
        assert telegram.error is not None
        assert telegram.content is None


def test_a_compact_frame_is_read_once_a_full_one_has_come() -> None:
    formats = FormatMemory()
    body = make_body([make_record(b"\x04\x13", 7), make_record(b"\x0d\x78", "AB")])
    wire = frame(b"\x79" + encode_compact(body))
    with pytest.raises(UnknownFormat, match="no full frame has shown it"):
        decode_wireless(wire, formats=formats)
    decode_wireless(frame(b"\x78" + body.encode()), formats=formats)
    assert decode_wireless(wire, formats=formats).records == body.records


def test_a_format_frame_teaches_a_format() -> None:
    formats = FormatMemory()
    heads = b"".join(record.head.wire for record in BODY.records)
    content = bytes([len(heads) + 2]) + crc16(heads).to_bytes(2, "little") + heads
    decode_wireless(frame(b"\x69" + content), formats=formats)
    compact = frame(b"\x79" + encode_compact(BODY))
    assert [r.value for r in decode_wireless(compact, formats=formats).records] == [6408, 6000]
    wrong = content[:1] + b"\0\0" + content[3:]
    assert read_wireless(decode_link(frame(b"\x69" + wrong)), formats=formats).error is not None


def test_kamstrups_formats_are_known() -> None:
    full = bytes.fromhex("02ff207100 041308190000 441308190000 615b7f 616713")
    compact = encode_compact(decode_body(full))
    assert compact.startswith(bytes.fromhex("eda8"))
    assert decode_compact(compact, FormatMemory()).encode() == full


def test_values_under_a_wrong_format_are_found_out() -> None:
    compact = bytearray(encode_compact(BODY))
    compact[5] ^= 1
    formats = FormatMemory()
    formats.learn(BODY)
    with pytest.raises(ChecksumMismatch):
        decode_compact(bytes(compact), formats)
    for cut in range(len(compact)):
        with pytest.raises((MalformedMbus, UnknownFormat)):
            decode_compact(bytes(compact[:cut]), formats)
    with pytest.raises(MalformedMbus, match="more than the format"):
        decode_compact(encode_compact(BODY) + b"\x01", formats)


def test_an_application_error_is_told_in_words() -> None:
    with pytest.raises(RequestRefused, match="more than 10 VIFEs"):
        decode_wired(LongFrame(8, 1, 0x70, b"\x06"))


@pytest.mark.parametrize(
    ("ci", "text"),
    [(0xA2, "manufacturer's own"), (0x00, "DLMS in segments"), (0xB8, "speed"), (0x71, "alarm")],
)
def test_what_has_no_values_is_named(ci: int, text: str) -> None:
    with pytest.raises(UnreadContent, match=text):
        decode_wired(LongFrame(8, 1, ci, bytes(4)))


def test_keys_are_hidden() -> None:
    text = "0102030405060708090a0b0c0d0e0f11"
    key = MeterKey.from_hex(text)
    assert repr(key) == "MeterKey(hidden)"
    assert text not in repr(KeyRing({"12345678": key}, default=key))
    for wrong in ("01", "zz" * 16, text + "00"):
        with pytest.raises(EncodingError) as caught:
            MeterKey.from_hex(wrong)
        assert wrong not in str(caught.value)


@given(addresses)
def test_addresses_come_back(address: Address) -> None:
    wire = LinkFrame(SND_NR, address, b"\x78").encode()
    assert decode_link(wire).address == address
    assert Address.of(
        address.manufacturer, address.number, address.version, address.device_type
    ) == (address)


@pytest.mark.parametrize(
    ("manufacturer", "number"),
    [("KA", "76348799"), ("kam", "76348799"), ("KAM", "7634879"), ("KAM", "7634879x")],
)
def test_what_is_no_address_is_refused(manufacturer: str, number: str) -> None:
    with pytest.raises(EncodingError):
        Address.of(manufacturer, number, 1, 1)
