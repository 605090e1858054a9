# SPDX-License-Identifier: Apache-2.0
from collections.abc import Sequence
from dataclasses import replace
from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.meters.emulated import UnsendableReading, emulated_meter_id, telegrams
from hub.meters.simulator import SyntheticHousehold
from hub.meters.sml_intake import SmlIntake, SmlIntakeError
from hub.readings import Reading, ReadingFlag, Readout
from protocols.metrology import ACTIVE_ENERGY_EXPORT, ACTIVE_ENERGY_IMPORT
from sml_codec import (
    CloseRes,
    GetListRes,
    ListEntry,
    Message,
    Obis,
    OpenRes,
    Time,
    TimeChoice,
    encode_file,
    encode_frame,
)

METER = emulated_meter_id(1)
BOTH = ACTIVE_ENERGY_IMPORT, ACTIVE_ENERGY_EXPORT
NOON = 1_743_500_000


def door(registers: Sequence[bytes] = BOTH[:1], **options: int) -> SmlIntake:
    return SmlIntake(METER, registers, lambda: NOON, **options)  # type: ignore[arg-type]  # ints


def some(number: int = 5) -> list[Reading]:
    return [Reading(NOON + 900 * n, 1000 + 7 * n) for n in range(number)]


def drawn(readouts: list[Readout]) -> list[Reading]:
    assert all(readout.readings.keys() == {ACTIVE_ENERGY_IMPORT} for readout in readouts)
    return [readout.readings[ACTIVE_ENERGY_IMPORT] for readout in readouts]


def push(meter: bytes, value: object, **entry: object) -> bytes:
    """A telegram as a meter without a clock sends it."""
    fields: dict[str, object] = {"unit": 30, "scaler": -1, "time": None, **entry}
    second = fields.pop("second", 77)
    listed = ListEntry(obis=Obis(ACTIVE_ENERGY_IMPORT), value=value, **fields)  # type: ignore[arg-type]
    body = GetListRes(
        server_id=meter,
        sensor_time=Time(TimeChoice.SECOND_INDEX, int(str(second))),
        entries=(listed,),
    )
    bodies = OpenRes(request_file_id=b"1", server_id=meter), body, CloseRes()
    return encode_frame(encode_file([Message(transaction_id=b"t", body=b) for b in bodies]))


def test_a_synthetic_day_comes_through_the_door_whole() -> None:
    readings = list(
        SyntheticHousehold("Europe/Berlin").readings(date(2025, 3, 30), date(2025, 3, 30))
    )
    assert drawn(door().feed(b"".join(telegrams(METER, readings)))) == readings


def test_flags_travel_with_their_readings() -> None:
    readings = [replace(r, flags=ReadingFlag(n % 4)) for n, r in enumerate(some(8))]
    assert drawn(door().feed(b"".join(telegrams(METER, readings)))) == readings


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 400), max_size=12))
def test_it_does_not_matter_how_the_line_cuts_the_bytes(cuts: list[int]) -> None:
    stream, entrance, taken = b"".join(telegrams(METER, some())), door(), []
    for cut in cuts:
        taken += entrance.feed(stream[:cut])
        stream = stream[cut:]
    assert drawn(taken + entrance.feed(stream) + entrance.close()) == some()
    assert entrance.lost == []


def test_a_damaged_telegram_is_named_and_the_rest_is_kept() -> None:
    frames = list(telegrams(METER, some()))
    frames[2] = frames[2][:60] + bytes([frames[2][60] ^ 1]) + frames[2][61:]
    entrance = door()
    taken = entrance.feed(b"".join(frames)) + entrance.close()
    assert drawn(taken) == [r for n, r in enumerate(some()) if n != 2]
    (lost,) = entrance.lost
    assert lost.offset == len(frames[0]) + len(frames[1])
    assert "crc" in lost.reason.lower() or "checksum" in lost.reason.lower()


def test_a_truncated_telegram_gives_no_reading() -> None:
    stream = b"".join(telegrams(METER, some(2)))
    entrance = door()
    assert drawn(entrance.feed(stream[:-5]) + entrance.close()) == some(1)
    assert len(entrance.lost) == 1


def test_another_meter_is_refused_by_name() -> None:
    with pytest.raises(SmlIntakeError, match=f"at byte 0: of meter {emulated_meter_id(2).hex()}"):
        door().feed(push(emulated_meter_id(2), 10))


def test_a_meter_without_a_clock_is_stamped_on_arrival_or_from_the_captures_start() -> None:
    frames = push(METER, 10_009, second=77) + push(METER, 10_010, second=90)
    assert drawn(door().feed(frames)) == [Reading(NOON, 1000)]  # both arrive in the same second
    assert drawn(door(capture_start=500).feed(frames)) == [Reading(500, 1000), Reading(513, 1001)]
    assert drawn(door(capture_start=500, every_seconds=60).feed(frames)) == [Reading(500, 1000)]


@pytest.mark.parametrize(
    "telegram",
    [
        push(METER, None),
        push(METER, b"1000"),
        push(METER, True),
        push(METER, -5),
        push(METER, 1000, unit=27),
        push(METER, 1000, unit=None),
        push(METER, 1000, scaler=100),
    ],
)
def test_a_register_that_counts_no_energy_gives_no_reading(telegram: bytes) -> None:
    entrance = door()
    assert entrance.feed(telegram) == []
    assert [lost.reason for lost in entrance.lost] == ["the register is not a count of Wh"]


