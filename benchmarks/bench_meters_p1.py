# SPDX-License-Identifier: Apache-2.0
"""P1 telegrams and Current Cost messages of real meters: these packages, next to what others do.

All decode the same bytes on one core in the same run, into objects with exact numbers, units and
times. dsmr-parser is the peer for P1. Current Cost has no peer on PyPI: ElementTree, which gives a
tree of texts and no values, is what others' programs begin with.
"""

import importlib
from collections.abc import Callable
from decimal import Decimal
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from meter_codecs import currentcost, p1
from meter_codecs.p1.ciphering import P1Keys
from meter_codecs.p1.crc import crc16
from tests.support.meter_captures import meter_capture, meter_oracle, needs_meter_captures

pytestmark = needs_meter_captures

Benchmark = Callable[..., Any]
SPECIFICATIONS = {
    "p1/dsmr50_isk": "V5",
    "p1/dsmr42_kaifa": "V4",
    "p1/lg_e360_se": "SWEDEN",
    "p1/fluvius_171": "BELGIUM_FLUVIUS",
    "p1/eon_hu": "EON_HUNGARY",
}


def ours(data: bytes) -> object:
    return [p1.readings(e) for e in p1.decode_stream(data) if isinstance(e, p1.Telegram)]


def dsmr_parser(data: bytes, specification: str) -> Callable[[], object]:
    parsers = pytest.importorskip("dsmr_parser.parsers")
    specifications = importlib.import_module("dsmr_parser.telegram_specifications")
    parser = parsers.TelegramParser(getattr(specifications, specification))
    text = data.decode("latin-1")
    return lambda: parser.parse(text)


def report(benchmark: Benchmark, what: str, count: int = 1) -> None:
    seconds = benchmark.stats.stats.min  # type: ignore[attr-defined]
    print(f"\n  {what}: {seconds / count * 1e6:.1f} µs")


@pytest.mark.parametrize("way", ["meter_codecs", "dsmr-parser"])
@pytest.mark.parametrize("name", SPECIFICATIONS)
def bench_p1(benchmark: Benchmark, name: str, way: str) -> None:
    data = meter_capture(name)
    benchmark.group = f"{name}, {len(data)} bytes"  # type: ignore[attr-defined]
    run = dsmr_parser(data, SPECIFICATIONS[name]) if way == "dsmr-parser" else lambda: ours(data)
    run()
    benchmark.pedantic(run, rounds=30, iterations=10)  # type: ignore[attr-defined]
    report(benchmark, f"{name}, {way}")


def bench_enciphered_p1(benchmark: Benchmark) -> None:
    name = "p1/smarty_encrypted_esphome"
    data, known = meter_capture(name), meter_oracle(name)
    keys = P1Keys(bytes.fromhex(known["key"]), bytes.fromhex(known["auth_key"]))
    benchmark.group = f"{name}, {len(data)} bytes"  # type: ignore[attr-defined]
    (event,) = p1.decode_stream(data, keys=keys)
    assert isinstance(event, p1.Telegram)
    run = lambda: [p1.readings(e) for e in p1.decode_stream(data, keys=keys)]  # type: ignore[arg-type]  # noqa: E731
    benchmark.pedantic(run, rounds=30, iterations=10)  # type: ignore[attr-defined]
    report(benchmark, name)


def table_crc(data: bytes) -> int:
    """CRC-16/ARC as it is usually written in Python."""
    register = 0
    for byte in data:
        register = register >> 8 ^ TABLE[(register ^ byte) & 0xFF]
    return register


def _table() -> list[int]:
    table = []
    for number in range(256):
        register = number
        for _ in range(8):
            register = register >> 1 ^ (0xA001 if register & 1 else 0)
        table.append(register)
    return table


TABLE = _table()


@pytest.mark.parametrize("way", ["one long number", "table"])
def bench_crc(benchmark: Benchmark, way: str) -> None:
    data = meter_capture("p1/dsmr50_isk")
    benchmark.group = f"CRC-16/ARC of {len(data)} bytes"  # type: ignore[attr-defined]
    assert crc16(data) == table_crc(data)
    benchmark.pedantic(  # type: ignore[attr-defined]
        crc16 if way != "table" else table_crc, args=(data,), rounds=50, iterations=20
    )
    report(benchmark, way)


def live() -> bytes:
    return meter_capture("currentcost/cc128_v131_three_sensors")


def elements(data: bytes) -> list[list[Decimal]]:
    """The numbers of live messages, by ElementTree."""
    found = []
    for line in data.splitlines():
        tree = ET.fromstring(line)
        texts = [tree.findtext(path) for path in ("tmpr", "sensor", "ch1/watts")]
        found.append([Decimal(text) for text in texts if text is not None])
    return found


def messages(data: bytes) -> object:
    events = currentcost.decode_stream(data)
    return [event.values() for event in events if isinstance(event, currentcost.Message)]


@pytest.mark.parametrize("way", [messages, elements])
def bench_currentcost(benchmark: Benchmark, way: Callable[[bytes], object]) -> None:
    data = live()
    count = data.count(b"<msg>")
    benchmark.group = "Current Cost, a live message"  # type: ignore[attr-defined]
    benchmark.pedantic(way, args=(data,), rounds=50, iterations=50)  # type: ignore[attr-defined]
    report(benchmark, "meter_codecs" if way is messages else "ElementTree", count)


def bench_currentcost_history(benchmark: Benchmark) -> None:
    data = meter_capture("currentcost/cc128_v011_history")
    benchmark.group = "Current Cost, history of ten sensors"  # type: ignore[attr-defined]
    benchmark.pedantic(messages, args=(data,), rounds=50, iterations=10)  # type: ignore[attr-defined]
    report(benchmark, "two messages, 140 values")
