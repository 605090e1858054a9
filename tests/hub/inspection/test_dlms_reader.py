# SPDX-License-Identifier: Apache-2.0
"""A head end reads a hub by DLMS: what the resident allows, on record, and nothing else."""

import asyncio
import re
import subprocess
import sys
from collections.abc import Callable, Coroutine, Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

import pytest

from dlms_codec import DateTime, Keys
from dlms_codec.apdus.acse import Mechanism
from dlms_codec.apdus.addressing import Attribute
from dlms_codec.authentication import Credentials
from dlms_codec.client import DlmsClient, connect
from dlms_codec.client_settings import ClientSettings
from dlms_codec.errors import DlmsError
from dlms_codec.obis import Obis
from dlms_codec.secure_messaging import SendCounter
from dlms_codec.selecting import Range
from hub.device import Device
from hub.inspection.views.slots import register_slots
from hub.meters.kinds import MeterKeys
from meterlet.commands.inspect.readers import stored_counter
from protocols.metrology import ACTIVE_ENERGY_IMPORT, Period
from tests.support.command import ROOT
from tests.support.readers import DAYS, allow, make_home, revoke
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
            with Device.open(tmp_path / "hub") as device:
                revoke(device, "headend")
            with pytest.raises(DlmsError):
                asked(int(found[1]), ask)
        finally:
            server.terminate()
        assert server.wait(PATIENCE) == 0


def test_no_number_of_a_counter_comes_twice(tmp_path: Path) -> None:
    path = tmp_path / "counter"
    keys = MeterKeys(GUEK, GAK)
    taken = [stored_counter(path, keys).take() for _ in range(5)]
    assert len(set(taken)) == 5
    assert taken == sorted(taken)
    assert stored_counter(path, MeterKeys(GAK, GUEK)).take() == 1
    assert Period(date(2025, 3, 24), date(2025, 3, 30)) == DAYS
