# SPDX-License-Identifier: Apache-2.0
"""Meters of other languages than SML: none chooses how much the hub believes, or ends its line.

The unit of a telegram, its digits and its pace are the sender's. What a register may gain is not:
what flows through the fuse or the meter since the last reading, and one step of a kilowatt-hour or
a cubic metre, once.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

import pytest

from hub.meters.admission import COARSE_WH, Admission
from hub.meters.fuse import JITTER_SECONDS, FlowLimit, Fuse, Limit
from hub.meters.kinds import reader_of
from hub.meters.odd import Odd
from hub.meters.readers.current_cost import MOST_SENSORS, CurrentCostReader
from hub.meters.readers.mqtt import framed
from hub.meters.recognition import MeterKind
from hub.meters.sml_intake import SmlIntake
from hub.meters.telegram_intake import MeterDoor, TelegramIntake
from hub.meters.telegrams import DRAWN
from meter_codecs.mbus import Address, make_body, make_record
from meter_codecs.mbus.link import SND_NR, FrameFormat, LinkFrame
from protocols.metrology import ACTIVE_ENERGY_IMPORT, GAS_VOLUME, HEAT_ENERGY, WATER_VOLUME, Medium
from tests.support.field import MARCH, METER, telegram

ZONE: Final = ZoneInfo("Europe/Amsterdam")
NOON: Final = 1_740_830_000
FUSE: Final = Fuse(25, 1)
WATER: Final = Address.of("ECM", "12345678", 1, 7)
WARMTH: Final = Address.of("ECM", "12345678", 1, 4)


class Line:
    """A live line of one meter, its clock under the test's thumb."""

    def __init__(self, kind: MeterKind, meter: str, register: bytes, limit: Limit = FUSE) -> None:
        self.now = NOON
        self.admission = Admission(limit, lambda _: None, None, is_live=True)
        door = MeterDoor("", [register], meter.encode, self.admission)
        self.intake = TelegramIntake(
            reader_of(kind, ZONE, lambda: self.now), [door], lambda: self.now
        )

    def send(self, data: bytes, passed: int = 10) -> list[int]:
        """Return what is taken of what comes after so many seconds."""
        self.now += passed
        return [
            reading.register_wh
            for _, readout in self.intake.feed(data)
            for reading in readout.readings.values()
        ]

    @property
    def odd(self) -> list[Odd]:
        return [one.kind for one in self.admission.set_aside]


class Port(Line):
    """A P1 port."""

    def __init__(self, code: str = "1-0:1.8.0") -> None:
        super().__init__(MeterKind.P1, "E0001", ACTIVE_ENERGY_IMPORT)
        self.code = code

    def shows(self, value: str, passed: int = 10) -> list[int]:
        time = datetime.fromtimestamp(self.now + passed, ZONE).strftime("%y%m%d%H%M%SW")
        text = (
            f"/KFM5KAIFA\r\n\r\n0-0:1.0.0({time})\r\n0-0:96.1.1(4530303031)\r\n"
            f"{self.code}({value})\r\n!\r\n"
        )
        return self.send(text.encode(), passed)


def on_air(meter: Address, head: str, value: int) -> bytes:
    body = make_body([make_record(bytes.fromhex(head), value)]).encode()
    return LinkFrame(SND_NR, meter, b"\x78" + body, FrameFormat.A).encode()


# The step of a telegram's own unit


@pytest.mark.parametrize(
    "value", ["1*GWh", "0001.000*GWh", "1*MWh", "2*MWh", "361*MJ", "1*GJ", "000900.000*kWh"]
)
def test_a_coarse_unit_opens_no_fuse_of_a_port(value: str) -> None:
    port = Port()
    found = port.shows("000100.000*kWh") + port.shows("000100.001*kWh")
    port.shows(value)
    found += port.shows("000100.002*kWh") + port.shows("000100.003*kWh")
    assert found == [100_000, 100_001, 100_002, 100_003]
    assert set(port.odd) <= {Odd.LEAPT}


