# SPDX-License-Identifier: Apache-2.0
"""What the hub takes from meters that speak P1, DLMS, M-Bus, Current Cost and MQTT."""

import json
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.meters.kinds import NO_KEYS, MeterKeys, kind_of, reader_of
from hub.meters.readers.current_cost import CurrentCostReader
from hub.meters.readers.mqtt import MqttReader, framed
from hub.meters.recognition import MeterKind, is_seven_bits
from hub.meters.telegrams import (
    COLD_WATER,
    DRAWN,
    FED_IN,
    GAS,
    HEAT,
    HOT_WATER,
    Counted,
    Heard,
    MeterTelegram,
    Quantity,
    counted,
)
from meter_codecs.p1 import crc16
from protocols.metrology import (
    ACTIVE_ENERGY_IMPORT,
    GAS_VOLUME,
    HEAT_ENERGY,
    WATER_VOLUME,
    Medium,
)
from tests.support.shared import SHARED, require_shared

BERLIN = ZoneInfo("Europe/Berlin")
CAPTURES = SHARED / "meter-captures"
DSMR = (
    "/ISK5\\2M550T-1012\r\n\r\n1-3:0.2.8(50)\r\n0-0:1.0.0(250301120000W)\r\n"
    "0-0:96.1.1(4530303433)\r\n1-0:1.8.1(000100.500*kWh)\r\n1-0:1.8.2(000200.250*kWh)\r\n"
    "1-0:2.8.1(000001.000*kWh)\r\n1-0:2.8.2(000002.000*kWh)\r\n1-0:1.7.0(00.100*kW)\r\n"
    "0-1:24.1.0(003)\r\n0-1:96.1.0(4730303339)\r\n0-1:24.2.1(250301115500W)(01569.646*m3)\r\n"
    "0-2:24.1.0(007)\r\n0-2:96.1.0(5730303339)\r\n0-2:24.2.1(250301110000W)(00872.234*m3)\r\n!"
)


def sealed(text: str) -> bytes:
    """Return a telegram with its checksum, as a meter of DSMR 5 sends it."""
    return text.encode() + f"{crc16(text.encode()):04X}\r\n".encode()


def heard(kind: MeterKind, data: bytes, keys: MeterKeys = NO_KEYS) -> Heard:
    reader = reader_of(kind, BERLIN, lambda: 0, keys, seven_bits=is_seven_bits(data))
    found = reader.feed(data)
    rest = reader.close()
    return Heard(found.telegrams + rest.telegrams, found.lost + rest.lost)


def moment(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp())


def captures() -> Iterator[tuple[str, bytes, dict[str, object]]]:
    for oracle in sorted(require_shared(CAPTURES).glob("*/*.json")):
        data = next(p for p in oracle.parent.glob(f"{oracle.stem}.*") if p.suffix != ".json")
        yield oracle.stem, data.read_bytes(), json.loads(oracle.read_text())


def test_a_port_is_a_meter_for_each_thing_it_counts() -> None:
    main, gas, water = heard(MeterKind.P1, sealed(DSMR)).telegrams
    assert main.meter == b"E0043"
    assert main.time == moment("2025-03-01T12:00:00+01:00")
    assert main.shown(ACTIVE_ENERGY_IMPORT) == Counted(300_750, 1)  # both tariffs
    assert main.counted[Quantity(1, 1, 8, 1)] == Counted(100_500, 1)
    assert (gas.meter, gas.time) == (b"G0039", moment("2025-03-01T11:55:00+01:00"))
    assert gas.counted == {GAS: Counted(1_569_646, 1)}
    assert gas.shown(GAS_VOLUME) == Counted(1_569_646, 1)
    assert water.shown(WATER_VOLUME) == Counted(872_234, 1)
    assert water.shown(ACTIVE_ENERGY_IMPORT) is None


