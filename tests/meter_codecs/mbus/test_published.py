# SPDX-License-Identifier: Apache-2.0
"""Telegrams that others have published: what they say, and what cannot be read by its name."""

from dataclasses import replace
from fractions import Fraction
from typing import Final

import pytest

from meter_codecs.mbus import (
    CutOff,
    KeyMissing,
    KeyRing,
    MbusError,
    MeterKey,
    Telegram,
    UnreadContent,
    UnsupportedMode,
    WrongKey,
    decode_link,
    read_wireless,
)
from meter_codecs.mbus.crc import crc16
from meterlet.meter_views.capture import decoded
from meterlet.meter_views.mbus import view
from tests.support.published_meters import PUBLISHED, Published, read_published

ROUNDED: Final = Fraction(1, 10**6)
"""Of the last digit that the publications have."""
BASE: Final = {
    "Wh": ("kWh", Fraction(1, 1000)), "MWh": ("kWh", Fraction(1000)),
    "J": ("kWh", Fraction(1, 3_600_000)), "GJ": ("kWh", Fraction(10**9, 3_600_000)),
    "W": ("kW", Fraction(1, 1000)), "MW": ("kW", Fraction(1000)),
    "s": ("s", Fraction(1)), "min": ("s", Fraction(60)),
    "h": ("s", Fraction(3600)), "d": ("s", Fraction(86_400)),
}  # fmt: skip


def in_base(number: Fraction, unit: str) -> tuple[Fraction, str]:
    base, factor = BASE.get(unit, (unit, Fraction(1)))
    return number * factor, base


def says(telegram: Telegram, value: str) -> bool:
    """Whether a telegram says a value, as `Published` has it."""
    unit, _, said = value.partition("=")
    if unit == "text":
        return any(said in str(record.value) for record in telegram.records)
    if unit == "time":
        times = [str(record.value).replace(" ", "T") for record in telegram.records]
        return any(time.startswith(said) for time in times)
    wanted, base = in_base(Fraction(said), unit)
    allowed, _ = in_base(ROUNDED, unit)
    numbers = [
        in_base(Fraction(record.scaled), record.unit or "")
        for record in telegram.records
        if record.scaled is not None
    ]
    return any(its == base and abs(number - wanted) <= allowed for number, its in numbers)


@pytest.mark.parametrize("published", PUBLISHED.values(), ids=PUBLISHED)
def test_a_published_telegram_says_what_is_published(published: Published) -> None:
    telegram = published.read()
    assert telegram.error is None
    assert telegram.meter is not None
    assert telegram.meter.number == published.number
    assert telegram.encode() == published.wire
    assert [one for one in published.values if not says(telegram, one)] == []


def test_the_comparison_can_fail() -> None:
    telegram = PUBLISHED["iperl"].read()
    assert says(telegram, "m3=7.704")
    for other in ("m3=7.705", "kWh=7.704", "m3=77.04", "text=x", "time=2020-01-01"):
        assert not says(telegram, other)


UNREAD: Final = [
    # From wmbusmeters (GPL-3.0): content that special programs read for some makers.
    ("2f446850313233347462a2069f255900b029310000000306060906030609070606050509050505050407040605070500",
     UnreadContent, "CI a2 .Techem's own"),
    ("1944304c72242421d401a2013d4013dd8b46a4999c1293e582cc",
     UnreadContent, "CI a2 .Diehl's own .PRIOS"),
    ("19440186313737370408a0a1000059001c270100322de413b415", UnreadContent, "CI a0 .Apator's own"),
    # Its CI announces records, and bytes that are none can look like them.
    ("3644d7087670700002087a27c000002f2f011f000000000b3600000000000000"
     "0000000000000000000000000000000000000000010321",
     UnreadContent, "no records, though CI 7a says so: BFW's own"),
    ("534424232004256092687a370045752235854deeea5939fad81c25feef5a23c38fb9168493c563f08db10baf87f660fb"
     "a91296ba2397e8f4220b86d3a192fb51e0bfcf24dce72118e0c75a9e89f43bdfe370824b",
     UnsupportedMode, "mode 21 .Diehl's own scrambling"),
    # The same, deciphered by its publisher. By radio nothing is taken for clear by its looks.
    ("1e4424238b07797389607a8f00107d041312170100426cbf23441344100100",
     UnsupportedMode, "mode 29 .Diehl's own scrambling"),
    ("4644b4097172737405077aa50006101115f78184ab0f1d1e200000005904103103208047004a4800e73c00193e00453f"
     "003e4000e64000e74100f442000144001545005b460000", UnsupportedMode, "mode 16 .BMeters' own"),
    ("264493154433221150037a79330129060000028e0d6a47ff4f26df16d17f1bf94c0a22359db80e",
     UnsupportedMode, "mode 9 .AES-GCM"),
    ("1e468b050100000004077a01001002bbd1eafd0222f871cb70da16c78ae098",
     UnsupportedMode, "mode 2 .DES"),
    ("294468501657060394087a4c001025a11e4eff816c2f8d147ed0c1f959f55e0f0ff724805fcc33d19a19",
     KeyMissing, "no key for TCH 03065716"),
]  # fmt: skip