@pytest.mark.parametrize(
    ("meter", "register", "limit", "fine", "coarse"),
    [
        (WATER, WATER_VOLUME, FlowLimit(4_000, Medium.COLD_WATER), "0413", "0417"),
        (WATER, WATER_VOLUME, FlowLimit(4_000, Medium.COLD_WATER), "0413", "04977d"),
        (WARMTH, HEAT_ENERGY, FlowLimit(20_000, Medium.HEAT), "0403", "0407"),
        (WARMTH, HEAT_ENERGY, FlowLimit(20_000, Medium.HEAT), "0403", "040f"),
    ],
)
def test_a_coarse_scale_opens_no_meter_on_the_radio(
    meter: Address, register: bytes, limit: Limit, fine: str, coarse: str
) -> None:
    line = Line(MeterKind.WIRELESS, str(meter), register, limit)
    found = line.send(on_air(meter, fine, 999)) + line.send(on_air(meter, fine, 1_000))
    for number in range(5):
        found += line.send(on_air(meter, fine, 1_001 + number))
        assert line.send(on_air(meter, coarse, 1 + number)) == []
        assert line.send(on_air(meter, coarse, 5 + number)) == []
    assert found == list(range(999, 1_006))


# Little by little


def pace_of(shown: Iterator[list[int]], per_hour: int, seconds: int) -> None:
    """Check that what was taken is no more than flows, and one step."""
    found = [one for part in shown for one in part]
    assert found
    most = per_hour * (seconds + JITTER_SECONDS) // 3600 + COARSE_WH
    assert found[-1] - found[0] <= most


def test_whole_kilowatt_hours_each_second_come_through_once() -> None:
    port = Port()
    pace_of((port.shows(f"{5000 + n:06}*kWh", 1) for n in range(61)), FUSE.per_hour, 60)
    assert len(port.odd) > 50


def test_whole_cubic_metres_of_a_port_come_through_once() -> None:
    line = Line(MeterKind.P1, "G0039", GAS_VOLUME, FlowLimit(6_000, Medium.GAS))

    def gas() -> Iterator[list[int]]:
        for number in range(61):
            time = datetime.fromtimestamp(line.now + 60, ZONE).strftime("%y%m%d%H%M%SW")
            text = (
                f"/KFM5KAIFA\r\n\r\n0-0:1.0.0({time})\r\n0-0:96.1.1(4530303031)\r\n"
                "0-1:24.1.0(003)\r\n0-1:96.1.0(4730303339)\r\n"
                f"0-1:24.2.1({time})({5000 + number:05}*m3)\r\n!\r\n"
            )
            yield line.send(text.encode(), 60)

    pace_of(gas(), 6_000, 3_600)


@pytest.mark.parametrize("step", ["1", "0.1", "0.01"])
def test_a_plugs_decimals_come_through_no_faster(step: str) -> None:
    line = Line(MeterKind.MQTT, "washer", ACTIVE_ENERGY_IMPORT)

    def plug() -> Iterator[list[int]]:
        for number in range(300):
            total = f"{5000 + number * float(step):.3f}"
            payload = b'{"ENERGY":{"Total":%s}}' % total.encode()
            yield line.send(framed("tele/washer/SENSOR", payload), 1)

    pace_of(plug(), FUSE.per_hour, 300)


def test_a_true_line_of_whole_kilowatt_hours_loses_nothing() -> None:
    port, found = Port(), list[int]()
    for number in range(400):  # 6 kW behind a fuse of 7.9
        found += port.shows(f"{5000 + number // 60:06}*kWh")
    assert (len(found), port.odd) == (400, [])


# Names that fill memory


def display(sensor: int, own: int, watts: int) -> bytes:
    return (
        b"<msg><src>CC128-v1.31</src><dsb>00003</dsb><time>09:44:48</time><tmpr>19.8</tmpr>"
        b"<sensor>%d</sensor><id>%05d</id><type>1</type><ch1><watts>%05d</watts></ch1></msg>"
        % (sensor, own, watts)
    )


def test_strangers_at_a_display_take_bounded_memory_and_push_out_no_meter_of_the_hub() -> None:
    now = [NOON]
    reader = CurrentCostReader(lambda: now[0])
    reader.begin_at(b"current cost sensor 1 id 00629", 5_000)
    shown: list[int] = []
    for step in range(11):
        [told] = reader.feed(display(1, 629, 3_600)).telegrams
        shown.append(told.counted[DRAWN].steps)
        for number in range(200):
            reader.feed(display(number % 10, 1_000 + 200 * step + number, 100))
        assert len(reader._sensors) <= MOST_SENSORS + 1
        now[0] += 60
    assert shown == [5_000 + 60 * step for step in range(11)]


