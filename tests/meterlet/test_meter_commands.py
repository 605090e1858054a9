# SPDX-License-Identifier: Apache-2.0
"""`meterlet meter`: the kind is found from the bytes, and what is wrong is told apart."""

import json
import os
import shlex
import socket
import threading
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st

from dlms_codec import DataNotification, DateTime, GeneralCiphered, Keys, UInt32, protect
from dlms_codec.data import Array, Structure
from dlms_codec.hdlc import encode_frame
from dlms_codec.numbers import Enum, Int8
from dlms_codec.obis import Obis
from hub.meters.recognition import MeterKind, recognise_meter
from meterlet.commands.main import main
from meterlet.meter_views.capture import (
    KINDS,
    TITLES,
    MeterSecrets,
    UnknownMeter,
    decoded,
    open_capture,
)
from meterlet.meter_views.events import gathered
from tests.support.captures import FOLDER as SML_FOLDER
from tests.support.captures import NAMES as SML_NAMES
from tests.support.captures import capture, needs_captures, oracle
from tests.support.command import run_meterlet
from tests.support.field import telegram
from tests.support.meter_captures import (
    FOLDER,
    NAMES,
    differs,
    meter_capture,
    meter_oracle,
    needs_meter_captures,
)
from tests.support.waiting import PATIENCE

DIALOGUES: Final = [name for name in NAMES if "telegrams" in meter_oracle(name)]
TITLE: Final = b"METER001"
KEY, AUTH_KEY, OTHER = bytes(range(16)), bytes(range(16, 32)), bytes(16)
P1: Final = (
    b"/KFM5KAIFA-METER\r\n\r\n0-0:1.0.0(170102192002W)\r\n1-0:1.8.1(000671.578*kWh)\r\n!\r\n"
)
CC: Final = (
    b"<msg><src>CC128-v1.31</src><dsb>1</dsb><time>13:02:39</time><tmpr>18.7</tmpr><sensor>1"
    b"</sensor><id>01234</id><type>1</type><ch1><watts>00345</watts></ch1></msg>\r\n"
)


def long_frame(body: bytes) -> bytes:
    return bytes([0x68, len(body), len(body), 0x68]) + body + bytes([sum(body) & 0xFF, 0x16])


GAS: Final = long_frame(bytes.fromhex("080572785634129315010301000000" + "0c1378563412"))
ENERGY: Final = Structure(
    (Obis.parse("1-0:1.8.0").code, UInt32(1234), Structure((Int8(-1), Enum(30))))
)
PUSH: Final = DataNotification(
    7, DateTime(bytes.fromhex("07e50713010f2e2300ff8880")), Array((ENERGY,))
).encode()
SEALED: Final = GeneralCiphered(TITLE, protect(PUSH, TITLE, 9, Keys(KEY, AUTH_KEY))).encode()


def hdlc(message: bytes) -> bytes:
    return encode_frame(b"\x03", b"\x21", 0x13, b"\xe6\xe7\x00" + message)


def run(*arguments: object, data: bytes | None = None) -> Result:
    env = {"NO_COLOR": "1"}
    return CliRunner().invoke(main, ["meter", *map(str, arguments)], env=env, input=data)


def key_file(folder: Path, key: bytes, name: str = "key") -> Path:
    path = folder / name
    path.write_text(key.hex() + "\n")
    path.chmod(0o600)
    return path


def secrets_of(name: str, folder: Path) -> list[object]:
    """Return the options for a capture: keys in files, the system title as it is."""
    known, options = meter_oracle(name), list[object]()
    for option, member in (("--key", "key"), ("--auth-key", "auth_key")):
        if member in known:
            options += [option, key_file(folder, bytes.fromhex(known[member]), member)]
    return options + (["--system-title", known["system_title"]] if "system_title" in known else [])


@needs_meter_captures
@pytest.mark.parametrize("name", DIALOGUES)
def test_the_command_decodes_a_capture_as_its_oracle_says(name: str, tmp_path: Path) -> None:
    file = (FOLDER / name).with_name(str(meter_oracle(name)["file"]))
    done = run("decode", file, "--json", *secrets_of(name, tmp_path))
    assert differs(name, json.loads(done.stdout)) == []
    text = run("decode", file, *secrets_of(name, tmp_path))
    assert text.exit_code == done.exit_code
    assert not text.stdout or text.stdout.split(":")[0] in TITLES.values()


