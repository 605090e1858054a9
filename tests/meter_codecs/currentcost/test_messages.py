# SPDX-License-Identifier: Apache-2.0
"""Current Cost messages of real displays, damaged ones, and what holds for all of them."""

from dataclasses import replace
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.meters.recognition import MeterKind, recognise_meter
from meter_codecs.currentcost import (
    CurrentCostError,
    Damage,
    DamageKind,
    EncodingError,
    MalformedMessage,
    Message,
    StreamDecoder,
    decode_stream,
    read_message,
)
from meter_codecs.currentcost.layout import LAYOUTS, layout_of
from meterlet.meter_views import currentcost
from tests.support.meter_captures import (
    captures_of,
    differs,
    meter_capture,
    meter_oracle,
    needs_meter_captures,
)

LIVE = (
    b"<msg><src>CC128-v0.11</src><dsb>00003</dsb><time>09:44:48</time><tmpr>19.8</tmpr>"
    b"<sensor>0</sensor><id>00077</id><type>1</type><ch1><watts>02474</watts></ch1></msg>"
)
HISTORY = (
    b"<msg><src>CC128-v0.11</src><dsb>00005</dsb><time>08:29:00</time><hist><dsw>00006</dsw>"
    b"<type>1</type><units>kwhr</units><data><sensor>0</sensor><h020>0.360</h020></data>"
    b"<data><sensor>1</sensor><d005>12.250</d005><m001>3.5</m001></data></hist></msg>"
)


@needs_meter_captures
@pytest.mark.parametrize("name", captures_of("currentcost"))
def test_a_capture_is_as_its_oracle_says(name: str) -> None:
    view = currentcost.view(meter_capture(name))
    assert differs(name, view) == []
    assert view["frames_bad"] == meter_oracle(name)["frames_bad"]
    for telegram, known in zip(view["telegrams"], meter_oracle(name)["telegrams"], strict=True):
        for key in ("clock", "days", "sensor", "id", "kind"):
            assert telegram[key] == known[key], key


@needs_meter_captures
@pytest.mark.parametrize("name", captures_of("currentcost"))
def test_a_capture_is_known_and_its_messages_come_back(name: str) -> None:
    data = meter_capture(name)
    found = recognise_meter(data)
    assert found is not None
    assert found.kind is MeterKind.CURRENT_COST
    for event in decode_stream(data):
        if isinstance(event, Message):
            wire = event.encode()
            assert data[event.offset : event.offset + len(wire)] == wire


def values_of(data: bytes) -> list[tuple[str, Decimal, str | None, int | None]]:
    return [(v.name, v.scaled, v.unit, v.sensor) for v in read_message(data).values()]


def test_a_display_in_the_usa_shows_fahrenheit() -> None:
    data = LIVE.replace(b"<tmpr>19.8</tmpr>", b"<tmprF>68.5</tmprF>")
    assert values_of(data)[0] == ("temperature", Decimal("68.5"), "degF", None)


@pytest.mark.parametrize(
    ("sent", "meant"), [(b"  .0", "0.0"), (b"-3.5", "-3.5"), (b" 7", "7"), (b"-.5", "-0.5")]
)
def test_blanks_pad_temperatures(sent: bytes, meant: str) -> None:
    data = LIVE.replace(b"19.8", sent)
    assert values_of(data)[0][1] == Decimal(meant)
    assert read_message(data).encode() == data


def test_history_has_an_age_and_the_sensor_beside_it() -> None:
    message = read_message(HISTORY)
    assert (message.is_live, message.is_history) == (False, True)
    assert [(v.sensor, v.period, v.age, v.scaled, v.unit) for v in message.values()] == [
        (0, "h", 20, Decimal("0.360"), "kWh"),
        (1, "d", 5, Decimal("12.250"), "kWh"),
        (1, "m", 1, Decimal("3.5"), "kWh"),
    ]


def test_other_units_of_the_history_are_kept() -> None:
    assert {v.unit for v in read_message(HISTORY.replace(b"kwhr", b"gal")).values()} == {"gal"}


def test_solar_power_may_be_negative() -> None:
    assert values_of(LIVE.replace(b"02474", b"-0042"))[1][1] == Decimal(-42)


def test_blank_lines_between_tags_come_back() -> None:
    data = LIVE.replace(b"><", b">\r\n  <")
    message = read_message(data)
    assert message.encode() == data
    assert len(message.values()) == 2


def test_a_message_has_what_the_display_says_of_itself() -> None:
    message = read_message(LIVE)
    assert (message.source, message.days, message.clock) == ("CC128-v0.11", 3, "09:44:48")
    assert (message.sensor, message.radio_id) == (0, "00077")
    assert read_message(b"<msg></msg>").source is None


