# SPDX-License-Identifier: Apache-2.0
"""A source of the service: what comes is stored, and what breaks is opened again."""

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from hub.description import Description
from hub.device import Device
from hub.service.configuration import SourceSettings
from hub.service.log import ServiceLog
from hub.service.part import PartKind, PartState
from hub.service.sources import SourceWork
from hub.service.supervisor import SupervisedPart
from hub.vault.vault import KeyReplaced
from protocols.metrology import ACTIVE_ENERGY_IMPORT
from sml_codec import Obis
from tests.support.field import METER, NEIGHBOUR, telegram
from tests.support.waiting import PATIENCE, wait_until

NOON: Final = 1_743_415_200
PUMP: Final = Description(NEIGHBOUR, (Obis.parse("1-1:1.8.0*255").code,), "Europe/Berlin", 15)
HOME: Final = Description(METER, (ACTIVE_ENERGY_IMPORT,), "Europe/Berlin", 15)


class Bridge:
    """A bridge to a meter; it sends what it is told to, to who is connected."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(PATIENCE)
        self.line: socket.socket | None = None

    @property
    def address(self) -> str:
        host, port = self.listener.getsockname()
        return f"tcp://{host}:{port}"

    def accept(self) -> None:
        self.hang_up()
        self.line, _ = self.listener.accept()

    def send(self, *frames: bytes) -> None:
        assert self.line is not None
        self.line.sendall(b"".join(frames))

    def hang_up(self) -> None:
        if self.line is not None:
            self.line.close()
        self.line = None

    def close(self) -> None:
        self.hang_up()
        self.listener.close()


@pytest.fixture
def bridge() -> Iterator[Bridge]:
    made = Bridge()
    yield made
    made.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with Device.create(tmp_path / "hub", HOME):
        pass
    return tmp_path / "hub"


@contextmanager
def reading(
    folder: Path, settings: SourceSettings, opened: Callable[[], Device] | None = None
) -> Iterator[SupervisedPart]:
    log = ServiceLog(lambda _: None, lambda: NOON)
    work = SourceWork(settings, opened or (lambda: Device.open(folder, now=lambda: NOON)))
    part = SupervisedPart("source main", PartKind.SOURCE, work, log)
    part.start()
    try:
        yield part
    finally:
        part.stop()
        assert part.join(PATIENCE)


def stored(part: SupervisedPart, number: int) -> None:
    wait_until(lambda: part.status().facts.get("stored") == number)


def frames(*numbers: int) -> list[bytes]:
    return [telegram(5000 + number, NOON - 1000 + number) for number in numbers]


def moments(folder: Path) -> list[int]:
    with Device.open(folder) as device:
        found = device.main.vault.received(device.main.channel, 0, 1 << 40)
        return [one.time - NOON + 1000 for one in found]


def test_it_is_up_when_something_came_and_waits_when_the_line_is_gone(
    folder: Path, bridge: Bridge
) -> None:
    with reading(folder, SourceSettings("main", bridge.address)) as part:
        bridge.accept()
        assert part.status().state is PartState.STARTING
        bridge.send(*frames(1, 2))
        stored(part, 2)
        assert part.status().state is PartState.UP
        bridge.hang_up()
        wait_until(lambda: part.status().state is PartState.WAITING)
        assert part.status().code == "interrupted"
        bridge.accept()  # it comes again by itself
        bridge.send(*frames(3))
        stored(part, 3)
        assert (part.status().state, part.status().broken) == (PartState.UP, 0)
    assert moments(folder) == [1, 2, 3]


def test_silence_is_noticed_and_forgotten(folder: Path, bridge: Bridge) -> None:
    with reading(folder, SourceSettings("main", bridge.address, silent_after=1)) as part:
        bridge.accept()
        bridge.send(*frames(1))
        wait_until(lambda: part.status().code == "silent")
        assert part.status().state is PartState.WAITING
        bridge.send(*frames(2))
        stored(part, 2)
        wait_until(lambda: part.status().state is PartState.UP or part.status().code == "silent")
    assert moments(folder) == [1, 2]


def test_what_came_as_the_key_was_replaced_is_not_lost(folder: Path, bridge: Bridge) -> None:
    with reading(folder, SourceSettings("main", bridge.address)) as part:
        bridge.accept()
        bridge.send(*frames(1, 2))
        stored(part, 2)
        with Device.open(folder) as device:
            device.rotate_vault_key()
        bridge.send(*frames(3))
        stored(part, 3)
        assert part.status().broken == 0
    assert moments(folder) == [1, 2, 3]


def test_a_further_meters_source_is_for_it_alone(folder: Path, bridge: Bridge) -> None:
    with Device.open(folder) as device:
        device.add_meter("pump", PUMP)
    with reading(folder, SourceSettings("main", bridge.address, of="pump")) as part:
        bridge.accept()
        wait_until(lambda: "address" in part.status().facts)
        bridge.send(*frames(1))
        wait_until(lambda: part.status().facts.get("set_aside") == 1)
    assert moments(folder) == []


def test_one_reading_in_so_long_is_kept(folder: Path, bridge: Bridge) -> None:
    with reading(folder, SourceSettings("main", bridge.address, every_seconds=60)) as part:
        bridge.accept()
        bridge.send(*frames(100, 110, 200, 210))
        stored(part, 2)
    assert len(moments(folder)) == 2


def test_a_login_that_is_none_breaks_the_source_and_is_not_told(folder: Path) -> None:
    path = folder / "login"
    path.write_text("a-secret-without-a-colon")
    path.chmod(0o600)
    settings = SourceSettings("main", "http://127.0.0.1:1/", login_file=path)
    with reading(folder, settings) as part:
        wait_until(lambda: part.status().state is PartState.WAITING)
        assert part.status().code == "secret-file"
        assert "a-secret" not in str(part.status())
    path.write_bytes(b"\xff\xfe")
    with reading(folder, replace(settings)) as part:
        wait_until(lambda: part.status().code == "secret-file")


def test_a_hub_that_cannot_be_opened_is_tried_again(folder: Path, bridge: Bridge) -> None:
    tries: list[int] = []

    def opened() -> Device:
        tries.append(1)
        if len(tries) == 1:
            raise KeyReplaced(folder, "vault")
        return Device.open(folder, now=lambda: NOON)

    with reading(folder, SourceSettings("main", bridge.address), opened) as part:
        bridge.accept()
        bridge.send(*frames(1, 2))
        stored(part, 2)
        assert part.status().broken == 1