def test_only_our_own_meters_flags_are_believed() -> None:
    real = bytes.fromhex("0901454d480000000001")
    entrance = SmlIntake(real, BOTH[:1], lambda: NOON)
    (readout,) = entrance.feed(push(real, 10_000, status=0x0300))
    assert readout.flags is ReadingFlag.NONE


@pytest.mark.parametrize(("value", "scaler"), [(2**64 - 1, 9), (2**63, 0)])
def test_a_register_beyond_any_meters_is_reported(value: int, scaler: int) -> None:
    line = door()
    assert line.feed(push(METER, value, scaler=scaler)) + line.close() == []
    assert [lost.reason for lost in line.lost] == ["the register is beyond any meter's"]


@pytest.mark.parametrize(
    "reading", [Reading(-1, 0), Reading(2**32, 0), Reading(NOON, 2**63 // 10 + 1)]
)
def test_a_reading_that_no_telegram_carries_is_refused(reading: Reading) -> None:
    with pytest.raises(UnsendableReading, match="a telegram's times end in 2106"):
        list(telegrams(METER, [reading]))


# Two registers


def two(number: int = 5) -> list[Readout]:
    return [
        Readout(
            {
                ACTIVE_ENERGY_IMPORT: Reading(NOON + 900 * n, 1000 + 7 * n),
                ACTIVE_ENERGY_EXPORT: Reading(NOON + 900 * n, 50 + 3 * n),
            }
        )
        for n in range(number)
    ]


def both_ways(**options: int) -> SmlIntake:
    return door(BOTH, **options)


def listed(*entries: ListEntry, sensor_time: Time | None = None) -> bytes:
    body = GetListRes(server_id=METER, sensor_time=sensor_time, entries=entries)
    bodies = OpenRes(request_file_id=b"1", server_id=METER), body, CloseRes()
    return encode_frame(encode_file([Message(transaction_id=b"t", body=b) for b in bodies]))


def counted(register: bytes, value: object = 10_000, **fields: object) -> ListEntry:
    return ListEntry(obis=Obis(register), value=value, unit=30, scaler=-1, **fields)  # type: ignore[arg-type]


def test_both_registers_of_a_telegram_make_one_readout() -> None:
    stream = b"".join(telegrams(METER, two()))
    assert both_ways().feed(stream) == two()
    assert drawn(door().feed(stream)) == [
        readout.readings[ACTIVE_ENERGY_IMPORT] for readout in two()
    ]


def test_a_solar_household_comes_through_the_door_whole() -> None:
    house = SyntheticHousehold("Europe/Berlin", solar_watts_peak=5000)
    readouts = list(house.readouts(date(2025, 3, 30), date(2025, 3, 30)))
    assert both_ways().feed(b"".join(telegrams(METER, readouts))) == readouts


@pytest.mark.parametrize("register", [ACTIVE_ENERGY_IMPORT, ACTIVE_ENERGY_EXPORT])
def test_a_telegram_that_lacks_a_register_gives_nothing_and_is_reported(register: bytes) -> None:
    frames = list(telegrams(METER, two(3)))
    frames[1] = listed(counted(register), sensor_time=Time(TimeChoice.TIMESTAMP, NOON + 900))
    entrance = both_ways()
    assert entrance.feed(b"".join(frames)) == [two(3)[0], two(3)[2]]
    assert [(lost.offset, lost.reason) for lost in entrance.lost] == [
        (len(frames[0]), "it has some of the registers only")
    ]


def test_a_telegram_of_neither_register_is_no_loss() -> None:
    entrance = both_ways()
    assert entrance.feed(listed(counted(bytes.fromhex("0100100700ff")))) == []
    assert entrance.lost == []


@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize("value", [None, -1, 2**63])
def test_a_telegram_with_one_useless_register_gives_nothing(place: int, value: object) -> None:
    registers = ACTIVE_ENERGY_IMPORT, ACTIVE_ENERGY_EXPORT
    entries = [counted(one, value if n == place else 5) for n, one in enumerate(registers)]
    entrance = both_ways()
    at = Time(TimeChoice.TIMESTAMP, NOON)
    taken = entrance.feed(listed(*entries, sensor_time=at))
    if value == 2**63:  # in tenths of a watt-hour it is a register that a meter may have
        assert len(taken) == 1
        return
    assert taken == []
    assert [lost.reason for lost in entrance.lost] == ["the register is not a count of Wh"]


def test_registers_of_two_moments_make_no_readout() -> None:
    entrance = both_ways(capture_start=500)
    times = [Time(TimeChoice.SECOND_INDEX, second) for second in (77, 78)]
    entries = [
        counted(register, time=time)
        for register, time in zip((ACTIVE_ENERGY_IMPORT, ACTIVE_ENERGY_EXPORT), times, strict=True)
    ]
    assert entrance.feed(listed(*entries)) == []
    assert [lost.reason for lost in entrance.lost] == ["its registers were not read at one moment"]
    at_once = [counted(one, time=times[0]) for one in (ACTIVE_ENERGY_EXPORT, ACTIVE_ENERGY_IMPORT)]
    (readout,) = both_ways(capture_start=500).feed(listed(*at_once))
    assert (readout.time, readout.readings[ACTIVE_ENERGY_IMPORT].register_wh) == (500, 1000)
