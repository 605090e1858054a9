# SPDX-License-Identifier: Apache-2.0
"""A home with meters of every medium, each at a line of its own, one hub behind all, one clock.

A hub process listens to each source with the very code of `meterlet hub ingest`; electricity, gas
and water come from one P1 port, heat from a bus that is asked, appliances from a display and, where
there is a broker, over MQTT. Simulated time stands in memory that all share. After each telegram
the world waits until the hub has done with it.
"""

import asyncio
import json
import os
import pty
import time
import tty
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

from hub.description import Description
from hub.device import Device
from hub.doors import DoorOptions, ListeningDoor
from hub.intake import Intake
from hub.meters.line_text import hex_or_bytes
from hub.meters.recognition import MeterKind
from hub.meters.sources import SourceOptions
from hub.meters.sources.bus import Patience
from meter_codecs.mbus import Address, make_body, make_record
from meter_codecs.mbus.slave import Slave
from meter_codecs.p1 import crc16
from meterlet.commands.door import follow
from meterlet.commands.intake import source_chunks
from protocols.metrology import ACTIVE_ENERGY_IMPORT, GAS_VOLUME, HEAT_ENERGY, WATER_VOLUME
from tests.support.asked import pty_line
from tests.support.line import _FORK, JUNK, SharedClock
from tests.support.waiting import PATIENCE

BERLIN: Final = ZoneInfo("Europe/Berlin")
QUICK: Final = Patience(first=0.3, silence=0.02)
HOURS: Final = 3600
BUS_EVERY: Final = 6 * HOURS


def appliance(meter: str, channel: int) -> Description:
    """Return a further meter of electricity."""
    register = bytes((1, channel, 1, 8, 0, 255))
    return Description(meter.encode(), (register,), "Europe/Berlin", 60)


HOME: Final = Description(
    b"E0043",
    (ACTIVE_ENERGY_IMPORT,),
    "Europe/Berlin",
    60,
    None,
    {
        "gas": Description(b"G0039", (GAS_VOLUME,), "Europe/Berlin@06:00", 60),
        "water": Description(b"W0001", (WATER_VOLUME,), "Europe/Berlin", 60),
        "heat": Description(b"KAM 11111111", (HEAT_ENERGY,), "Europe/Berlin", 60),
        "heat-pump": appliance("current cost sensor 2 id 01039", 1),
        "freezer": appliance("current cost sensor 1 id 00629", 2),
        "washer": appliance("washer", 3),
    },
)


def port(moment: int, wh: int, gas: int, water: int, *, gas_meter: str = "G0039") -> bytes:
    """Return what the P1 port sends: two tariffs of electricity, and two meters behind it."""
    said = f"{datetime.fromtimestamp(moment, BERLIN):%y%m%d%H%M%S}W"
    text = (
        "/ISK5\\2M550T-1012\r\n\r\n1-3:0.2.8(50)\r\n"
        f"0-0:1.0.0({said})\r\n0-0:96.1.1({b'E0043'.hex()})\r\n"
        f"1-0:1.8.1({(wh // 3) / 1000:010.3f}*kWh)\r\n"
        f"1-0:1.8.2({(wh - wh // 3) / 1000:010.3f}*kWh)\r\n"
        f"0-1:24.1.0(003)\r\n0-1:96.1.0({gas_meter.encode().hex()})\r\n"
        f"0-1:24.2.1({said})({gas / 1000:09.3f}*m3)\r\n"
        f"0-2:24.1.0(007)\r\n0-2:96.1.0({b'W0001'.hex()})\r\n"
        f"0-2:24.2.1({said})({water / 1000:09.3f}*m3)\r\n!"
    )
    return text.encode() + f"{crc16(text.encode()):04X}\r\n".encode()


def sensor(number: int, radio_id: str, *, watts: int | None = None, impulses: int = 0) -> bytes:
    """Return a message of the display."""
    said = (
        f"<type>2</type><imp>{impulses:010}</imp><ipu>1000</ipu>"
        if watts is None
        else f"<type>1</type><ch1><watts>{watts:05}</watts></ch1>"
    )
    return (
        "<msg><src>CC128-v1.48.03</src><dsb>00002</dsb><time>14:28:32</time><tmpr>25.5</tmpr>"
        f"<sensor>{number}</sensor><id>{radio_id}</id>{said}</msg>\r\n"
    ).encode()


def heat_meter(kilowatt_hours: int, number: str = "11111111") -> Slave:
    """Return the meter on the bus."""
    body = make_body([make_record(bytes.fromhex("0406"), kilowatt_hours)])
    return Slave(1, Address.of("KAM", number, 0x1B, 4), (body,))


