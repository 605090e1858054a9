# SPDX-License-Identifier: Apache-2.0
"""SML frames of real meters: this package, plain and compiled, next to pysml and smllib.

All decode the same frames, on one core, in the same run, into objects for messages and values. This
package and pysml check the checksums of frame and messages, smllib that of the frame alone. The
frames are those of the shared captures that all of them can read. The compiled build is measured if
there is one in build/compiled (`python -m sml_codec.build_compiled build/compiled`).
"""

import importlib
import sys
from binascii import crc_hqx
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import sml_codec
from sml_codec import Frame, decode_stream
from tests.support.captures import NAMES, capture, needs_captures, oracle

pytestmark = needs_captures

COMPILED = Path(__file__).resolve().parents[1] / "build" / "compiled"
MEGABYTES = 8

Benchmark = Callable[..., Any]
Decoder = Callable[[bytes], object]


def pysml_frame(wire: bytes) -> object:
    _, frame = importlib.import_module("sml").SmlBase.find_frame(wire)
    return frame


def smllib_frame(wire: bytes) -> object:
    reader = importlib.import_module("smllib").SmlStreamReader()
    reader.add(wire)
    return reader.get_frame().parse_frame()


@cache
def compiled() -> ModuleType | None:
    """Return the compiled package beside the plain one, if it was built."""
    if not (COMPILED / "sml_codec").is_dir():
        return None
    mine = {name: module for name, module in sys.modules.items() if name.startswith("sml_codec")}
    with without(mine):
        sys.path.insert(0, str(COMPILED))
        try:
            package = importlib.import_module("sml_codec")
        finally:
            sys.path.remove(str(COMPILED))
        for name in [name for name in sys.modules if name.startswith("sml_codec")]:
            del sys.modules[name]
    return package


def built() -> ModuleType:
    """Return the compiled package; skip without one."""
    package = compiled()
    if package is None:
        pytest.skip("not built")
    return package


@contextmanager
def without(modules: dict[str, ModuleType]) -> Iterator[None]:
    for name in modules:
        del sys.modules[name]
    try:
        yield
    finally:
        sys.modules.update(modules)


@cache
def frames() -> tuple[bytes, ...]:
    """Return the frames that every peer can read, as they lie in the captures."""
    names = [name for name in NAMES if oracle(name)["transport"] != "none"]
    found = [telegram.frame for name in names for telegram in decode_stream(capture(name))]
    return tuple(f.wire for f in found if isinstance(f, Frame) and is_common(f.wire))


def is_common(wire: bytes) -> bool:
    try:
        return bool(pysml_frame(wire)) and bool(smllib_frame(wire))
    except Exception:  # noqa: BLE001  # whatever a peer says when it cannot read a frame
        return False


def one_by_one(decoder: Decoder) -> Callable[[], None]:
    def run() -> None:
        for wire in frames():
            decoder(wire)

    return run


def as_stream(package: ModuleType) -> Callable[[], object]:
    stream = b"".join(frames())
    return lambda: package.decode_stream(stream)


WAYS: dict[str, Callable[[], Callable[[], object]]] = {
    "sml_codec": lambda: as_stream(sml_codec),
    "sml_codec, frame by frame": lambda: one_by_one(sml_codec.decode_stream),
    "sml_codec compiled": lambda: as_stream(built()),
    "smllib": lambda: one_by_one(smllib_frame),
    "pysml": lambda: one_by_one(pysml_frame),
}


@pytest.mark.parametrize("way", WAYS)
def bench_decode_meters(benchmark: Benchmark, way: str) -> None:
    if "smllib" in way or "pysml" in way:
        pytest.importorskip("sml" if way == "pysml" else way)
    benchmark.group = f"decode {len(frames())} frames"  # type: ignore[attr-defined]
    run = WAYS[way]()
    run()
    benchmark.pedantic(run, rounds=3 if way == "pysml" else 15)  # type: ignore[attr-defined]
    seconds = benchmark.stats.stats.min  # type: ignore[attr-defined]
    print(f"\n  {way}: {seconds / len(frames()) * 1e6:.1f} µs a frame")


@pytest.mark.parametrize("way", ["sml_codec", "sml_codec compiled"])
def bench_decode_every_capture(benchmark: Benchmark, way: str) -> None:
    """With the load profiles, of which no other package makes typed values."""
    package = sml_codec if way == "sml_codec" else built()
    data = [capture(name) for name in NAMES if oracle(name)["transport"] != "none"]
    count = sum(oracle(name)["frames"] for name in NAMES)
    benchmark.group = f"decode all {count} frames"  # type: ignore[attr-defined]

    def run() -> None:
        for each in data:
            package.decode_stream(each)

    run()
    benchmark.pedantic(run, rounds=10)  # type: ignore[attr-defined]
    seconds = benchmark.stats.stats.min  # type: ignore[attr-defined]
    print(f"\n  {way}: {seconds / count * 1e6:.1f} µs a frame")


def bench_encode(benchmark: Benchmark) -> None:
    benchmark.group = "encode"  # type: ignore[attr-defined]
    files = [telegram.file for telegram in decode_stream(b"".join(frames()[:200]))]

    def run() -> None:
        for file in files:
            sml_codec.encode_frame(sml_codec.encode_file(file))

    benchmark(run)
    seconds = benchmark.stats.stats.min  # type: ignore[attr-defined]
    print(f"\n  encode: {seconds / len(files) * 1e6:.1f} µs a frame")


def table_crc(data: bytes) -> int:
    """CRC-16/X.25 as it is usually written in Python."""
    register = 0xFFFF
    for byte in data:
        register = register >> 8 ^ TABLE[(register ^ byte) & 0xFF]
    return register ^ 0xFFFF


def _table() -> list[int]:
    table = []
    for number in range(256):
        register = number
        for _ in range(8):
            register = register >> 1 ^ (0x8408 if register & 1 else 0)
        table.append(register)
    return table


TABLE = _table()


@pytest.mark.parametrize("way", ["binascii", "table"])
def bench_crc(benchmark: Benchmark, way: str) -> None:
    benchmark.group = f"CRC-16/X.25 of {MEGABYTES} MB"  # type: ignore[attr-defined]
    data = bytes(range(256)) * (MEGABYTES * 1_000_000 // 256)
    assert table_crc(data[:1000]) == sml_codec.crc.x25(data[:1000])
    assert crc_hqx(b"", 0) == 0
    calculate = sml_codec.crc.x25 if way == "binascii" else table_crc
    benchmark.pedantic(calculate, args=(data,), rounds=5 if way == "binascii" else 1)  # type: ignore[attr-defined]
    seconds = benchmark.stats.stats.min  # type: ignore[attr-defined]
    print(f"\n  {way}: {len(data) / seconds / 1e6:.0f} MB/s")