EXPECTED: dict[str, list[tuple[str, Quantity, int | None]]] = {
    "isk_m550t_1011": [("E0034006810516416", DRAWN, 6_757_178),
                       ("G0039001700460117", GAS, 1_569_646)],
    "fluvius_171": [("1SAG3101021605", DRAWN, 15_792), ("7FLO2119033733", GAS, 112_384),
                    ("8SAG1234567890", COLD_WATER, 872_234)],
    "sagemcom_t210dr": [("EST5\\253710000_A", DRAWN, 6_545_766)],
    "smarty_encrypted_esphome": [("EST5\\253710000_A", DRAWN, 6_545_766)],
    "warmtelink_unpadded_crc": [("ADC3100000158491", DRAWN, None),
                                ("621848012D2C0B0C", HEAT, 66_905_555)],
    "aidon_sweden_push": [("", DRAWN, 10_049_926)],
    "aidon_sweden_segmented": [("", FED_IN, 8)],
    "aidon_sweden_ciphered_aad": [("7379737469746c65", DRAWN, 10_049_926)],
    "aidon_sweden_ciphered_wrong_ak": [],
    "kaifa_ma309_tinetz": [("1KFM0100000035", DRAWN, 9_108)],
    "kaifa_ma309_tinetz_wrong_key": [],
    "kamstrup_doc_list2": [("5706567000000000", DRAWN, 0)],
    "wired_acw_itron_bm_plus_m": [("ACW 11490378", COLD_WATER, 54_321)],
    "wired_lgb_g350": [("LGB 12082058", GAS, 10_834_092)],
    "wired_oms_frame1": [("ELS 12345678", GAS, 28_504_270)],
    "wired_kamstrup_multical_601": [("KAM 06855817", HEAT, 37_351_000)],
    "wired_efe_engelmann_waterstar": [("EFE 04990254", HOT_WATER, 332)],
    "wired_sen_pollutherm": [("SPX 21050076", HEAT, 8_640_000)],
    "wired_bad_too_many_vifes": [],
    "wireless_picoflux_56544919": [("ECM 56544919", COLD_WATER, 4_492)],
    "wireless_mode7_sensostar": [("EFE 43054304", HEAT, 9_341_000)],
    "wireless_multical21_ciphered": [("KAM 76348799", COLD_WATER, 6_408)],
    "wireless_multical21_wrongkey": [],
}  # fmt: skip


def test_real_meters_show_what_their_displays_did() -> None:
    seen = set()
    for name, data, oracle in captures():
        if name not in EXPECTED:
            continue
        key, own = oracle.get("key"), oracle.get("auth_key")
        keys = MeterKeys(
            bytes.fromhex(str(key)) if key else None, bytes.fromhex(str(own)) if own else None
        )
        kind = kind_of(data)
        assert kind is not None, name
        result = heard(kind, data, keys)
        found = [(one.meter.decode(), one) for one in result.telegrams]
        expected = EXPECTED[name]
        assert [meter for meter, _ in found] == [meter for meter, _, _ in expected], name
        for (_, one), (_, quantity, steps) in zip(found, expected, strict=True):
            code = bytes([quantity.medium, 0, quantity.c, quantity.d, quantity.e, 255])
            shown = one.shown(code)
            assert (None if shown is None else shown.steps) == steps, name
        if not expected:
            assert result.lost, name
        seen.add(name)
    assert seen == EXPECTED.keys()


def test_the_language_of_every_framed_capture_is_found() -> None:
    wanted: dict[str, set[MeterKind | None]] = {
        "p1": {MeterKind.P1}, "currentcost": {MeterKind.CURRENT_COST},
        "m-bus": {MeterKind.MBUS}, "wm-bus": {MeterKind.WIRELESS},
        "dlms": {MeterKind.DLMS_HDLC, MeterKind.DLMS_MBUS, MeterKind.DLMS_WRAPPER, None},
    }  # fmt: skip
    for name, data, oracle in captures():
        telegrams = oracle["telegrams"]
        assert isinstance(telegrams, list)
        for one in telegrams[:1]:
            assert kind_of(data) in wanted[one["protocol"]], name


@given(st.binary(max_size=400))
def test_any_bytes_are_read_or_lost_and_never_more(data: bytes) -> None:
    kind_of(data)
    for kind in MeterKind:
        if kind not in (MeterKind.SML, MeterKind.DLMS_APDU):
            heard(kind, data)


@given(st.data())
def test_pieces_make_no_difference(data: st.DataObject) -> None:
    whole = sealed(DSMR) + b"noise" + sealed(DSMR.replace("100.500", "100.600"))
    cuts = sorted(data.draw(st.sets(st.integers(0, len(whole)), max_size=6)))
    reader = reader_of(MeterKind.P1, BERLIN, lambda: 0)
    found: list[MeterTelegram] = []
    for begin, end in zip([0, *cuts], [*cuts, len(whole)], strict=True):
        found += reader.feed(whole[begin:end]).telegrams
    found += reader.close().telegrams
    assert found == heard(MeterKind.P1, whole).telegrams