def _serve(folder: Path, source: str, kind: MeterKind, clock: SharedClock) -> None:
    """Be the hub at one source: follow it until told to stop."""

    def counted(chunks: Iterator[bytes]) -> Iterator[bytes]:
        taken = 0
        for chunk in chunks:
            yield chunk
            taken += len(chunk)  # all that came of it is stored
            clock.take(taken)

    async def until(seconds: float) -> None:
        due = clock.now() + seconds
        while clock.now() < due:
            await asyncio.sleep(0.002)

    with Device.open(folder, now=clock.now) as device:
        door = ListeningDoor(device, device.every_meter, DoorOptions(is_live=True, kind=kind))
        options = SourceOptions(kind=kind, sleep=until, patience=QUICK)
        chunks = counted(source_chunks(source, options))
        follow(Intake(device, door), hex_or_bytes(chunks, kind))


@dataclass(slots=True)
class HubAtSource:
    """A hub process at one source."""

    folder: Path
    source: str
    kind: MeterKind
    clock: SharedClock = field(default_factory=SharedClock)
    _hub: Any = None

    def start(self, now: int, wake: Callable[[], None] | None = None) -> None:
        """Switch it on, and wait until it has taken something that `wake` sends."""
        self.clock.set(now)
        arguments = (self.folder, self.source, self.kind, self.clock)
        self._hub = _FORK.Process(target=_serve, args=arguments, daemon=True)
        self._hub.start()
        self.wait(0, wake)
        before = -1
        while before != (before := self.clock.taken()):
            time.sleep(0.1)

    def wait(self, before: int, wake: Callable[[], None] | None = None, size: int = 1) -> None:
        """Wait until so many bytes more than before were taken."""
        deadline = time.monotonic() + PATIENCE
        while self.clock.taken() < before + size:
            assert time.monotonic() < deadline, f"the hub has not taken it: {self.source}"
            assert self._hub.is_alive(), f"the hub has ended: {self.source}"
            if wake is not None:
                wake()
            time.sleep(0.02 if wake else 0.0005)

    def stop(self) -> None:
        """Ask it to end, and wait for it."""
        self._hub.terminate()
        self._hub.join(PATIENCE)
        assert self._hub.exitcode == 0


@dataclass(slots=True)
class Line:
    """A line that is heard, with a hub at its other end."""

    hub: HubAtSource
    end: int
    _stack: ExitStack

    @classmethod
    def open(cls, folder: Path, kind: MeterKind, stack: ExitStack) -> "Line":
        ours, theirs = pty.openpty()
        tty.setraw(theirs)
        for end in (ours, theirs):
            stack.callback(os.close, end)
        return cls(HubAtSource(folder, f"serial://{os.ttyname(theirs)}", kind), ours, stack)

    def start(self, now: int) -> None:
        self.hub.start(now, lambda: (os.write(self.end, JUNK), None)[1])
        self._stack.callback(self.hub.stop)

    def send(self, data: bytes) -> None:
        """Send bytes, and wait until the hub has done with them."""
        before = self.hub.clock.taken()
        os.write(self.end, data)
        self.hub.wait(before, size=len(data))


@dataclass(slots=True)
class Bus:
    """The bus, whose master is in the hub."""

    hub: HubAtSource
    slave: Slave

    @classmethod
    def open(cls, folder: Path, stack: ExitStack, slave: Slave) -> "Bus":
        bus = cls(HubAtSource(folder, "", MeterKind.MBUS), slave)
        device = stack.enter_context(pty_line(lambda data: bus.slave.feed(data)))
        bus.hub.source = f"mbus://{device}?address=1&every={BUS_EVERY // HOURS}h"
        return bus

    def ask(self, now: int) -> None:
        """Let the time for a question come, and wait for what is made of the answer."""
        before = self.hub.clock.taken()
        self.hub.clock.set(now)
        self.hub.wait(before)


@dataclass(slots=True)
class Plug:
    """A plug that publishes at a broker."""

    hub: HubAtSource
    client: Any

    @classmethod
    def open(cls, folder: Path, stack: ExitStack, port_number: int) -> "Plug":
        from paho.mqtt.client import Client
        from paho.mqtt.enums import CallbackAPIVersion

        client = Client(CallbackAPIVersion.VERSION2)
        client.connect("127.0.0.1", port_number)
        client.loop_start()
        stack.callback(client.disconnect)
        stack.callback(client.loop_stop)
        source = f"mqtt://127.0.0.1:{port_number}"
        return cls(HubAtSource(folder, source, MeterKind.MQTT), client)

    def wake(self) -> None:
        self.client.publish("tele/nobody/SENSOR", b"{}").wait_for_publish(PATIENCE)

    def publish(self, watt_hours: int, device: str = "washer") -> None:
        """Publish what the plug counts, and wait until the hub has done with it."""
        before = self.hub.clock.taken()
        payload = json.dumps({"ENERGY": {"Total": watt_hours / 1000, "Power": 60}})
        self.client.publish(f"tele/{device}/SENSOR", payload).wait_for_publish(PATIENCE)
        self.hub.wait(before)
