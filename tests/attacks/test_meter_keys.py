# SPDX-License-Identifier: Apache-2.0
"""The keys of meters in a hub: sealed, shown by nothing, and of one meter alone."""

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from click.testing import CliRunner, Result
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC

from hub.custody import hand_over
from hub.device import Description, Device
from hub.meters.kinds import NO_KEYS, MeterKeys
from hub.meters.sealed_keys import SealedKeys, number_of
from hub.readings import Reading, Readout
from hub.vault.sealing import SealBroken
from meterlet.commands.main import main
from protocols.metrology import ACTIVE_ENERGY_IMPORT

NOW: Final = 1_740_800_000
KEY, AUTH_KEY, OTHER = bytes(range(16)), bytes(range(16, 32)), bytes(range(64, 80))
METER: Final = "ACW 11490378"
COLD: Final = bytes([8, 0, 1, 0, 0, 255])


@pytest.fixture
def device(tmp_path: Path) -> Iterator[Device]:
    description = Description(b"1EMH0000000001", (ACTIVE_ENERGY_IMPORT,), "Europe/Berlin", 15)
    with Device.create(tmp_path / "hub", description, now=lambda: NOW) as made:
        made.add_meter("water", Description(METER.encode(), (COLD,), "Europe/Berlin", 60))
        made.meter_keys.put("", MeterKeys(KEY, AUTH_KEY))
        yield made


def run(device: Device, *arguments: object) -> Result:
    options = ["hub", *map(str, arguments), "--hub", str(device.folder)]
    return CliRunner().invoke(main, options, env={"NO_COLOR": "1"})


def _readout(number: int) -> Readout:
    reading = Reading(NOW - NOW % 900 - 86_400 * 3 + 900 * number, 5_000_001 + 80 * number)
    return Readout({ACTIVE_ENERGY_IMPORT: reading})


def key_file(folder: Path, key: bytes) -> Path:
    path = folder / "key"
    path.write_text(key.hex())
    path.chmod(0o600)
    return path


def telegram(number: str, litres: int, access: int, key: bytes = KEY) -> bytes:
    """Return what a water meter sends by radio, enciphered in mode 5."""
    address = bytes.fromhex("7704") + bytes.fromhex(number)[::-1] + bytes([0x01, 0x07])
    plain = b"\x2f\x2f" + b"\x0c\x13" + bytes.fromhex(f"{litres:08d}")[::-1]
    plain += b"\x2f" * (-len(plain) % 16)
    work = Cipher(AES(key), CBC(address + bytes([access]) * 8)).encryptor()
    sealed = work.update(plain) + work.finalize()
    body = b"\x44" + address + b"\x7a" + bytes([access, 0, 0x10, 0x05]) + sealed
    return bytes([len(body)]) + body


def test_no_key_is_in_the_files_or_shown_by_anything(device: Device) -> None:
    assert device.meter_keys.find("") == MeterKeys(KEY, AUTH_KEY)
    device.database.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    data = b"".join(path.read_bytes() for path in device.folder.glob("hub.db*"))
    shown = repr(device.meter_keys.find("")) + repr(device.meter_keys)
    for verbs in ("meters list", "meters list --json", "status", "keys list"):
        shown += run(device, *verbs.split()).output
    for key in (KEY, AUTH_KEY):
        assert key not in data
        assert key.hex().encode() not in data
        assert key.hex() not in shown.lower()
    assert "key kept" in shown


def test_a_row_that_was_changed_or_moved_to_another_meter_does_not_open(device: Device) -> None:
    with sqlite3.connect(device.folder / "hub.db") as other:
        [(sealed,)] = other.execute("SELECT sealed FROM meter_key").fetchall()
        other.execute("INSERT INTO meter_key VALUES ('water', ?)", (sealed,))
        changed = sealed[:-1] + bytes([sealed[-1] ^ 1])
        other.execute("UPDATE meter_key SET sealed = ? WHERE name = ''", (changed,))
    other.close()
    for name in ("", "water"):
        with pytest.raises(SealBroken):
            device.meter_keys.find(name)


def test_they_are_there_after_the_vaults_key_was_replaced(device: Device) -> None:
    before = device.database.connection.execute("SELECT sealed FROM meter_key").fetchall()
    device.rotate_vault_key()
    with Device.open(device.folder, now=lambda: NOW) as again:
        assert again.meter_keys.find("") == MeterKeys(KEY, AUTH_KEY)
        after = again.database.connection.execute("SELECT sealed FROM meter_key").fetchall()
        assert after != before


