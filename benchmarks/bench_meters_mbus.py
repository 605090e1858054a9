# SPDX-License-Identifier: Apache-2.0
"""M-Bus telegrams of real meters: this package next to pyMeterBus.

Both decode the same long frames, on one core, in the same run, from bytes to values. This package
also checks what pyMeterBus passes over (reserved codes, lengths) and gives exact numbers. The
frames are those of the shared captures that both read. Wireless telegrams are deciphered with the
key of their meter; pyMeterBus reads none.
"""

import importlib
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest

from meter_codecs.mbus import (
    KeyRing,
    LongFrame,
    MeterKey,
    decode_frame,
    decode_link,
    read_wired,
    read_wireless,
)
from tests.support.mbus_captures import WIRED, WIRELESS, capture, key_of, needs_captures

pytestmark = needs_captures

Benchmark = Callable[..., Any]


def ours(wire: bytes) -> object:
    frame = decode_frame(wire)
    assert isinstance(frame, LongFrame)
    return read_wired(frame)


def pymeterbus(wire: bytes) -> object:
    telegram = importlib.import_module("meterbus").load(wire)
    return [record.interpreted for record in telegram.records]


WAYS: dict[str, Callable[[bytes], object]] = {"mbus": ours, "pyMeterBus": pymeterbus}


def is_common(wire: bytes) -> bool:
    try:
        return bool(pymeterbus(wire))
    except ModuleNotFoundError:
        return True
    except Exception:  # noqa: BLE001  # whatever a peer says when it cannot read a frame
        return False


@cache
def frames() -> tuple[bytes, ...]:
    names = [name for name in WIRED if "_bad_" not in name]
    return tuple(wire for name in names if is_common(wire := capture(name)))


@pytest.mark.parametrize("way", WAYS)
def bench_long_frames(benchmark: Benchmark, way: str) -> None:
    if way == "pyMeterBus":
        pytest.importorskip("meterbus")
    benchmark.group = f"{len(frames())} long frames"  # type: ignore[attr-defined]

    def run() -> None:
        for wire in frames():
            WAYS[way](wire)

    run()
    benchmark.pedantic(run, rounds=5 if way == "pyMeterBus" else 30)  # type: ignore[attr-defined]
    seconds = benchmark.stats.stats.min  # type: ignore[attr-defined]
    print(f"\n  {way}: {seconds / len(frames()) * 1e6:.1f} µs a frame")


@pytest.mark.parametrize(
    ("what", "names"),
    [
        ("mode 5", ["picoflux_56544919", "waterstarm_20096221", "aventieswm_61070071",
                    "kaden_23800604"]),
        ("mode 7", ["mode7_sensostar"]),
        ("session", ["multical21_ciphered"]),
        ("in clear", ["iperl_33225544", "itron_12345698", "ultraheat_71635605"]),
    ],
)  # fmt: skip
def bench_wireless(benchmark: Benchmark, what: str, names: list[str]) -> None:
    found = [name for name in WIRELESS if name.removeprefix("wireless_") in names]
    assert len(found) == len(names)
    sent = [
        (capture(name), KeyRing(default=MeterKey(key) if (key := key_of(name)) else None))
        for name in found
    ]
    benchmark.group = f"wireless, {what}"  # type: ignore[attr-defined]

    def run() -> None:
        for wire, keys in sent:
            read_wireless(decode_link(wire), keys=keys)

    run()
    benchmark.pedantic(run, rounds=100)  # type: ignore[attr-defined]
    seconds = benchmark.stats.stats.min  # type: ignore[attr-defined]
    print(f"\n  {what}: {seconds / len(sent) * 1e6:.1f} µs a telegram")