@needs_meter_captures
def test_all_shared_captures_are_there() -> None:
    assert len(DIALOGUES) == 127


@needs_meter_captures
def test_the_command_in_a_process_of_its_own_decodes_with_a_key_from_a_file(tmp_path: Path) -> None:
    name = "mbus/wireless_multical21_ciphered"
    file = FOLDER / f"{name}.bin"
    done = run_meterlet("meter", "decode", file, "--json", *secrets_of(name, tmp_path))
    assert (done.returncode, done.stderr) == (0, "")
    assert differs(name, json.loads(done.stdout)) == []


@needs_captures
@pytest.mark.parametrize("name", SML_NAMES)
def test_sml_is_found_and_read_as_by_its_own_command(name: str) -> None:
    found = decoded(capture(name))
    assert found["kind"] == "sml"
    assert SML_FOLDER.name == "sml-captures"
    values = [value for one in found["telegrams"] for value in one["values"] or []]
    assert [value["obis"] for value in values] == [one["obis"] for one in oracle(name)["values"]]


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (telegram(5_000_000.3, count=1000), "sml"),
        (P1, "p1"),
        (bytes(byte | (byte.bit_count() % 2) << 7 for byte in P1), "p1"),
        (P1[:-3], "p1"),
        (b"1-0:1.8.0(00012345.6*kWh)\r\n1-0:2.8.0(00012345.6*kWh)\r\n!\r\n", "p1"),
        (CC, "current-cost"),
        (CC[20:], "current-cost"),
        (GAS, "mbus"),
        (GAS[:9], "mbus"),
        (GAS[:2] + b"\x14" + GAS[3:], "mbus"),
        (hdlc(PUSH), "dlms-hdlc"),
        (hdlc(PUSH)[:-9], "dlms-hdlc"),
        (PUSH, "dlms-apdu"),
        (SEALED, "dlms-apdu"),
        (long_frame(b"\x53\xff\x10\x01\x67" + PUSH), "dlms-mbus"),
        (long_frame(b"\x53\xff\x10\x01\x67" + PUSH)[:-1], "dlms-mbus"),
        (bytes.fromhex("0001000100100020") + PUSH, "dlms-wrapper"),
        (GAS.hex(" ").encode(), "mbus"),
    ],
)
def test_each_kind_is_found_from_the_bytes_and_what_shows_it_is_said(
    data: bytes, kind: str, tmp_path: Path
) -> None:
    if kind == "dlms-wrapper":
        data = data[:6] + len(PUSH).to_bytes(2, "big") + PUSH
    file = tmp_path / "line"
    file.write_bytes(data)
    found = json.loads(run("decode", file, "--json").stdout)
    assert (found["kind"], bool(found["why"])) == (kind, True)
    assert kind in KINDS
    said = json.loads(run("decode", file, "--json", "--kind", kind).stdout)
    assert said["why"] == "you said so"
    assert [one["values"] for one in said["telegrams"]] == [
        one["values"] for one in found["telegrams"]
    ]


def test_what_is_no_meter_is_said_to_be_none(tmp_path: Path) -> None:
    file = tmp_path / "line"
    for data in (b"", bytes.fromhex("80f8007880f80000e6e0f8fe00") * 20, b"<html></html>"):
        file.write_bytes(data)
        done = run("decode", file, "--json")
        assert (done.exit_code, json.loads(done.stdout)["kind"]) == (1, None)
        for verb in ("decode", "check"):
            refused = run(verb, file)
            assert (refused.exit_code, refused.stdout) == (1, "")
            assert len(refused.stderr.splitlines()) == 1
    file.write_bytes(b"1b" * 10_000 + b" and so on")
    assert "hex text" in run("watch", file).stderr


def test_the_table_is_scaled_and_says_what_a_code_means(tmp_path: Path) -> None:
    done = run("decode", "-", data=hdlc(PUSH))
    assert done.exit_code == 0
    title, head, value = done.stdout.splitlines()
    assert title == "DLMS over HDLC: frames of HDLC (7e a.) that are whole"
    assert head == "byte 0  dlms  2021-07-19T15:46:35"
    assert value == "  1-0:1.8.0  123.4 Wh  energy drawn"


SEALED_P1: Final = hdlc(SEALED)