@given(st.integers(0, 10**15), st.integers(-9, 6), st.sampled_from(["Wh", "kWh", "MWh", "GJ"]))
def test_units_become_whole_watt_hours(value: int, scaler: int, unit: str) -> None:
    each = {"Wh": Decimal(1), "kWh": Decimal(1000), "MWh": Decimal(10**6),
            "GJ": Decimal(10**9) / 3600}[unit]  # fmt: skip
    found = counted(value, scaler, unit, Medium.ELECTRICITY)
    exact = Decimal(value).scaleb(scaler) * each
    assert found is not None
    assert abs(found.steps - exact) <= 1
    assert found.steps <= exact + Decimal("0.0001") * exact.max(Decimal(1))
    assert counted(value, scaler, "m3", Medium.ELECTRICITY) is None
    assert counted(value, scaler, "kWh", Medium.GAS) is None
    assert counted(-1 - value, scaler, unit, Medium.HEAT) is None


def test_power_becomes_a_register_as_time_goes_by() -> None:
    now = [1_000_000]
    reader = CurrentCostReader(lambda: now[0])
    reader.begin_at(b"current cost sensor 1 id 00629", 5_000)

    def message(watts: int) -> Heard:
        return reader.feed(
            b"<msg><src>CC128-v1.31</src><dsb>00003</dsb><time>09:44:48</time><tmpr>19.8</tmpr>"
            b"<sensor>1</sensor><id>00629</id><type>1</type><ch1><watts>%05d</watts></ch1></msg>"
            % watts
        )

    shown = []
    for seconds, watts in ((0, 3600), (6, 3600), (6, 0), (6, 1200), (600, 1200), (60, 0)):
        now[0] += seconds
        [telegram] = message(watts).telegrams
        shown.append(telegram.counted[DRAWN].steps)
    # 3600 W for 12 s, nothing for 6 s, an unknown gap of ten minutes, 1200 W for a minute.
    assert shown == [5_000, 5_006, 5_012, 5_012, 5_012, 5_032]
    assert not message(99_999).lost
    assert message(0).telegrams[0].watts == 0


def test_a_capture_has_its_start_and_its_steps_for_moments() -> None:
    def sensors(*watts: int) -> bytes:
        return b"".join(
            b"<msg><src>CC128-v1.31</src><dsb>00003</dsb><time>09:44:48</time><tmpr>19.8</tmpr>"
            b"<sensor>%d</sensor><id>00629</id><type>1</type><ch1><watts>%05d</watts></ch1></msg>"
            % (number, power)
            for number, power in enumerate(watts)
        )

    reader = CurrentCostReader(lambda: 1_000_000)
    reader.replay(5_000, 60)
    found = [reader.feed(sensors(600, 1200)).telegrams for _ in range(3)]
    shown = [[(one.time, one.counted[DRAWN].steps) for one in both] for both in found]
    assert shown == [
        [(5_000, 0), (5_000, 0)], [(5_060, 10), (5_060, 20)], [(5_120, 20), (5_120, 40)],
    ]  # fmt: skip
    reader = CurrentCostReader(lambda: 1_000_000)
    reader.replay(5_000, None)
    assert [one.time for one in reader.feed(sensors(600, 1200)).telegrams] == [None, None]


@pytest.mark.parametrize(
    ("topic", "payload", "meter", "steps"),
    [
        ("tele/washer/SENSOR", '{"Time":"2025-01-01","ENERGY":{"Total":12.345,"Power":60}}',
         "washer", 12_345),
        ("shelly1pm-1/status/switch:0", '{"id":0,"apower":60.1,"aenergy":{"total":1234.567}}',
         "shelly1pm-1/switch:0", 1_234),
        ("shellypro/status/em1data:1", '{"total_act_energy":98.6}', "shellypro/em1data:1", 98),
        ("shellies/plug/relay/0/energy", "740736", "plug/relay/0", 12_345),
        ("shellies/em/emeter/2/total", "12345.6", "em/emeter/2", 12_345),
    ],
)  # fmt: skip
def test_plugs_over_mqtt(topic: str, payload: str, meter: str, steps: int) -> None:
    [telegram] = MqttReader().feed(framed(topic, payload.encode())).telegrams
    assert (telegram.meter.decode(), telegram.counted[DRAWN].steps) == (meter, steps)


