# SPDX-License-Identifier: Apache-2.0
"""A head end reads a hub by DLMS: what the resident allows, on record, and nothing else."""

import asyncio
import re
import subprocess
import sys
from collections.abc import Callable, Coroutine, Iterator
from datetime import date, datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

import pytest

from dlms_codec import DateTime, Keys
from dlms_codec.apdus.acse import Mechanism
from dlms_codec.apdus.addressing import AccessResult, Attribute
from dlms_codec.authentication import Credentials
from dlms_codec.client import DlmsClient, connect
from dlms_codec.client_settings import ClientSettings
from dlms_codec.errors import AccessRefused, AssociationRefused, DlmsError
from dlms_codec.obis import Obis
from dlms_codec.secure_messaging import SendCounter
from dlms_codec.selecting import Range
from hub.device import Device
from hub.inspection.readers.dlms_counter import StoredCounter
from hub.inspection.readers.dlms_table import ReaderTable
from hub.inspection.readers.readers import Readers
from hub.inspection.store import open_inspection
from hub.inspection.views.slots import register_slots
from hub.vault.secret_file import SecretFileError
from protocols.metrology import ACTIVE_ENERGY_IMPORT
from tests.support.command import ROOT, run_meterlet
from tests.support.readers import NOON, allow, make_home, revoke
from tests.support.waiting import PATIENCE

BERLIN = ZoneInfo("Europe/Berlin")
PROFILE = Obis.parse("1-0:99.1.1")
GUEK, GAK = bytes(range(16)), bytes(range(16, 32))
T = TypeVar("T")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dlms") / "hub"
    make_home(folder)
    with Device.open(folder) as device:
        allow(device, "headend", 60, until=date(2099, 1, 1))
    return folder


@pytest.fixture(scope="module")
def key_files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("keys")
    files = [folder / "guek", folder / "gak"]
    for path, key in zip(files, (GUEK, GAK), strict=True):
        path.touch(0o600)
        path.write_text(key.hex() + "\n")
    return files


@pytest.fixture(scope="module")
def port(home: Path, key_files: list[Path]) -> Iterator[int]:
    command = [
        sys.executable, "-m", "meterlet", "inspect", "readers", "dlms", "--hub", str(home),
        "headend", "--key", str(key_files[0]), "--auth-key", str(key_files[1]), "--port", "0",
    ]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as server:
        assert server.stdout is not None
        line = server.stdout.readline()
        found = re.search(r":(\d+);", line)
        try:
            assert found is not None, line
            yield int(found[1])
        finally:
            server.terminate()
        assert server.wait(PATIENCE) == 0


def settings(keys: Keys) -> ClientSettings:
    return ClientSettings(Credentials(Mechanism.GMAC), keys, b"HEADEND1")


COUNTER = SendCounter()


def asked(
    port: int, ask: Callable[[DlmsClient], Coroutine[Any, Any, T]], keys: Keys | None = None
) -> T:
    async def run() -> T:
        given = keys or Keys(encryption=GUEK, authentication=GAK)
        client = await connect(
            "127.0.0.1", port, settings(given), client=1, counter=COUNTER, answer_seconds=PATIENCE
        )
        try:
            return await ask(client)
        finally:
            await client.close()

    return asyncio.run(run())


def records(home: Path) -> int:
    with Device.open(home) as device:
        return sum(1 for _ in device.disclosure.log.entries("export"))


def test_a_head_end_reads_a_day_and_it_is_on_record(home: Path, port: int) -> None:
    begin = datetime(2025, 3, 26, 0, 0, tzinfo=BERLIN)
    end = datetime(2025, 3, 26, 23, 59, tzinfo=BERLIN)
    before = records(home)

    async def day(client: DlmsClient) -> Any:
        return await client.read_profile(PROFILE, Range(DateTime.of(begin), DateTime.of(end)))

    rows = asked(port, day)
    with Device.open(home) as device:
        first = int(begin.timestamp())
        run = register_slots(device, ACTIVE_ENERGY_IMPORT, first, first + 86_400)
    hours = [sum(uses) for uses in zip(*[iter(run.use_wh)] * 4, strict=True)]
    # The interval that ends at midnight is of the day before; the last one ends after the range.
    assert [int(row[2]) for row in rows.rows][1:] == hours[:23]
    assert records(home) > before


def test_units_and_the_meter_are_told(port: int) -> None:
    async def ask(client: DlmsClient) -> Any:
        scale = await client.read(Attribute(3, Obis.parse("1-0:1.29.0"), 3))
        return scale, await client.read(Attribute(1, Obis.parse("0-0:96.1.0"), 2))

    scale, meter = asked(port, ask)
    assert [int(one) for one in scale] == [0, 30]
    assert bytes(meter).startswith(b"0a01")


def test_the_register_itself_is_not_there(port: int) -> None:
    async def ask(client: DlmsClient) -> Any:
        return await client.read(Attribute(3, Obis.parse("1-0:1.8.0"), 2))

    with pytest.raises(DlmsError):
        asked(port, ask)


def test_other_days_are_not_there(home: Path, port: int) -> None:
    before = records(home)

    async def ask(client: DlmsClient) -> Any:
        begin, end = (datetime(2025, 3, day, 12, tzinfo=BERLIN) for day in (22, 23))
        return await client.read_profile(PROFILE, Range(DateTime.of(begin), DateTime.of(end)))

    assert asked(port, ask).rows == ()
    assert records(home) == before


