# SPDX-License-Identifier: Apache-2.0
"""What a line carries is recognised, whatever it is, and what to do about it is said."""

import hashlib
import json
import os
import random
import termios
import threading
import tty
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from dlms_codec.hdlc import encode_frame
from hub.meters.lines import LineKind, probe
from meterlet.commands.hub import hub
from tests.support.captures import FOLDER, NAMES, capture, needs_captures, oracle
from tests.support.field import FIELD_METERS, MARCH, METER, needs_field_meters, telegram

SML = b"".join(telegram(5_000_000.3 + n, count=1000 + n) for n in range(4))
D0 = b"/ESY5Q3DA1024 V3.03\r\n\r\n1-0:0.0.0*255(112233)\r\n1-0:1.8.0*255(00012345.6*kWh)\r\n!\r\n"
P1 = b"/KFM5KAIFA-METER\r\n\r\n1-3:0.2.8(42)\r\n1-0:1.8.1(000671.578*kWh)\r\n!1E1D\r\n"


def even_parity(text: bytes) -> bytes:
    return bytes(byte | (byte.bit_count() % 2) << 7 for byte in text)


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (SML, LineKind.SML),
        (SML.hex(" ").encode(), LineKind.SML),
        (SML[:-40].replace(b"\x77", b"\x78"), LineKind.DAMAGED_SML),
        (bytes(byte & 0x7F for byte in SML), LineKind.SEVEN_BIT_SML),
        (D0, LineKind.IEC_62056_21),
        (even_parity(D0), LineKind.IEC_62056_21),
        (D0[30:] * 3, LineKind.IEC_62056_21),
        (P1, LineKind.DSMR),
        (bytes.fromhex("7ea087000223100a1b7e"), LineKind.HDLC),
        (bytes.fromhex("68313168080272"), LineKind.M_BUS),
        (b"<html><body>Log in</body></html>", LineKind.WEB_TEXT),
        (b'{"power": 300}', LineKind.WEB_TEXT),
        (b"", LineKind.SILENCE),
        (bytes.fromhex("80f8007880f80000e6e0f8fe00") * 20, LineKind.NOISE),
    ],
)
def test_each_kind_of_line_is_recognised(data: bytes, kind: LineKind) -> None:
    found = probe(data)
    assert found.kind is kind
    assert found.advice


def test_noise_is_noise() -> None:
    for seed in range(200):
        chance = random.Random(seed)
        data = chance.randbytes(chance.randint(2_000, 3_000))
        assert (seed, probe(data).kind) == (seed, LineKind.NOISE)


FRAME = encode_frame(b"\x03", b"\x21", 0x13, b"\xe6\xe7\x00" + bytes(range(100)))


@pytest.mark.parametrize(
    "data",
    [
        FRAME[:60],
        b"noise" + FRAME[:60],
        FRAME[:60] + b"\xff" + FRAME[61:],
        b"noise" + 2 * (FRAME[:7] + b"\xff" + FRAME[8:]),
        FRAME[:60] + FRAME[61:] + b"noise",
    ],
)
def test_a_damaged_frame_of_hdlc_is_one(data: bytes) -> None:
    assert probe(data).kind is LineKind.HDLC


@given(st.binary(max_size=300))
def test_any_bytes_are_something(data: bytes) -> None:
    assert probe(data).kind in LineKind


def test_the_meter_its_registers_and_its_clock_are_said() -> None:
    [meter] = probe(SML).meters
    [register] = meter.registers
    assert (meter.meter, meter.device_id, meter.clock) == (
        METER,
        "1 XXX00 0004 8879",
        "counts seconds",
    )
    assert (str(register.obis), register.step, register.is_coarse) == (
        "1-0:1.8.0*255",
        "0.1 Wh",
        False,
    )
    [locked] = probe(telegram(5_000_000, MARCH) + telegram(5_001_000, MARCH + 900)).meters
    assert (locked.registers[0].is_coarse, locked.clock) == (True, "time of day")


@needs_captures
@pytest.mark.parametrize("name", NAMES)
def test_every_capture_of_a_real_meter_is_sml(name: str) -> None:
    found = probe(capture(name))
    assert found.kind in (LineKind.SML, LineKind.DAMAGED_SML, LineKind.BARE_SML)
    listed = {one["obis"] for one in oracle(name)["values"]}
    if found.kind is LineKind.SML and "1-0:1.8.0*255" in listed and "profile" not in name:
        assert found.meters


def run(*arguments: object) -> Result:
    return CliRunner().invoke(hub, ["probe", *map(str, arguments)])


def test_the_command_prints_how_to_make_the_hub(tmp_path: Path) -> None:
    file = tmp_path / "line.bin"
    file.write_bytes(SML)
    done = run(file)
    assert done.exit_code == 0, done.output
    last = done.stdout.splitlines()[-1]
    assert last == f"meterlet hub init hub --meter {METER.hex()}"
    told = json.loads(run(file, "--json").stdout)
    assert (told["protocol"], told["meters"][0]["init"]) == ("SML", last)
    file.write_bytes(D0)
    other = run(file)
    assert (other.exit_code, "IEC 62056-21: a hub reads this" in other.stdout) == (0, True)
    assert other.stdout.splitlines()[-1] == "meterlet hub init hub --meter-text 112233"
    assert run("ftp://meter").exit_code == 2


@needs_field_meters
def test_a_locked_meter_and_one_without_the_register_are_told() -> None:
    assert "unlock the meter with its PIN" in run(FIELD_METERS / "09_locked_kWh.bin").stdout
    absent = run(FIELD_METERS / "08_register_absent.bin")
    assert "no register of energy or volume" in absent.stdout


def test_the_folder_of_captures_is_the_one_that_is_meant() -> None:
    assert FOLDER.name == "sml-captures"


def test_a_serial_line_is_probed_at_the_common_speeds() -> None:
    pytest.importorskip("serial")
    controller, device = os.openpty()
    tty.setraw(device)
    ended = threading.Event()

    def push() -> None:
        while not ended.wait(0.02):
            os.write(controller, SML)

    thread = threading.Thread(target=push)
    thread.start()
    try:
        told = json.loads(run(os.ttyname(device), "--seconds", 20, "--json").stdout)
    finally:
        ended.set()
        termios.tcflush(device, termios.TCIOFLUSH)
        thread.join()
        os.close(controller)
        os.close(device)
    assert (told["protocol"], told["baud"]) == ("SML", 9600)
    assert told["meters"][0]["meter"] == METER.hex()


def test_a_line_that_is_not_there_is_an_error() -> None:
    assert isinstance(run("/dev/no-such-line").exception, OSError)
    assert isinstance(run("tcp://127.0.0.1:1").exception, OSError)


def test_a_file_is_told_no_speed_and_no_head_to_turn() -> None:
    random = hashlib.shake_256(b"no meter's").digest(3000)
    for data, kind in ((b"PK\x03\x04rest", LineKind.ARCHIVE), (random, LineKind.NOISE)):
        line = probe(data, is_file=True)
        assert line.kind is kind
        assert "baud" not in line.advice
        assert "meterlet hub ingest" in line.advice
    assert "?baud=9600" in probe(random).advice


def test_a_meters_clock_that_stands_is_said() -> None:
    [meter] = probe(telegram(5_000_000, 86_400) + telegram(5_000_100, 87_300)).meters
    assert meter.clock == "wrong time of day"