@pytest.mark.parametrize(
    ("topic", "payload"),
    [
        ("tele/washer/SENSOR", "{"),
        ("tele/washer/SENSOR", '{"ENERGY":{"Total":NaN}}'),
        ("tele/washer/SENSOR", '{"ENERGY":{"Total":-1}}'),
        ("tele/washer/SENSOR", '{"ENERGY":{"Total":1e400}}'),
        ("tele/washer/SENSOR", '{"ENERGY":{"Total":true}}'),
        ("tele/washer/SENSOR", '{"ENERGY":{"Total":"1"}}'),
        ("tele/washer/SENSOR", "[" * 5000),
        ("tele/washer/SENSOR", '{"a":' * 5000),
        ("shellies/plug/relay/0/energy", "12e5"),
        ("shellies/plug/relay/0/energy", ""),
    ],
)
def test_what_a_plug_does_not_say(topic: str, payload: str) -> None:
    result = MqttReader().feed(framed(topic, payload.encode()))
    assert (result.telegrams, len(result.lost)) == ([], 1)


def test_other_topics_are_passed_over() -> None:
    reader = MqttReader()
    for topic in ("tele/x/STATE", "a/status/sys", "zigbee2mqtt/lamp", "tele/\n/SENSOR"):
        assert reader.feed(framed(topic, b"{}")) == Heard()
    other = framed("tele/thermometer/SENSOR", b'{"DS18B20":{"Temperature":20.5}}')
    assert reader.feed(other) == Heard()


@given(st.text(st.characters(codec="utf-8"), max_size=40), st.binary(max_size=200))
def test_no_message_breaks_the_reader(topic: str, payload: bytes) -> None:
    for one in (topic, "tele/x/SENSOR", "x/status/switch:0", "shellies/x/relay/0/energy"):
        MqttReader().feed(framed(one, payload))


def test_heat_is_counted_in_watt_hours() -> None:
    assert MeterTelegram(0, "M-Bus", b"", {HEAT: Counted(7, 1)}).shown(HEAT_ENERGY) == Counted(7, 1)


def test_a_meter_whose_key_is_known_is_not_believed_in_clear() -> None:
    keys = MeterKeys(bytes(range(16)))
    clear = {
        "isk_m550t_1011",
        "aidon_sweden_push",
        "wired_acw_itron_bm_plus_m",
        "wireless_itron_12345698",
    }
    tried = set()
    for name, data, _ in captures():
        if name in clear:
            kind = kind_of(data)
            assert kind is not None
            result = heard(kind, data, keys)
            assert result.telegrams == []
            assert any("in clear" in one.reason for one in result.lost), name
            tried.add(name)
    assert tried == clear


def test_what_was_sent_before_is_not_believed_again() -> None:
    for name, data, oracle in captures():
        if name in {
            "aidon_sweden_ciphered_aad",
            "wireless_mode7_sensostar",
            "smarty_encrypted_esphome",
        }:
            key, own = str(oracle["key"]), str(oracle.get("auth_key") or "")
            keys = MeterKeys(bytes.fromhex(key), bytes.fromhex(own) or None)
            kind = kind_of(data)
            assert kind is not None
            reader = reader_of(kind, BERLIN, lambda: 0, keys)
            first, again = reader.feed(data), reader.feed(data)
            assert first.telegrams, name
            assert again.telegrams == [], name
            assert "sent before" in again.lost[0].reason, name


def test_a_tag_that_was_left_out_is_missed() -> None:
    for name, data, oracle in captures():
        if name == "kaifa_ma309_tinetz":  # it sends none
            key = bytes.fromhex(str(oracle["key"]))
            kind = kind_of(data)
            assert kind is not None
            assert heard(kind, data, MeterKeys(key)).telegrams
            result = heard(kind, data, MeterKeys(key, bytes(16)))
            assert result.telegrams == []
            assert "no tag" in result.lost[0].reason
            return
    pytest.fail("the capture is not there")
