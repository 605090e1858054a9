# SPDX-License-Identifier: Apache-2.0
"""An applet in the machine that asks for amounts it was not granted, or for nonsense."""

import struct

import pytest

from hub.machine import limits
from hub.machine.machine import AppletMachine
from protocols.amounts import (
    Above,
    Bucket,
    Count,
    Excess,
    Group,
    Peaks,
    SlotForm,
    Sum,
    Tiered,
    decode_amounts,
    encode_amounts,
)
from protocols.platform.services import MAX_AMOUNTS
from tests.support.applet_machine import BEGIN, DAY, MANIFEST, command, start

MONTH = 30 * DAY
SUM = Sum(SlotForm(((0, 100, 7),)))
BLOCKS = Tiered((Bucket(SlotForm(((0, 100, 1),)), (50,), (1, 2)),))
PEAK = Peaks((Group((SlotForm(((0, 1, 1),)), SlotForm(((1, 1, 1),))), 0),))
EXCESS = Excess(SlotForm(((0, 100, 7),)), (Above(3, SlotForm(((0, 100, 2),))),))
GRANTED = MANIFEST.replace("[limits]", """
[[statements]]
kind = "blocks"
registers = ["1-0:1.8.0*255"]
minimum_days = 28
at_most = 4
within_days = 31

[limits]""")  # fmt: skip
BODY = """
def process(self, command):
    begin, days, times = {begin}, command.data[0], int.from_bytes(command.data[1:3], "big")
    amounts = command.data[3:19] + command.data[19:] * times
    opened = self.platform.statements.open_amounts(
        "1-0:1.8.0*255", begin, begin + days * 86400, amounts, bytes(48)
    )
    return Response(repr(opened.values).encode())
"""


def ask(machine: AppletMachine, amounts: bytes, days: int = 30, times: int = 1) -> bytes:
    instance, device = start(machine, BODY.format(begin=BEGIN), manifest=GRANTED)
    answer = instance.process(command(0, bytes([days]) + times.to_bytes(2, "big") + amounts))
    assert (answer[-2:] == b"\x90\x00") == bool(device.household.released)
    return answer


def test_what_the_manifest_grants_is_opened(machine: AppletMachine) -> None:
    uses = [(BEGIN // 900 + slot) % 7 for slot in range(100)]
    answer = ask(machine, encode_amounts([SUM, BLOCKS]))
    assert answer == repr((SUM.value_of(uses), BLOCKS.value_of(uses))).encode() + b"\x90\x00"


@pytest.mark.parametrize(
    ("amounts", "days", "status"),
    [
        (encode_amounts([PEAK]), 30, "6982"),
        (encode_amounts([SUM, PEAK]), 30, "6982"),
        (encode_amounts([EXCESS]), 30, "6982"),
        (encode_amounts([BLOCKS, EXCESS]), 30, "6982"),
        (encode_amounts([BLOCKS]), 26, "6982"),
        (encode_amounts([SUM, BLOCKS]), 10, "6982"),
        (b"", 30, "6a80"),
        (b"1234567", 30, "6a80"),
        (struct.pack("<q", 1 << 62), 30, "6a80"),
        (encode_amounts([BLOCKS]) + bytes(8), 30, "6a80"),
        (encode_amounts([BLOCKS])[:-8], 30, "6a80"),
    ],
    ids=[
        "no grant", "one of two not granted", "no grant of an excess", "excess beside blocks",
        "too short", "too short for one of two", "nothing",
        "no integers", "count beyond the end", "left over", "cut short",
    ],
)  # fmt: skip
def test_anything_else_is_refused_before_a_service_hears_of_it(
    machine: AppletMachine, amounts: bytes, days: int, status: str
) -> None:
    assert ask(machine, amounts, days).hex() == status


def test_an_excess_is_opened_where_the_manifest_grants_it(machine: AppletMachine) -> None:
    granted = GRANTED.replace('kind = "blocks"', 'kind = "excess"')
    instance, device = start(machine, BODY.format(begin=BEGIN), manifest=granted)
    asked = bytes([30]) + (1).to_bytes(2, "big") + encode_amounts([EXCESS])
    uses = [(BEGIN // 900 + slot) % 7 for slot in range(100)]
    assert instance.process(command(0, asked)) == f"({EXCESS.value_of(uses)},)".encode() + b"\x90\0"
    assert len(device.household.released) == 1
    many = SlotForm(((0, 4 * limits.MAX_COMPARISONS + 1, 1),))
    asked = bytes([30]) + (1).to_bytes(2, "big") + encode_amounts([Excess(many, (Above(3, many),))])
    assert instance.process(command(0, asked)).hex() == "6a84"


def test_a_count_is_opened_where_the_manifest_grants_it_and_nowhere_else(
    machine: AppletMachine,
) -> None:
    windows = tuple(SlotForm(((96 * day, 32, 1),)) for day in range(30))
    uses = [(BEGIN // 900 + slot) % 7 for slot in range(96 * 30)]
    count = Count(windows, sum(uses[:32]))
    assert 0 < count.value_of(uses) < 30
    assert ask(machine, encode_amounts([count])).hex() == "6982"
    granted = GRANTED.replace('kind = "blocks"', 'kind = "count"')
    instance, _ = start(machine, BODY.format(begin=BEGIN), manifest=granted)
    asked = bytes([30]) + (1).to_bytes(2, "big") + encode_amounts([count])
    assert instance.process(command(0, asked)) == f"({count.value_of(uses)},)".encode() + b"\x90\0"


def test_a_description_is_bounded_in_size_and_in_work(machine: AppletMachine) -> None:
    bucket = struct.pack("<8q", 1, 0, 9, 1, 1, 5, 1, 2)
    many = limits.MAX_COMPARISONS + 1
    head = struct.pack("<2q", 1, 1)
    counted = struct.pack("<q", many)
    body = head + counted + bucket
    assert decode_amounts(head + struct.pack("<q", 1) + bucket)
    amounts = [Tiered(tuple(Bucket(SlotForm(((0, 9, 1),)), (5,), (1, 2)) for _ in range(many)))]
    assert encode_amounts(amounts) == head + counted + bucket * many
    instance, device = start(
        machine,
        BODY.format(begin=BEGIN).replace(
            "command.data[3:19] + command.data[19:]", "command.data[3:27] + command.data[27:]"
        ),
        manifest=GRANTED,
    )
    for times in (many, MAX_AMOUNTS // len(bucket) + 1):
        asked = bytes([30]) + times.to_bytes(2, "big") + body
        assert instance.process(command(0, asked)).hex() == "6a84"
    assert device.household.released == []
