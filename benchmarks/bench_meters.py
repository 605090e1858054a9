# SPDX-License-Identifier: Apache-2.0
"""DLMS pushes of real meters: this package next to amshan, dlms-cosem and gurux-dlms.

Ours goes from the bytes of the line to typed values: frames and their checks, blocks, deciphering
and the tag, values with codes and units. Each peer does as much of that as it can, in a process of
its own (`dlms_peers.py`), with the interpreter that METERLET_PEERS names or this one.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dlms_codec import Keys, PushReader, Telegram, Transport, decode_stream
from tests.support.meter_captures import FOLDER, meter_capture, meter_oracle, needs_meter_captures

pytestmark = needs_meter_captures

Benchmark = Callable[..., Any]
PEERS = Path(__file__).with_name("dlms_peers.py")
LIMITS = {"dlms/lg_e450_gbt": 60, "dlms/aidon_sweden_push": 100, "dlms/kaifa_ma304h3e_esphome": 12}
"""Microseconds that a push may take."""


def keys_of(name: str) -> Keys:
    oracle = meter_oracle(name)
    found = [bytes.fromhex(oracle[key]) if key in oracle else None for key in ("key", "auth_key")]
    return Keys(*found)


@pytest.mark.parametrize("name", LIMITS)
def bench_push(benchmark: Benchmark, name: str) -> None:
    """The same push again and again, as a meter sends it with other values."""
    data, keys = meter_capture(name), keys_of(name)
    benchmark.group = name  # type: ignore[attr-defined]

    def run() -> object:
        return decode_stream(Transport.HDLC, data, keys=keys)

    run()
    benchmark.pedantic(run, rounds=200, iterations=50)  # type: ignore[attr-defined]
    micros = benchmark.stats.stats.min * 1e6  # type: ignore[attr-defined]
    print(f"\n  {name}: {micros:.1f} µs, at most {LIMITS[name]}")
    for peer in ("amshan", "dlms-cosem", "gurux"):
        print(f"  {peer}: {of_peer(peer, name, micros)}")


def of_peer(peer: str, name: str, ours: float) -> str:
    """Return what a peer takes, as text."""
    oracle = meter_oracle(name)
    secrets = []
    if "key" in oracle:
        secrets = [oracle["key"], oracle["auth_key"], oracle["telegrams"][0]["system_title"]]
    python = os.environ.get("METERLET_PEERS", sys.executable)
    path = str((FOLDER / name).with_name(str(oracle["file"])))
    run = subprocess.run(
        [python, str(PEERS), peer, path, *secrets], capture_output=True, text=True, check=True
    )
    outcome = json.loads(run.stdout)
    if "error" in outcome:
        return f"does not read it ({outcome['error']})"
    return f"{outcome['µs']:.0f} µs, {outcome['µs'] / ours:.0f} times as long"


def bench_stream(benchmark: Benchmark) -> None:
    """A log of a meter that sends every two seconds."""
    data = meter_capture("dlms/kaifa_ma304h3e_stream1")
    events = decode_stream(Transport.HDLC, data)
    count = sum(isinstance(event, Telegram) for event in events)
    benchmark.pedantic(decode_stream, (Transport.HDLC, data), rounds=20)  # type: ignore[attr-defined]
    micros = benchmark.stats.stats.min * 1e6  # type: ignore[attr-defined]
    print(f"\n  {count} telegrams: {micros / count:.1f} µs each")


def bench_push_for_the_first_time(benchmark: Benchmark) -> None:
    """A push whose shape no reader has seen: value by value, and learned."""
    events = decode_stream(Transport.HDLC, meter_capture("dlms/aidon_sweden_push"))
    [telegram] = [event for event in events if isinstance(event, Telegram)]
    benchmark(lambda: PushReader().read(telegram.message))