def test_a_changed_text_changes_nothing_else() -> None:
    message = read_message(LIVE)
    at = message.layout.index_of("ch1/watts")
    assert at is not None
    texts = (*message.texts[:at], "00100", *message.texts[at + 1 :])
    changed = replace(message, texts=texts)
    assert changed.encode() == LIVE.replace(b"02474", b"00100")
    for wrong in ("1<0", "ten", "1&2", "€"):
        with pytest.raises(EncodingError):
            replace(message, texts=(*message.texts[:at], wrong, *message.texts[at + 1 :])).encode()
    with pytest.raises(EncodingError, match="one text for each tag"):
        replace(message, texts=("",))


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        (b"</dsb>", b"</dbs>", "</dbs> where </dsb> is due"),
        (b"</dsb>", b"|/dsb>", "is no tag"),
        (b"<id>", b"id>", "is no tag"),
        (b"02474", b"0d474", "<watts> is no number: '0d474'"),
        (b"02474", b"", "<watts> is no number: ''"),
        (b"02474", b"1234567890123456", "<watts> is no number"),
        (b"<sensor>0", b"<sensor>-1", "<sensor> is no number"),
        (b"<sensor>0", b"<sensor>1.5", "<sensor> is no number"),
        (b"19.8", b"19..8", "<tmpr> is no number"),
        (b"19.8", b" ", "<tmpr> is no number"),
        (b"19.8", "１９.8".encode(), "characters that no display sends"),
        (b"09:44:48", b"29:44:48", "<time> is no time"),
        (b"09:44:48", b"09:44", "<time> is no time"),
        (b"CC128", b"CC\x0028", "characters that no display sends"),
        (b"CC128", b"&xxe;", "characters that no display sends"),
        (b"<msg>", b"<?xml version='1.0'?><msg>", "is no tag"),
        (b"<msg>", b"<!DOCTYPE msg><msg>", "is no tag"),
        (b"<ch1>", b"<ch1 a='1'>", "is no tag"),
        (b"<ch1>", b"<ch1>x", "text between tags: 'x'"),
        (b"</msg>", b"</msg><msg></msg>", "more than one message"),
        (b"</msg>", b"", "not one whole <msg>"),
        (b"</msg>", b"</msg> ", ""),
        (b"<ch1>", b"<ch1>" + b"<a>" * 9, "nested more than 8 deep|where"),
    ],
)
def test_a_message_that_is_none_is_refused(old: bytes, new: bytes, why: str) -> None:
    assert old in LIVE
    data = LIVE.replace(old, new)
    if why:
        with pytest.raises(MalformedMessage, match=why):
            read_message(data)
    else:  # blanks after the last tag stand between tags, too
        assert read_message(data).encode() == data


def test_layouts_are_bounded() -> None:
    for number in range(LAYOUTS * 2):
        read_message(b"<msg><x%d>1</x%d></msg>" % (number, number))
    assert layout_of.cache_info().currsize <= LAYOUTS


# Streams


def test_a_stream_that_begins_and_ends_inside_messages() -> None:
    first, last = decode_stream(LIVE[40:] + b"\r\n" + LIVE[:-20])
    assert isinstance(first, Damage)
    assert isinstance(last, Damage)
    assert (first.kind, first.offset) == (DamageKind.HEADLESS, 0)
    assert (last.kind, last.offset) == (DamageKind.TRUNCATED, len(LIVE) - 38)


def test_noise_without_tags_is_no_message_begun() -> None:
    (event,) = decode_stream(b"\x00\xff\r\n" + LIVE + b"\x00\r\n")
    assert isinstance(event, Message)
    assert event.offset == 4


@pytest.mark.parametrize("cut", range(5, len(LIVE)))
def test_a_cut_message_does_not_take_the_next_one_along(cut: int) -> None:
    damage, message = decode_stream(LIVE[:cut] + LIVE)
    assert isinstance(damage, Damage)
    assert (damage.kind, damage.length) == (DamageKind.RESTART, cut)
    assert isinstance(message, Message)
    assert message.offset == cut


def test_a_message_without_end_takes_no_more_memory_than_is_allowed() -> None:
    decoder = StreamDecoder(longest=1000)
    events = decoder.feed(b"<msg>")
    for _ in range(100):
        events += decoder.feed(b"<h001>1</h001>" * 10)
    assert [e.kind for e in events if isinstance(e, Damage)] == [DamageKind.BAD]
    events = decoder.feed(LIVE) + decoder.close()
    assert isinstance(events[-1], Message)


telling = st.lists(
    st.sampled_from(
        [b"<msg>", b"</msg>", b"<dsb>", b"</dsb>", b"1", b"<", b">", b"\r\n", LIVE, HISTORY]
    )
    | st.binary(max_size=3),
    max_size=14,
).map(b"".join)


@given(telling, st.lists(st.integers(0, 2000), max_size=6))
@settings(deadline=None)
def test_cutting_a_stream_elsewhere_changes_nothing(data: bytes, cuts: list[int]) -> None:
    for longest in (16384, 40):
        expected = decode_stream(data, longest=longest)
        decoder = StreamDecoder(longest=longest)
        places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
        events = [e for a, b in pairwise(places) for e in decoder.feed(data[a:b])]
        assert events + decoder.close() == expected
        single = StreamDecoder(longest=longest)
        events = [e for at in range(len(data)) for e in single.feed(data[at : at + 1])]
        assert events + single.close() == expected


@given(telling | st.binary(max_size=100))
def test_any_bytes_are_refused_or_reproduced(data: bytes) -> None:
    for wire in (data, b"<msg>" + data + b"</msg>", b"<msg><dsb>" + data + b"</dsb></msg>"):
        try:
            message = read_message(wire)
        except CurrentCostError:
            continue
        assert message.encode() == wire
        message.values()
        currentcost.message_view(message)


@given(st.integers(0, len(LIVE) - 1), st.integers(0, 255))
def test_a_bit_error_in_a_tag_is_never_read(at: int, byte: int) -> None:
    """In a tag it breaks the nesting; in a text it is seen where it makes no number."""
    changed = LIVE[:at] + bytes([byte]) + LIVE[at + 1 :]
    for event in decode_stream(changed):
        if isinstance(event, Message):
            assert event.layout == read_message(LIVE).layout
            assert event.encode() == changed