def test_a_sensor_that_is_heard_is_not_forgotten_for_one_that_is_silent() -> None:
    now = [NOON]
    reader = CurrentCostReader(lambda: now[0])
    for number in range(3 * MOST_SENSORS):
        [told] = reader.feed(display(2, 629, 3_600)).telegrams
        reader.feed(display(3, 1_000 + number, 100))
        assert told.counted[DRAWN].steps == 60 * number
        now[0] += 60


@pytest.mark.parametrize("size", [65, 20_000])
def test_a_name_of_many_bytes_is_lost_and_fills_nothing(size: int) -> None:
    port = Port()
    for number in range(3):
        port.shows(f"000100.00{number}*kWh")
        time = datetime.fromtimestamp(port.now, ZONE).strftime("%y%m%d%H%M%SW")
        name = b"x".hex() * (size - 1) + f"{number}".encode().hex()
        text = (
            f"/KFM5KAIFA\r\n\r\n0-0:1.0.0({time})\r\n0-0:96.1.1({name})\r\n"
            "1-0:1.8.0(000007.000*kWh)\r\n!\r\n"
        )
        assert port.send(text.encode(), 1) == []
    assert port.odd == []
    assert {one.reason for one in port.intake.lost} == {
        f"its meter's identification has {size:,} bytes: more than any meter's"
    }
    assert all(len(one) < 200 for one in port.intake.seen)


def test_a_name_of_many_bytes_is_lost_of_sml_too() -> None:
    admission = Admission(FUSE, lambda _: None, None, is_live=True)
    door = SmlIntake(METER, [ACTIVE_ENERGY_IMPORT], lambda: MARCH, admission=admission)
    assert door.feed(telegram(5_000, MARCH, meter=bytes(65))) == []
    assert door.feed(telegram(5_000, MARCH, meter=bytes(64))) == []
    assert [one.reason for one in door.lost] == [
        "its meter's identification has 65 bytes: more than any meter's"
    ]
    assert [len(one.meter) for one in admission.set_aside] == [64]


# Numbers that end a line


@pytest.mark.parametrize(
    "total",
    [
        "1." + "0" * 5_000,
        "9" * 5_000,
        "0." + "1" * 5_000,
        "0." + "0" * 5_000 + "1",
        "1e99999999999999999999",
        "1e-99999999999999999999",
        "0e999999999999999999",
        "-1." + "0" * 5_000,
    ],
)
def test_no_number_of_a_message_ends_the_line(total: str) -> None:
    line = Line(MeterKind.MQTT, "washer", ACTIVE_ENERGY_IMPORT)
    topics = "tele/washer/SENSOR", "washer/status/em1data:0", "shellies/washer/relay/0/energy"
    members = '{"ENERGY":{"Total":%s}}', '{"total_act_energy":%s}', "%s"
    for topic, text in zip(topics, members, strict=True):
        assert line.send(framed(topic, (text % total).encode())) == []
    found = [
        one
        for wh in (1, 2, 3)
        for one in line.send(framed("tele/washer/SENSOR", b'{"ENERGY":{"Total":5.00%d}}' % wh))
    ]
    assert found == [5_001, 5_002, 5_003]
    assert len(line.intake.lost) + line.intake.foreign == 3


def test_a_long_number_beside_the_energy_is_no_matter() -> None:
    line = Line(MeterKind.MQTT, "washer", ACTIVE_ENERGY_IMPORT)
    payload = '{"ENERGY":{"Total":5.00%d,"Power":1.%s}}'
    found = [
        line.send(framed("tele/washer/SENSOR", (payload % (wh, "3" * 5_000)).encode()))
        for wh in (1, 2)
    ]
    assert found == [[], [5_001, 5_002]]


@pytest.mark.parametrize("value", ["1" + "0" * 5_000, "1." + "0" * 5_000, "1." + "0" * 4_000])
def test_no_number_of_a_port_ends_the_line(value: str) -> None:
    port = Port()
    port.shows(f"{value}*kWh")
    assert port.shows("000100.000*kWh") + port.shows("000100.001*kWh") == [100_000, 100_001]
