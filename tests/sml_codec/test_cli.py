# SPDX-License-Identifier: Apache-2.0
"""`meterlet sml` on the shared captures and on bytes that are no SML."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from meterlet.commands.sml import sml
from tests.support.captures import FOLDER, NAMES, capture, needs_captures, oracle

EXIT_DAMAGED = 3


def run(*arguments: str, data: bytes | str = b"") -> Result:
    return CliRunner().invoke(sml, list(arguments), input=data, catch_exceptions=False)


def decoded(name: str) -> dict[str, Any]:
    result = run("decode", "--json", str(FOLDER / str(oracle(name)["file"])))
    assert result.exit_code == 0
    document: dict[str, Any] = json.loads(result.stdout)
    return document


@needs_captures
@pytest.mark.parametrize("name", NAMES)
def test_decode_prints_what_is_known_of_a_capture(name: str) -> None:
    known = oracle(name)
    assert decoded(name) == {
        "frames": known["frames"],
        "frames_bad": known["frames_bad"],
        "values": known["values"],
        "salvage": known.get("salvage", []),
    }


@needs_captures
def test_a_stream_is_printed_frame_by_frame() -> None:
    known = oracle("EMH_41f045_mutated2")
    result = run("decode", "--json", "--stream", "-", data=capture("EMH_41f045_mutated2"))
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [line["frames"] for line in lines] == [1, 0]
    assert [value for line in lines for value in line["values"]] == known["values"]
    assert [value for line in lines for value in line["salvage"]] == known["salvage"]


@needs_captures
def test_people_see_readings_and_where_salvage_came_from() -> None:
    path = str(FOLDER / "EMH_41f045_mutated2.bin")
    plain, salvaged = run("decode", path), run("decode", "--salvage", path)
    assert "1-0:1.8.0*255" in plain.stdout
    assert " Wh" in plain.stdout
    assert "damaged frame" not in plain.stdout
    assert "frame 1: damaged (frame crc)" in plain.stderr
    assert salvaged.stdout.count("(from a damaged frame)") == 7


@needs_captures
@pytest.mark.parametrize("name", ["EMH_cacf7e", "HAGER_09a8eb2f5c", "EFR_02cf806f", "eBZ_2d16c3"])
def test_encode_gives_frames_with_the_same_values(name: str) -> None:
    values = decoded(name)["values"]
    encoded = run("encode", data=json.dumps({"values": values}))
    assert encoded.exit_code == 0
    again = json.loads(run("decode", "--json", "-", data=encoded.stdout_bytes).stdout)
    assert again["values"] == values
    assert again["frames_bad"] == 0
    bare = run("encode", "--bare", "--server-id", "0a0b", data=json.dumps({"values": values}))
    again = json.loads(run("decode", "--json", "-", data=bare.stdout_bytes).stdout)
    assert len(again["values"]) == len(values)


@needs_captures
def test_check_reports_every_frame_and_fails_on_damage() -> None:
    name = "EasyMeter_Q3A_A1064V1009"
    result = run("check", "--json", str(FOLDER / f"{name}.bin"))
    assert result.exit_code == EXIT_DAMAGED
    frames = json.loads(result.stdout)["frame_list"]
    keys = ("offset", "length", "status", "crc", "padding", "why")
    seen = [{key: f[key] for key in keys if key in f} for f in frames]
    assert seen == [{key: f[key] for key in keys if key in f} for f in oracle(name)["frame_list"]]
    text = run("check", str(FOLDER / f"{name}.bin"))
    assert "byte 445, 500 bytes: bad: frame crc" in text.stdout
    assert "4 frames intact, 4 damaged" in text.stdout
    assert run("check", str(FOLDER / "gateway_login.bin")).exit_code == 0
    assert run("check", str(FOLDER / "gateway_proc_parameter_1.sml")).exit_code == 0


def test_check_does_not_call_rubbish_fine() -> None:
    assert run("check", "-", data=b"no meter here").exit_code == EXIT_DAMAGED
    assert run("check", "-", data=b"\x76rubbish").exit_code == EXIT_DAMAGED
    result = run("decode", "--json", "-", data=b"no meter here")
    assert json.loads(result.stdout) == {"frames": 0, "frames_bad": 0, "values": [], "salvage": []}


@pytest.mark.parametrize("way", [[], ["--stream"]])
def test_where_there_is_no_frame_that_is_said(way: list[str]) -> None:
    result = run("decode", *way, "-", data="a letter to the utility")
    assert result.stderr.endswith(
        ": no SML telegram in it; `meterlet hub probe` says what a line sends\n"
    )
    assert (result.exit_code, result.stdout) == (1, "")


def test_a_server_id_is_hex() -> None:
    result = run("encode", "--server-id", "zz", "-", data='{"values": []}')
    assert result.exit_code == 1
    assert "the server id 'zz' is not hex" in result.stderr


@pytest.mark.parametrize(
    "document",
    [
        "nonsense",
        "{}",
        '{"values": [5]}',
        '{"values": [{"obis": "1.8.0", "value": 1, "type": "uint"}]}',
        '{"values": [{"obis": "1-0:1.8.0*255", "value": 1.5, "type": "uint"}]}',
        '{"values": [{"obis": "1-0:1.8.0*255", "value": 256, "type": "uint", "size": 1}]}',
        '{"values": [{"obis": "1-0:1.8.0*255", "value": "xy", "type": "octets"}]}',
    ],
)
def test_what_cannot_be_encoded_is_said_in_one_line(document: str) -> None:
    result = run("encode", data=document)
    assert result.exit_code == 1
    assert result.stderr.startswith("meterlet: ")
    assert result.stderr.count("\n") == 1


@needs_captures
def test_watch_prints_what_a_source_sends(tmp_path: Path) -> None:
    path = tmp_path / "meter"
    path.write_bytes(capture("eBZ_2d16c3"))
    result = run("watch", "--json", "--count", "2", str(path))
    assert result.exit_code == 0
    documents = [json.loads(line) for line in result.stdout.splitlines()]
    assert [value for document in documents for value in document["values"]] == [
        value for value in oracle("eBZ_2d16c3")["values"] if value["frame"] < 2
    ]
    wrong = run("watch", "ftp://meter")
    assert wrong.exit_code == 1
    assert "no source" in wrong.stderr