@pytest.mark.parametrize(
    ("keys", "code", "words"),
    [
        ((), 4, "the key is missing"),
        ((OTHER, AUTH_KEY), 1, "the key is wrong"),
        ((KEY, OTHER), 1, "the encryption key is right, the tag is wrong"),
        ((KEY, AUTH_KEY), 0, "telegrams read: 1"),
    ],
)
def test_a_wrong_key_is_told_from_a_missing_one_and_from_a_wrong_tag(
    keys: tuple[bytes, ...], code: int, words: str, tmp_path: Path
) -> None:
    options: list[object] = []
    for option, key in zip(("--key", "--auth-key"), keys, strict=False):
        options += [option, key_file(tmp_path, key, option)]
    done = run("check", "-", *options, data=SEALED_P1)
    assert (done.exit_code, words in done.stdout) == (code, True), done.output
    assert "the tag is wrong: the tag is wrong" not in done.output
    for key in keys:
        assert key.hex() not in done.output


def test_the_table_says_what_a_meter_answers_instead_of_a_value() -> None:
    done = run("decode", "-", "--kind", "dlms-apdu", data=bytes.fromhex("c401c10101"))
    assert (done.exit_code, done.stdout.splitlines()[-1]) == (
        0, "  get-response-normal  invoke 193  error hardware-fault",
    )  # fmt: skip


def test_the_table_says_what_is_the_makers_own() -> None:
    # Zenner's, of wmbusmeters (GPL-3.0, drivers/src/zenner0b): all that it says is its maker's own.
    sent = bytes.fromhex("1e44496a677308500b167ad80010252f2f0f0000000080bf1b0000a6420000")
    done = run("decode", "-", data=sent)
    assert (done.exit_code, done.stdout.splitlines()[-1]) == (
        0, "  the maker's own, not read: 0000000080bf1b0000a6420000",
    )  # fmt: skip
    silent = run("decode", "-", data=bytes.fromhex("0e44496a677308500b167ad8000000"))
    assert silent.stdout.splitlines()[-1].endswith("no values")


@needs_meter_captures
def test_a_mode_that_is_not_read_is_told_from_a_wrong_key() -> None:
    name = "mbus/wireless_picoflux_56544919"
    data = bytearray(meter_capture(name))
    secrets = MeterSecrets(bytes.fromhex(meter_oracle(name)["key"]))
    assert "error" not in decoded(bytes(data), secrets=secrets)["telegrams"][0]
    wrong = decoded(bytes(data), secrets=MeterSecrets(OTHER))["telegrams"][0]
    assert wrong["fault"] == "wrong-key"
    [at] = [n for n in range(10, 20) if data[n] == 0x05 and data[n - 1] in (0x50, 0x60, 0x20, 0x30)]
    data[at] = 0x08  # a mode of the future
    other = decoded(bytes(data), secrets=secrets)["telegrams"][0]
    assert other["fault"] == "unsupported-mode"


def test_damage_is_a_line_with_its_place_and_kind(tmp_path: Path) -> None:
    wrong = bytearray(GAS)
    wrong[-4] ^= 1
    done = run("check", "-", "--json", data=GAS + bytes(wrong) + b"\xff\xff\xff" + GAS + GAS[:9])
    facts = json.loads(done.stdout)
    assert [(one["offset"], one["fault"]) for one in facts["faults"]] == [
        (len(GAS), "checksum"),
        (2 * len(GAS), "noise"),
        (3 * len(GAS) + 3, "cut"),
    ]
    assert (done.exit_code, facts["frames"], facts["unread"]) == (1, 2, 0)
    text = run("check", "-", data=GAS + bytes(wrong)).stdout.splitlines()
    assert text[0].startswith(f"byte {len(GAS)}: damaged on its way: ")
    fine = run("check", "-", data=GAS + GAS)
    assert (fine.exit_code, fine.stdout) == (0, "M-Bus: frames whole: 2, telegrams read: 2\n")
    broken = P1.replace(b"!", b"!ABCD")
    assert "damaged on its way" in run("check", "-", data=broken).stdout