def test_wrong_keys_open_nothing(port: int) -> None:
    async def ask(client: DlmsClient) -> Any:
        return await client.read(Attribute(1, Obis.parse("0-0:96.1.0"), 2))

    for keys in (
        Keys(encryption=GAK, authentication=GAK),
        Keys(encryption=GUEK, authentication=GUEK),
    ):
        with pytest.raises(DlmsError):
            asked(port, ask, keys)


def test_a_reader_that_is_revoked_reads_nothing_from_then_on(
    tmp_path: Path, key_files: list[Path]
) -> None:
    make_home(tmp_path / "hub")
    with Device.open(tmp_path / "hub") as device:
        allow(device, "headend", 60, until=date(2099, 1, 1))
    command = [
        sys.executable, "-m", "meterlet", "inspect", "readers", "dlms", "headend",
        "--hub", str(tmp_path / "hub"),
        "--key", str(key_files[0]), "--auth-key", str(key_files[1]), "--port", "0",
    ]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as server:
        try:
            assert server.stdout is not None
            found = re.search(r":(\d+);", server.stdout.readline())
            assert found is not None

            async def ask(client: DlmsClient) -> Any:
                return await client.read(Attribute(3, Obis.parse("1-0:1.29.0"), 2))

            assert int(asked(int(found[1]), ask)) > 0

            async def ask_more(client: DlmsClient) -> Any:
                with Device.open(tmp_path / "hub") as device:
                    revoke(device, "headend")
                with pytest.raises(DlmsError):
                    await client.read(Attribute(8, Obis.parse("0-0:1.0.0"), 2))
                return await client.read(Attribute(1, Obis.parse("0-0:96.1.0"), 2))

            with pytest.raises(DlmsError):
                asked(int(found[1]), ask_more)
            with pytest.raises(AssociationRefused):
                asked(int(found[1]), ask)
            # The name is given to another reader: whoever has the old keys is not that one.
            with Device.open(tmp_path / "hub") as device:
                allow(device, "headend", 15, until=date(2099, 1, 1))
            with pytest.raises(AssociationRefused):
                asked(int(found[1]), ask)
        finally:
            server.terminate()
        assert server.wait(PATIENCE) == 0


TITLE = b"MLT\0\0\0\0\1"


def test_no_number_of_a_counter_comes_twice(tmp_path: Path) -> None:
    taken = [StoredCounter(tmp_path, GUEK, TITLE).take() for _ in range(5)]
    assert len(set(taken)) == 5
    assert taken == sorted(taken)
    assert StoredCounter(tmp_path, GAK, TITLE).take() == 1
    assert StoredCounter(tmp_path, GUEK, TITLE).take() > taken[-1]  # keys A, B and A again


def test_two_that_send_under_one_key_take_numbers_by_turns(tmp_path: Path) -> None:
    one, other = (StoredCounter(tmp_path, GUEK, TITLE) for _ in range(2))
    taken = [counter.take() for _ in range(250) for counter in (one, other)]
    assert len(set(taken)) == 500


def test_a_key_goes_on_above_the_counters_of_readers_of_before(tmp_path: Path) -> None:
    (tmp_path / "dlms-1.counter").write_text("0123456789abcdef 901\n")
    (tmp_path / "dlms-2.counter").write_text("0123456789abcdef 101\n")
    assert StoredCounter(tmp_path, GUEK, TITLE).take() == 901


def test_a_counter_that_cannot_be_read_is_not_begun_anew(tmp_path: Path) -> None:
    StoredCounter(tmp_path, GUEK, TITLE).take()
    (path,) = tmp_path.glob("*.counter")
    assert GUEK.hex() not in path.name
    path.write_text("")
    with pytest.raises(SecretFileError, match="not a counter"):
        StoredCounter(tmp_path, GUEK, TITLE)


def test_a_reader_of_another_meter_is_not_told_which_the_main_one_is(tmp_path: Path) -> None:
    make_home(tmp_path / "hub")
    command = ["hub", "meters", "add", "gas", "--medium", "gas", "--meter-text", "G0001"]
    assert run_meterlet(*command, "--hub", tmp_path / "hub").returncode == 0
    with Device.open(tmp_path / "hub", now=lambda: NOON) as device:
        gas = device.meters["gas"].description.register
        both = (ACTIVE_ENERGY_IMPORT, gas)
        for name, registers, count in (("gasman", (gas,), 1), ("headend", both, 2)):
            reader, _ = allow(device, name, registers=registers)
            with open_inspection(device) as database:
                known = Readers(database, device)
                table = ReaderTable(device, partial(known.numbered, reader.number), device.now)
                made = table.make()
                told = [
                    bytes(made.read(Attribute(1, one.obis, 2)))  # type: ignore[arg-type]
                    for one in made
                    if str(one.obis).split(":")[1].startswith("96.1.0")
                ]
                assert len(told) == count
                assert any(one.startswith(b"0a01") for one in told) is (count == 2)
                assert table.is_allowed()
                revoke(device, name)
                assert not table.is_allowed()
                with pytest.raises(AccessRefused) as refused:
                    made.read(Attribute(1, Obis.parse("0-0:96.1.0"), 2))
                assert refused.value.result == AccessResult.READ_WRITE_DENIED
