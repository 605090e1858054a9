# SPDX-License-Identifier: Apache-2.0
"""Captures of P1 ports and Current Cost displays, changed by chance.

`METERLET_FUZZ=100000 pytest tests/fuzz/test_p1_mutations.py` tries as many.
"""

import os
import random

import pytest

from tests.fuzz.p1_checks import check
from tests.support.meter_captures import captures_of, meter_capture, needs_meter_captures
from tests.support.soak import IS_SOAKING

pytestmark = needs_meter_captures

TRIALS = int(os.environ.get("METERLET_FUZZ", "20000" if IS_SOAKING else "600"))
TELLING = (
    b"/ABC5\r\n", b"!", b"\r\n", b"\n", b"(", b")", b")(", b"*", b"&", b"\x02", b"\x03",
    b"\xdb\x08", b"<msg>", b"</msg>", b"<", b">", b"%s", b"!1234\r\n", b"0-1:24.3.0(",
    b"\x82\x01\x00\x30", b"METERLET", b"<sensor>", b"00", b"-", b".",
)  # fmt: skip


def changed(chance: random.Random, data: bytes) -> bytes:
    """A piece of a capture, with a few bytes replaced, put in, or moved."""
    begin = chance.randrange(len(data))
    piece = bytearray(data[begin : begin + chance.randrange(10, 500)])
    for _ in range(chance.randrange(8)):
        at = chance.randrange(len(piece) + 1)
        kind = chance.random()
        if kind < 0.5:
            piece[at : at + chance.randrange(3)] = chance.choice(TELLING)
        elif kind < 0.75:
            piece[at : at + 1] = bytes([chance.randrange(256)])
        else:
            other = chance.randrange(len(piece) + 1)
            piece[at : at + chance.randrange(30)] = piece[other : other + chance.randrange(30)]
    return bytes(piece)


@pytest.mark.parametrize("seed", range(4))
def test_nothing_that_is_kept_for_any_bytes_breaks(seed: int) -> None:
    chance = random.Random(seed)
    captures = [meter_capture(name) for name in captures_of("p1") + captures_of("currentcost")]
    for _ in range(TRIALS // 4):
        check(changed(chance, chance.choice(captures)))