def test_keys_are_taken_from_files_that_their_owner_alone_may_read(tmp_path: Path) -> None:
    path = key_file(tmp_path, KEY)
    auth = key_file(tmp_path, AUTH_KEY, "auth")
    fine = run("decode", "-", "--key", path, "--auth-key", auth, data=SEALED_P1)
    assert (fine.exit_code, "tag right" in fine.stdout, fine.stderr) == (0, True, "")
    path.chmod(0o644)
    done = run("decode", "-", "--key", path, data=SEALED_P1)
    assert (done.exit_code, "0600" in done.stderr) == (2, True)
    path.chmod(0o600)
    path.write_text("no key")
    assert run("decode", "-", "--key", path, data=SEALED_P1).exit_code == 2
    assert run("decode", "-", "--key", tmp_path / "none", data=SEALED_P1).exit_code == 2
    assert run("decode", "-", "--auth-key", auth, data=SEALED_P1).exit_code == 2
    assert run("decode", "-", "--system-title", "00", data=SEALED_P1).exit_code == 2
    warned = run("decode", "-", "--key", KEY.hex(), data=SEALED_P1)
    assert (warned.exit_code, "seen by all" in warned.stderr) == (0, True)


@given(st.binary(max_size=300), st.sampled_from(KINDS))
def test_any_bytes_are_decoded_as_any_kind_or_refused(data: bytes, kind: str) -> None:
    secrets = MeterSecrets(KEY, AUTH_KEY, TITLE)
    json.dumps(decoded(data, kind=kind, secrets=secrets), allow_nan=False)
    try:
        found = decoded(data)
    except UnknownMeter:
        assert recognise_meter(data) is None
    else:
        json.dumps(found, allow_nan=False)


SAMPLES: Final = {
    MeterKind.SML: telegram(5_000_000.3, count=1000) * 2,
    MeterKind.P1: P1 * 2,
    MeterKind.CURRENT_COST: CC * 2,
    MeterKind.MBUS: GAS * 2,
    MeterKind.DLMS_HDLC: hdlc(PUSH) + b"\x7e\xa0" + hdlc(SEALED),
    MeterKind.DLMS_APDU: PUSH,
}


@settings(max_examples=60)
@given(st.sampled_from(list(SAMPLES)), st.lists(st.integers(0, 400), max_size=8))
def test_a_stream_cut_anywhere_says_the_same(kind: MeterKind, cuts: list[int]) -> None:
    data = SAMPLES[kind]
    stream = open_capture(kind, data)
    places = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    events = [event for begin, end in pairwise(places) for event in stream.feed(data[begin:end])]
    whole = decoded(data, kind=kind.value)
    assert whole["telegrams"]
    assert gathered(stream, events + stream.close()) == {
        name: member for name, member in whole.items() if name not in ("kind", "why")
    }


