# SPDX-License-Identifier: Apache-2.0
"""A broker of MQTT as a source, with mosquitto as the broker."""

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from hub.meters.readers.mqtt import LARGEST_PAYLOAD, MqttReader, framed
from hub.meters.sources import SourceOptions, open_meter_source
from hub.meters.sources.broker import BURST, MOST_TOPICS, Pace, printed_topic
from hub.meters.telegrams import DRAWN
from sml_codec.sources import Retry
from tests.support.asked import broker
from tests.support.waiting import PATIENCE

pytest.importorskip("aiomqtt")


class _GaveUp(Exception):
    """The test has seen enough."""


PLUG = "tele/washer/SENSOR"


def energy(watt_hours: int) -> bytes:
    return json.dumps({"ENERGY": {"Total": watt_hours / 1000}}).encode()


async def publish(
    port: int,
    *messages: tuple[str, bytes, bool],
    login: tuple[str | None, str | None] = (None,) * 2,
) -> None:
    from aiomqtt import Client

    user, password = login
    async with Client("127.0.0.1", port, username=user, password=password) as client:
        for topic, payload, is_retained in messages:
            await client.publish(topic, payload, qos=1, retain=is_retained)


async def heard(source: AsyncIterator[bytes], number: int) -> list[tuple[str, int]]:
    """Return meters and watt-hours of so many messages, or up to the dryer's."""
    reader = MqttReader()
    found: list[tuple[str, int]] = []
    async for piece in source:
        told = reader.feed(piece).telegrams
        found += [(one.meter.decode(), one.counted[DRAWN].steps) for one in told]
        if len(found) >= number or "dryer" in dict(found):
            break
    return found


def run(
    address: str,
    port: int,
    number: int,
    *messages: tuple[str, bytes, bool],
    login: str | None = None,
    meters: tuple[bytes, ...] = (),
) -> tuple[list[tuple[str, int]], list[str]]:
    said: list[str] = []
    options = SourceOptions(login=login, heard=said.append, meters=lambda: meters)

    async def both() -> list[tuple[str, int]]:
        source = open_meter_source(address, options)
        listening = asyncio.ensure_future(asyncio.wait_for(heard(source, number), PATIENCE))
        await asyncio.sleep(0.4)  # it has subscribed
        user, _, password = (login or "").partition(":")
        await publish(port, *messages, login=(user or None, password or None))
        return await listening

    return asyncio.run(both()), said


@pytest.mark.parametrize("query", ["", "?version=3.1.1"])
def test_what_plugs_publish_comes_in(tmp_path: Path, query: str) -> None:
    with broker(tmp_path) as port:
        found, said = run(
            f"mqtt://127.0.0.1:{port}{query}",
            port,
            3,
            (PLUG, energy(12_345), False),
            ("tele/washer/STATE", b"{}", False),
            ("shellyplus-1/status/switch:0", b'{"aenergy":{"total":77.5}}', False),
            ("shellies/em/emeter/0/total", b"5.5", False),
        )
    assert found == [("washer", 12_345), ("shellyplus-1/switch:0", 77), ("em/emeter/0", 5)]
    assert said == []


def test_one_topic_is_read_where_one_is_named(tmp_path: Path) -> None:
    with broker(tmp_path) as port:
        found, _ = run(
            f"mqtt://127.0.0.1:{port}/{PLUG}",
            port,
            1,
            ("tele/dryer/SENSOR", energy(1), False),
            (PLUG, energy(2), False),
        )
    assert found == [("washer", 2)]


def test_what_a_broker_has_kept_is_of_another_time(tmp_path: Path) -> None:
    with broker(tmp_path) as port:
        asyncio.run(publish(port, (PLUG, energy(1), True)))
        found, _ = run(f"mqtt://127.0.0.1:{port}", port, 1, (PLUG, energy(900), False))
    assert found == [("washer", 900)]


def test_a_login_is_needed_where_the_broker_asks_for_one(tmp_path: Path) -> None:
    passwords = tmp_path / "passwords"
    passwords.write_text("hub:word-of-the-hub\n")
    made = subprocess.run(
        ["mosquitto_passwd", "-U", passwords], check=False, capture_output=True
    ).returncode
    assert made == 0
    passwords.chmod(0o644)
    config = f"allow_anonymous false\npassword_file {passwords}"
    with broker(tmp_path, config) as port:
        address = f"mqtt://127.0.0.1:{port}"
        found, _ = run(address, port, 1, (PLUG, energy(5), False), login="hub:word-of-the-hub")
        assert found == [("washer", 5)]
        with pytest.raises(OSError, match="MQTT"):
            asyncio.run(heard(open_meter_source(address, SourceOptions(login="hub:other")), 1))