@pytest.mark.parametrize(("wire", "error", "words"), UNREAD)
def test_what_is_not_read_is_named(wire: str, error: type[MbusError], words: str) -> None:
    telegram = read_published(bytes.fromhex(wire), KeyRing({"00000000": MeterKey(bytes(16))}))
    assert telegram.content is None
    with pytest.raises(error, match=words):
        raise telegram.error or AssertionError("it was read")


def test_the_faults_that_are_shown() -> None:
    faults = [view(bytes.fromhex(wire))["telegrams"][0]["fault"] for wire, _, _ in UNREAD]
    assert faults == ["unread-content"] * 4 + ["unsupported-mode"] * 5 + ["no-key"]


def test_the_last_checksum_is_taken_off_only_if_it_is_one_and_nothing_can_be_read() -> None:
    whole = PUBLISHED["qwv1"]
    assert whole.read().frame.encode() == whole.wire
    for at in range(len(whole.wire) - 6, len(whole.wire)):  # a value, and the checksum
        wire = bytearray(whole.wire)
        wire[at] ^= 0x80
        assert read_published(bytes(wire)).error is not None, at
    deciphered = bytearray(PUBLISHED["ami3"].wire)
    deciphered[13:15] = b"\x60\x05"  # one block fewer, and 18 bytes behind them
    assert read_published(bytes(deciphered)).error is not None
    # Records that are all there, the last two bytes of which are what their checksum would be.
    ours = decode_link(whole.wire)
    payload = bytes.fromhex("780413010000000213")
    payload += crc16(payload).to_bytes(2, "big")
    telegram = read_wireless(replace(ours, payload=payload))
    assert telegram.error is None
    assert [record.data for record in telegram.records][1] == payload[-2:]


TURNED: Final = [
    # Of wmbusmeters (GPL-3.0), its numbers: version and medium stand before the number, or within.
    ("1944304c9c5824210c04a363140013716577ec59e8663ab0d31c", "SAP 2124589c", "water"),
    ("2944a511780729662366a20118001378d3b3db8cedd77731f25832aaf3da8cadf9774ea673172e8c61f2",
     "DME 66236629", "water"),
    ("1e4424238b06204790607a2a0010d80413ddc00000426cbf23441382bb0000", "HYD 60904720", "hot water"),
]  # fmt: skip


@pytest.mark.parametrize(("wire", "meter", "medium"), TURNED)
def test_diehls_own_telegrams_have_the_number_behind(wire: str, meter: str, medium: str) -> None:
    telegram = read_published(bytes.fromhex(wire))
    assert telegram.meter is not None
    assert (str(telegram.meter), telegram.meter.medium) == (meter, medium)
    assert telegram.encode() == bytes.fromhex(wire)


# Telegrams of AMT's Calec, of libmbus (BSD-3-Clause, test/test-frames): old meters have anything
# where the security mode stands now.
SIGNED: Final = [
    ("6838386808c87209315403b405b004c910ffff03229a0000052ea0c85146053eb4e3d742055b90d30743055f"
     "0eaae74105639cbcd542046d100905c57716",
     "135.826416015625"),
    ("6831316808017245585703b40534049e0027b60306f934150315c6004d052e00000000053d00000000055b22"
     "f32642055fc7da0d42fa16",
     "41.73743438720703125"),
]  # fmt: skip


@pytest.mark.parametrize(("wire", "temperature"), SIGNED)
def test_an_old_signature_is_no_security_mode(wire: str, temperature: str) -> None:
    telegram = read_published(bytes.fromhex(wire))
    assert telegram.error is None
    assert not telegram.is_encrypted
    shown = {record.name: str(record.scaled) for record in telegram.records}
    assert shown["flow temperature"] == temperature


def test_on_a_wire_what_does_not_add_up_is_not_in_clear() -> None:
    wire = bytearray.fromhex(SIGNED[1][0])
    wire[20] = 0x7F  # a code of the manufacturer's own
    wire[-2] = sum(wire[4:-2]) & 0xFF
    with pytest.raises(UnsupportedMode, match="mode 22 .reserved"):
        raise read_published(bytes(wire)).error or AssertionError("it was read")


def test_a_frame_that_is_cut_off_says_so() -> None:
    with_checksums = PUBLISHED["dllcrc2"].wire
    with pytest.raises(CutOff, match="the length says 61 bytes, 60 are there"):
        decode_link(with_checksums[:-1])
    bare = PUBLISHED["iperl"].wire
    with pytest.raises(CutOff, match="the length says 31 bytes, 30 are there"):
        decode_link(bare[:-1])
    with pytest.raises(MbusError, match="the length says 31 bytes, 33 are there") as caught:
        decode_link(bare + bytes(2))
    assert not isinstance(caught.value, CutOff)
    shown = decoded(with_checksums[:-1])
    assert [one["fault"] for one in shown["damage"]] == ["cut"]


def test_the_tag_of_aes_ccm_covers_values_and_header() -> None:
    published = PUBLISHED["kccmok"]
    telegram = published.read()
    assert (telegram.mode, telegram.is_authenticated, telegram.counter) == (10, True, 0x0E578C)
    for at in range(13, len(published.wire)):
        wire = bytearray(published.wire)
        wire[at] ^= 1
        changed = read_published(bytes(wire), published.keys)
        assert changed.error is not None, at
        assert changed.content is None
    other = KeyRing(default=MeterKey(bytes(16)))
    with pytest.raises(WrongKey, match="its tag is wrong"):
        raise read_published(published.wire, other).error or AssertionError("it was read")
