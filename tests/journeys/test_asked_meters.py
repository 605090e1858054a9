# SPDX-License-Identifier: Apache-2.0
"""Meters that have to be asked, brokers and receivers, through the command itself."""

import json
import threading
import time
from pathlib import Path

import pytest

from meter_codecs.mbus import Address, make_body, make_record
from meter_codecs.mbus.link import SND_NR, FrameFormat, LinkFrame
from meter_codecs.mbus.slave import Slave
from meter_codecs.p1.dialogue import ReadoutServer, Send
from meter_codecs.p1.telegram import Framing, Line, Telegram
from tests.support.asked import broker, pty_line, tcp_line
from tests.support.command import run_meterlet
from tests.support.town import done

pytest.importorskip("serial")


def home(folder: Path, name: str, medium: str, meter: str, *more: str) -> Path:
    hub = folder / "hub"
    done("hub", "init", hub, "--serial", 1)
    options = "--medium", medium, "--meter-text", meter, *more
    done("hub", "meters", "add", name, "--hub", hub, *options)
    return hub


def shown(hub: Path, name: str) -> str:
    """Return what a meter shows, as `hub meters list` has it."""
    lines = done("hub", "meters", "list", "--hub", hub).splitlines()
    return next(line for line in lines if line.startswith(name))


def slave(kilowatt_hours: int) -> Slave:
    body = make_body([make_record(bytes.fromhex("0406"), kilowatt_hours)])
    return Slave(1, Address.of("KAM", "11111111", 0x1B, 4), (body,))


def test_a_heat_meter_behind_a_bridge_is_asked_once(tmp_path: Path) -> None:
    hub = home(tmp_path, "heat", "heat", "KAM 11111111")
    for value, code in ((8_640, 1), (8_641, 0)):  # the first waits until a second confirms it
        with tcp_line(slave(value).feed) as port:
            source = f"mbus+tcp://127.0.0.1:{port}?address=1"
            ran = run_meterlet("hub", "ingest", "--hub", hub, source, "--once", "--json")
        assert ran.returncode == code, ran.stderr
        assert json.loads(ran.stdout)["telegrams"] == 1
        time.sleep(1)  # so that both are not of one second
    assert "8,641.000 kWh" in shown(hub, "heat")


def test_a_bus_without_an_answer_is_told(tmp_path: Path) -> None:
    hub = home(tmp_path, "heat", "heat", "KAM 11111111")
    with pty_line(lambda _: b"") as device:
        ran = run_meterlet("hub", "ingest", "--hub", hub, f"mbus://{device}?address=9", "--once")
    assert ran.returncode == 1
    assert "address 9: no answer" in ran.stderr


def test_an_optical_port_is_signed_on_to(tmp_path: Path) -> None:
    hub = home(tmp_path, "old", "electricity", "00112233")
    lines = Line("0.0.0", ("00112233",)), Line("1.8.0", ("012345.678*kWh",))
    telegram = Telegram("XXX5METER-1", lines, checksum=None, framing=Framing.BLOCK)
    server = ReadoutServer(lambda: telegram)

    def answer(data: bytes) -> bytes:
        return b"".join(one.data for one in server.receive(data) if isinstance(one, Send))

    with pty_line(answer) as device:
        first = run_meterlet("hub", "ingest", "--hub", hub, f"d0://{device}", "--once")
        assert "it is the first, and nothing that follows confirms it yet" in first.stderr
        time.sleep(1)  # so that both are not of one second
        done("hub", "ingest", "--hub", hub, f"d0://{device}", "--once")
    assert "12,345.678 kWh" in shown(hub, "old")


def test_a_plug_publishes_at_a_broker(tmp_path: Path) -> None:
    pytest.importorskip("aiomqtt")
    from paho.mqtt.publish import single

    hub = home(tmp_path, "washer", "electricity", "washer")
    with broker(tmp_path) as port:
        ended = threading.Event()

        def publish() -> None:
            total = 12.345
            while not ended.wait(0.3):
                total += 0.001
                payload = json.dumps({"ENERGY": {"Total": round(total, 3)}})
                single("tele/washer/SENSOR", payload, hostname="127.0.0.1", port=port)

        thread = threading.Thread(target=publish)
        thread.start()
        try:
            source = f"mqtt://127.0.0.1:{port}"
            done("hub", "ingest", "--hub", hub, source, "--limit", 2)
        finally:
            ended.set()
            thread.join()
    assert "12.3" in shown(hub, "washer")


@pytest.mark.parametrize("way", ["CUL", "rtl-wmbus", "hex", "bytes"])
def test_a_capture_of_a_receiver_is_read(tmp_path: Path, way: str) -> None:
    hub = home(tmp_path, "water", "water", "ECM 56544919")
    frames = [
        LinkFrame(
            SND_NR,
            Address.of("ECM", "56544919", 1, 7),
            b"\x78" + make_body([make_record(bytes.fromhex("0413"), 4_000 + step)]).encode(),
            FrameFormat.BARE if way == "rtl-wmbus" else FrameFormat.A,
        ).encode()
        for step in range(5)
    ]
    form = {
        "CUL": lambda one: b"b" + one.hex().upper().encode() + b"\r\n",
        "rtl-wmbus": lambda one: b"C1;1;1;x;97;148;1;0x" + one.hex().encode() + b"\n",
        "hex": lambda one: one.hex().encode() + b"\n",
        "bytes": lambda one: one,
    }[way]
    capture = tmp_path / "capture"
    capture.write_bytes(b"".join(map(form, frames)))
    start = "--start", "2025-03-01T00:00:00", "--step", "1h"
    told = json.loads(done("hub", "ingest", "--hub", hub, capture, *start, "--json"))
    assert (told["readings"], told["lost"]) == (5, [])
    assert "4.004 m3" in shown(hub, "water")


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("mbus:///dev/ttyUSB0?address=300", "a primary address from 0 to 250"),
        ("d0:///dev/ttyUSB0?mode=Z", "A, B, C or D"),
        ("serial:///dev/ttyUSB0?frame=8X1", "write it as 8N1"),
        ("mqtt://u:p@192.0.2.7", "give the login apart"),
    ],
)
def test_an_address_that_is_none_is_a_mistake_in_the_command(
    tmp_path: Path, source: str, said: str
) -> None:
    hub = home(tmp_path, "heat", "heat", "KAM 11111111")
    ran = run_meterlet("hub", "ingest", "--hub", hub, source)
    assert ran.returncode == 2
    assert said in ran.stderr
    missing = run_meterlet("hub", "ingest", "--hub", hub, "mbus:///dev/nothing")
    assert missing.returncode == 1
    assert "Traceback" not in missing.stderr