def test_the_next_resident_finds_none(tmp_path: Path) -> None:
    description = Description(b"1EMH0000000001", (ACTIVE_ENERGY_IMPORT,), "Europe/Berlin", 15)
    folder = tmp_path / "hub"
    with Device.create(folder, description, now=lambda: NOW) as made:
        made.store([_readout(n) for n in range(200)])
        made.certify()
        made.meter_keys.put("", MeterKeys(KEY, AUTH_KEY))
        assert made.meter_keys.names() == {""}
    hand_over(folder, now=lambda: NOW)
    with Device.open(folder, now=lambda: NOW) as again:
        assert again.meter_keys.names() == frozenset()


def test_a_file_that_others_may_read_is_refused_and_a_meter_has_to_be_known(
    device: Device, tmp_path: Path
) -> None:
    path = key_file(tmp_path, OTHER)
    path.chmod(0o640)
    refused = run(device, "meters", "key", path)
    assert (refused.exit_code, "0600" in refused.stderr) == (2, True)
    path.chmod(0o600)
    assert run(device, "meters", "key", "--of", "gas", path).exit_code == 2
    assert run(device, "meters", "key").exit_code == 2
    assert run(device, "meters", "key", path, "--forget").exit_code == 2
    assert device.meter_keys.find("") == MeterKeys(KEY, AUTH_KEY)
    done = run(device, "meters", "key", "--of", "water", path, "--json")
    assert json.loads(done.stdout)["has_key"] is True
    assert OTHER.hex() not in done.output
    assert device.meter_keys.find("water") == MeterKeys(OTHER)
    assert run(device, "meters", "key", "--of", "water", "--forget").exit_code == 0
    assert device.meter_keys.find("water") is None


def test_readings_come_in_with_the_key_of_their_meter_alone(device: Device, tmp_path: Path) -> None:
    line = tmp_path / "radio.bin"
    two = telegram("11490378", 54_321, 1) + telegram(
        "11490378", 54_322, 2
    )  # one confirms the other
    line.write_bytes(two)
    times = ["--start", "2025-02-28T12:00:00", "--step", "1h"]
    without = run(device, "ingest", line, *times)
    assert (without.exit_code, "no key" in without.output) == (1, True)
    assert run(device, "meters", "key", "--of", "water", key_file(tmp_path, KEY)).exit_code == 0
    done = run(device, "ingest", line, *times)
    assert (done.exit_code, done.stdout.split(" ")[0]) == (0, "2"), done.output
    # In clear, anybody can have sent it; and what a neighbour's key opens is none of ours.
    forged = telegram("11490378", 60_000, 3, OTHER)
    line.write_bytes(forged)
    assert "does not open" in run(device, "ingest", line, *times).output


def test_the_key_of_a_meter_of_the_radio_is_not_tried_on_its_neighbours(device: Device) -> None:
    ring = MeterKeys(KEY, by_number={"11490378": OTHER}).for_mbus()
    assert ring.find(None) is None
    assert number_of(b"ACW 11490378") == number_of(b"11490378") == "11490378"
    assert number_of(b"1EMH0000000001") is None
    assert NO_KEYS.for_mbus().find(None) is None
    with pytest.raises(ValueError, match="without"):
        SealedKeys(device.database).put("", NO_KEYS)


MISTYPED: Final = "0123456789abcdef0123456789abcde"


@pytest.mark.parametrize(
    "arguments",
    [
        ["hub", "meters", "key", "SECRET"],
        ["hub", "meters", "key", "--auth-key", "SECRET", "SECRET"],
        ["inspect", "readers", "dlms", "pi", "--key", "SECRET", "--auth-key", "SECRET"],
        ["inspect", "readers", "password", "pi", "--password-file", "SECRET"],
        ["inspect", "serve", "--key", "SECRET"],
        ["hub", "ingest", "--key", "SECRET", "telegrams"],
        ["hub", "ingest", "--login", "SECRET", "telegrams"],
        ["meter", "decode", "--key", "SECRET", "telegrams"],
        ["meter", "read", "dlms://192.0.2.7", "--password", "SECRET"],
        ["meter", "read", "dlms://192.0.2.7", "--key", "SECRET"],
        ["meter", "watch", "--login", "SECRET", "tcp://192.0.2.7:1"],
    ],
)
@pytest.mark.parametrize("secret", [MISTYPED, MISTYPED * 20])
def test_a_secret_in_the_place_of_its_file_is_not_printed(
    arguments: list[str], secret: str
) -> None:
    said = [secret if one == "SECRET" else one for one in arguments]
    result = CliRunner().invoke(main, said, env={"NO_COLOR": "1"})
    assert result.exit_code == 2
    assert secret[:16] not in result.output.replace("\n", "")
    assert "not shown" in result.output
