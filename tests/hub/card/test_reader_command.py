# SPDX-License-Identifier: Apache-2.0
"""`meterlet hub reader`, `unblock`, `snapshot` and `restore`."""

import json
import os
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from hub.card.profile import PROFILES
from hub.card.reader import ReaderError
from hub.device import Device
from hub.machine.machine import AppletMachine
from meterlet.commands import reader
from meterlet.commands.main import main
from protocols.secure_channel.keys import StaticKeys
from tests.support.card_host import Manager
from tests.support.sockets import free_port


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, machine: AppletMachine) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setattr(reader, "open_machine", lambda: machine)


def run(command: click.Command, *arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(main, ["hub", str(command.name), *arguments])
    return result.exit_code, result.output


def hub_in(folder: Path) -> Path:
    made = ["hub", "init", str(folder / "hub"), "--serial", "1", "--zone", "UTC"]
    result = CliRunner().invoke(main, made)
    assert result.exit_code == 0, result.output
    return folder / "hub"


def iin() -> str:
    with reader.open_test_card("default", False, ()) as device:
        card = reader.card_of(device, PROFILES["default"])
        return card.connect().transmit(bytes.fromhex("00CA004200")).hex()


def test_a_reader_that_is_not_there_is_one_line_and_code_1() -> None:
    port = free_port()
    code, output = run(reader.reader, "--host", "127.0.0.1", "--port", str(port), "--fresh")
    assert code == 1
    assert output.splitlines()[-1].startswith(f"meterlet: no reader (vpcd) at 127.0.0.1:{port}")


def test_fresh_and_vendors_are_for_test_cards(tmp_path: Path) -> None:
    code, output = run(reader.reader, "--hub", str(tmp_path), "--fresh")
    assert code == 2
    assert "not for a hub" in output


def test_what_was_blocked_at_the_reader_is_unblocked_by_the_resident() -> None:
    with reader.open_test_card("default", True, ()) as device:
        card = reader.card_of(device, PROFILES["default"])
        for number in range(64):
            connection = card.connect()
            connection.transmit(b"\x80\x50\x00\x00\x08" + number.to_bytes(8, "big"))
            connection.transmit(bytes.fromhex("8482330010") + bytes(16))
        blocked = bytes.fromhex("80500000080102030405060708")
        assert card.connect().transmit(blocked).hex() == "6983"
        code, output = run(reader.unblock, "--profile", "default", "--json")
        assert code == 0
        assert '"key_sets": 1' in output
        assert run(reader.unblock, "--profile", "default")[1] == "no attempts were lost\n"
        Manager(card)  # the card that was open goes by it at once


def test_a_snapshot_brings_the_card_back(tmp_path: Path) -> None:
    kept = tmp_path / "kept.db"
    before = iin()
    assert run(reader.snapshot, "--profile", "default", str(kept))[0] == 0
    assert kept.stat().st_mode & 0o777 == 0o600
    with reader.open_test_card("default", False, ()) as device:
        card = reader.card_of(device, PROFILES["default"])
        assert Manager(card).sw("80E29000", bytes.fromhex("420411223344")) == "9000"
    assert iin() == "112233449000"
    assert run(reader.restore, "--profile", "default", str(kept))[0] == 0
    assert iin() == before
    assert run(reader.snapshot, "--profile", "default", str(kept))[0] == 1


@pytest.mark.parametrize("content", [b"", b"no database at all" * 100])
def test_what_is_no_snapshot_is_refused_and_nothing_changes(tmp_path: Path, content: bytes) -> None:
    before = iin()
    wrong = tmp_path / "wrong.db"
    wrong.write_bytes(content)
    code, output = run(reader.restore, "--profile", "default", str(wrong))
    assert code == 1
    assert "not a snapshot of a hub" in output
    assert iin() == before


def test_fresh_begins_anew(tmp_path: Path) -> None:
    with reader.open_test_card("default", False, ()) as device:
        card = reader.card_of(device, PROFILES["default"])
        assert Manager(card).sw("80E29000", bytes.fromhex("420411223344")) == "9000"
    reader.open_test_card("default", True, ()).close()
    assert iin() != "112233449000"


@pytest.mark.parametrize("profile", sorted(PROFILES))
def test_every_profile_makes_a_card(profile: str) -> None:
    with reader.open_test_card(profile, True, ()) as device:
        card = reader.card_of(device, PROFILES[profile])
        assert card.connect().transmit(bytes.fromhex("00A4040000")).hex().endswith("9000")


def test_a_card_is_in_one_reader_at_a_time_and_a_running_one_is_not_deleted() -> None:
    before = iin()
    with reader.inserted(reader.lock_of(None, "default")):
        for options in ((), ("--fresh",)):
            code, output = run(reader.reader, "--port", "1", *options)
            assert code == 1
            (line,) = output.splitlines()
            assert f"in another reader (process {os.getpid()})" in line
            assert "take it out there first" in line
        with pytest.raises(ReaderError), reader.inserted(reader.lock_of(None, "default")):
            pass
        code, output = run(reader.reader, "--port", "1", "--profile", "s16")
        assert "no reader (vpcd)" in output  # another card
    assert iin() == before
    code, output = run(reader.reader, "--port", "1")
    assert "no reader (vpcd)" in output  # it is out


def test_a_hubs_own_card_is_in_one_reader_at_a_time(tmp_path: Path) -> None:
    folder = hub_in(tmp_path)
    with reader.inserted(reader.lock_of(folder, "default")):
        code, output = run(reader.reader, "--hub", str(folder), "--port", "1")
    assert (code, "in another reader" in output) == (1, True)


def test_the_keys_of_a_hubs_card_are_printed_as_options_for_gp(tmp_path: Path) -> None:
    folder = hub_in(tmp_path)

    def told(*arguments: str) -> str:
        result = CliRunner().invoke(main, ["hub", "keys", "card", "--hub", str(folder), *arguments])
        assert result.exit_code == 0
        return result.output

    facts = json.loads(told("--json"))
    keys = StaticKeys(*(bytes.fromhex(facts[name]) for name in ("enc", "mac", "dek")))
    _, enc, _, mac, _, dek, _, version = told().split()
    assert [enc, mac, dek] == [facts[name].upper() for name in ("enc", "mac", "dek")]
    assert int(version) == facts["version"] == 0x30
    new = StaticKeys(bytes([1] * 16), bytes([2] * 16), bytes([3] * 16))
    with Device.open(folder) as device:
        card = reader.card_of(device, PROFILES["default"])
        manager = Manager(card, keys=keys, version=facts["version"])
        assert manager.put_keys(0x31, new, replaces=0x30).sw == 0x9000
    assert json.loads(told("--json")) | {"schema": ""} == {
        "schema": "", "domain": "A000000151000000", "version": 0x31,
        "enc": "01" * 16, "mac": "02" * 16, "dek": "03" * 16,
    }  # fmt: skip