@contextmanager
def answering(*pieces: bytes) -> Iterator[str]:
    """Serve the pieces over TCP, one a connection, each of which is then closed."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(PATIENCE)

        def serve() -> None:
            for piece in pieces:
                connection, _ = server.accept()
                with connection:
                    connection.sendall(piece)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"tcp://127.0.0.1:{server.getsockname()[1]}"
        thread.join()


def watched(done: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_line_that_breaks_is_watched_on() -> None:
    with answering(P1 + P1, P1) as source:
        done = run("watch", source, "--json", "--count", 3)
    lines = watched(done)
    assert done.exit_code == 0, done.output
    assert [line["kind"] for line in lines] == ["p1"] * 3
    assert lines[0]["values"][1] == {
        "obis": "1-0:1.8.1", "value": 671578, "scaler": -3, "unit": "kWh",
    }  # fmt: skip
    assert "opened again" in done.stderr


def test_watching_a_file_ends_with_it(tmp_path: Path) -> None:
    file = tmp_path / "line"
    file.write_bytes(b"\xff\x00" + GAS + GAS[:9])
    done = run("watch", file)
    title, head, *values = done.stdout.splitlines()
    assert title.startswith("M-Bus: ")
    assert "gas" in head
    assert "cut off" in done.stderr
    assert values == ["  volume  12345.678 m3"]
    file.write_bytes(b"")
    assert run("watch", file).exit_code == 1
    noise = run_meterlet("meter", "watch", "-", stdin=b"\x99" * 9)
    assert (noise.returncode, "no meter is recognised" in noise.stderr) == (1, True)


@pytest.fixture
def line() -> Iterator[tuple[str, Callable[[bytes], None]]]:
    """A serial line, and what sends on it again and again until the test ends."""
    pytest.importorskip("serial")
    controller, device = os.openpty()
    tty.setraw(device)
    ended, threads = threading.Event(), list[threading.Thread]()

    def send(data: bytes) -> None:
        def push() -> None:
            while not ended.wait(0.02):
                os.write(controller, data)

        threads.append(threading.Thread(target=push))
        threads[0].start()

    yield os.ttyname(device), send
    ended.set()
    for thread in threads:
        thread.join()
    os.close(controller)
    os.close(device)


@pytest.mark.parametrize(("data", "protocol"), [(P1, "DSMR P1"), (hdlc(PUSH), "DLMS over HDLC")])
def test_a_live_line_is_probed(
    line: tuple[str, Callable[[bytes], None]], data: bytes, protocol: str
) -> None:
    device, send = line
    send(data)
    told = json.loads(run("probe", device, "--seconds", 20, "--json").stdout)
    assert (told["schema"], told["protocol"], told["baud"], told["framing"]) == (
        "meterlet.meter.probe/1", protocol, 9600, "8N1",
    )  # fmt: skip
    assert told["meters"][0]["init"].startswith("meterlet hub init hub --meter-text")


def test_probing_says_how_a_hub_takes_the_meter(tmp_path: Path) -> None:
    file = tmp_path / "line"
    file.write_bytes(GAS)
    done = run("probe", file)
    assert done.stdout.splitlines() == [
        "protocol    M-Bus: a hub reads this",
        "            frames of M-Bus (68 L L 68) with values of its own",
        "meter       ELS 12345678, gas",
        "register    7-0:3.0.0*255 in steps of 1 l",
        "clock       sends no time: readings are stamped on arrival, captures need --start and"
        " --step",
        "meterlet hub meters add gas --hub hub --medium gas --meter-text 'ELS 12345678'",
    ]
    same = CliRunner().invoke(main, ["hub", "probe", str(file)])
    assert same.stdout == done.stdout


def test_the_end_of_a_sample_is_no_damage(tmp_path: Path) -> None:
    file = tmp_path / "line"
    file.write_bytes(CC * 1_000)  # far more than is looked at
    assert run("check", file).exit_code == 0
    done = run("probe", file)
    assert (done.exit_code, "not read" in done.stdout) == (0, False)
    file.write_bytes(CC * 2 + CC[:40])
    assert "not read    1 frame or telegram\n" in run("probe", file).stdout


def test_what_no_hub_can_take_is_said_to_be_so(tmp_path: Path) -> None:
    power = Structure((Obis.parse("1-0:1.7.0").code, UInt32(300), Structure((Int8(0), Enum(27)))))
    moment = DateTime(bytes.fromhex("07e50713010f2e2300ff8880"))
    sent = hdlc(DataNotification(7, moment, Array((power,))).encode())
    file = tmp_path / "line"
    file.write_bytes(sent * 500)
    done = run("probe", file)
    assert (done.exit_code, "a hub reads this, but nothing in it" in done.stdout) == (1, True)
    file.write_bytes(sent * 500 + hdlc(PUSH))  # as meters that send registers once an hour
    done = run("probe", file)
    assert (done.exit_code, "1-0:1.8.0*255" in done.stdout) == (0, True)


def test_the_commands_that_probing_prints_work_as_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    sensors = (CC.replace(b"<sensor>1", b"<sensor>%d" % one) for one in range(3))
    Path("line").write_bytes(b"".join(sensors))
    added = [line for line in run("probe", "line").stdout.splitlines() if line[:8] == "meterlet"]
    for command in ["meterlet hub init hub --serial 1", *added]:
        done = CliRunner().invoke(main, shlex.split(command)[1:])
        assert (done.exit_code, done.stderr) == (0, "")
    assert [line.split()[4] for line in added] == ["appliance", "appliance-2", "appliance-3"]


def test_probing_says_which_key_is_needed_and_whom_to_ask(tmp_path: Path) -> None:
    file = tmp_path / "line"
    file.write_bytes(SEALED_P1)
    done = run("probe", file)
    assert done.exit_code == 1
    assert f"{TITLE.hex()} is enciphered: ask your grid operator" in done.stdout
    assert "GUEK" in done.stdout
    key = key_file(tmp_path, KEY)
    opened = run("probe", file, "--key", key, "--auth-key", key_file(tmp_path, AUTH_KEY, "auth"))
    assert (opened.exit_code, "1-0:1.8.0*255" in opened.stdout) == (0, True)
    assert "does not fit" in run("probe", file, "--key", key_file(tmp_path, OTHER)).stdout