def test_a_flood_of_one_topic_drowns_no_other(tmp_path: Path) -> None:
    flood = [(PLUG, energy(number), False) for number in range(300)]
    with broker(tmp_path) as port:
        found, said = run(
            f"mqtt://127.0.0.1:{port}",
            port,
            len(flood),
            *flood,
            ("tele/dryer/SENSOR", b"x" * (LARGEST_PAYLOAD + 1), False),
            ("tele/dryer/SENSOR", energy(7), False),
        )
    assert found[-1] == ("dryer", 7)
    assert len(found) < BURST + 20  # some more for each second that it takes
    assert f"{PLUG}: too many messages; what is beyond is dropped" in said
    assert len(said) <= 2


def test_a_broker_that_is_not_there_is_told() -> None:
    with pytest.raises(OSError, match="MQTT"):
        asyncio.run(heard(open_meter_source("mqtt://127.0.0.1:1", SourceOptions()), 1))


def test_a_broker_that_goes_away_is_connected_to_again(tmp_path: Path) -> None:
    told: list[str] = []

    async def wait(_: float) -> None:
        raise _GaveUp

    async def listen(port: int) -> None:
        retry = Retry(heard=lambda one: told.append(one.reason), sleep=wait)
        source = open_meter_source(f"mqtt://127.0.0.1:{port}", SourceOptions(retry=retry))
        assert await anext(source) == b""
        stack.close()
        await anext(source)

    with ExitStack() as stack, pytest.raises(_GaveUp):
        asyncio.run(listen(stack.enter_context(broker(tmp_path))))
    assert [one.startswith("MQTT") for one in told] == [True]


def test_many_topics_take_bounded_memory_and_silent_ones_make_room() -> None:
    now = [0.0]
    pace = Pace(lambda: now[0])
    assert all(pace.allows(f"topic {number}") for number in range(MOST_TOPICS))
    assert not pace.allows("one more")
    assert pace.allows("topic 1")
    now[0] = 120.0
    assert pace.allows("one more")


def test_strangers_crowd_out_no_meter_of_the_hub() -> None:
    now = [0.0]
    pace = Pace(lambda: now[0], lambda topic: topic in (PLUG, "shellies/new/relay/0/energy"))
    for second in range(120):
        now[0] = float(second)
        for number in range(MOST_TOPICS + 10):
            pace.allows(f"tele/x{number}/SENSOR")
        if second % 10 == 0:
            assert pace.allows(PLUG)
    assert pace.allows("shellies/new/relay/0/energy")  # heard for the first time
    assert not pace.allows("tele/other/SENSOR")
    assert not all(pace.allows(PLUG) for _ in range(BURST + 1))


def test_a_meter_of_the_hub_is_heard_among_the_topics_of_strangers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hub.meters.sources.broker.MOST_TOPICS", 2)
    others = [(f"tele/x{number % 2}/SENSOR", energy(1), False) for number in range(100)]
    with broker(tmp_path) as port:
        found, said = run(
            f"mqtt://127.0.0.1:{port}",
            port,
            len(others) + 1,
            *others,
            (PLUG, energy(7), False),
            ("tele/dryer/SENSOR", energy(8), False),
            meters=(b"dryer",),
        )
    assert (found[-1], len(found)) == (("dryer", 8), 101)
    assert said == [f"{PLUG}: too many messages; what is beyond is dropped"]


def test_a_topic_is_printed_without_what_a_terminal_obeys() -> None:
    assert printed_topic("tele/\x1b[2J" + "x" * 90) == "tele/?[2J" + "x" * 51


def test_framed_messages_are_read_in_any_pieces() -> None:
    whole = b"".join(
        framed(topic, payload)
        for topic, payload in (
            (PLUG, energy(1)),
            ("x" * 300, b"{}"),
            (PLUG, b"x" * 70_000),
            (PLUG, energy(2)),
        )
    )
    for size in (1, 7, 1000, len(whole)):
        reader, found, lost = MqttReader(), [], []
        for at in range(0, len(whole), size):
            heard = reader.feed(whole[at : at + size])
            found += [one.counted[DRAWN].steps for one in heard.telegrams]
            lost += heard.lost
            assert len(reader._buffer) < LARGEST_PAYLOAD + size
        assert (found, len(lost)) == ([1, 2], 2)
        assert reader.close().lost == []
    assert reader.feed(whole[:9]).telegrams == []
    assert len(reader.close().lost) == 1
