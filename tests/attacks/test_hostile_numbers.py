# SPDX-License-Identifier: Apache-2.0
"""Numbers of several registers, asked for by an applet that lies about what it may ask.

The host decides by the manifest alone, before a service hears of the call.
"""

import struct

import pytest

from hub.machine import limits
from hub.machine.machine import AppletMachine
from protocols.amounts import (
    Amount,
    Bucket,
    Combine,
    Group,
    Metered,
    NumberAmount,
    Peaks,
    QuotientRule,
    Rounding,
    SlotForm,
    Sum,
    Tiered,
    Total,
    encode_amounts,
)
from tests.attacks.test_hostile_amounts import GRANTED
from tests.support.applet_machine import BEGIN, command, start

MAIN, OTHER = bytes.fromhex("0100010800ff"), bytes.fromhex("0100020800ff")
BODY = """
def process(self, command):
    count, days = command.data[0], command.data[1]
    opened = self.platform.statements.open_numbers(
        command.data[2 : 2 + count], {begin}, {begin} + days * 86400,
        command.data[2 + count :], bytes(48),
    )
    return Response(repr((opened.values, len(opened.certified_days))).encode())
"""
FORM = SlotForm(((0, 100, 3),))
SUM = Metered(0, Sum(FORM))
BLOCKS = Metered(0, Tiered((Bucket(SlotForm(((0, 9, 1),)), (5,), (1, 2)),)))
PEAK = Metered(0, Peaks((Group((SlotForm(((0, 1, 1),)),), 0),)))
BOTH = (Combine(((0, 1), (1, 2))),)


def of(*metered: Metered, divisor: int = 10) -> Total:
    return Total(metered, BOTH if len(metered) > 1 else (), divisor, QuotientRule.HALF_EVEN)


def told(machine: AppletMachine, registers: bytes, amounts: bytes, days: int = 30) -> bytes:
    instance, device = start(machine, BODY.format(begin=BEGIN), manifest=GRANTED)
    data = bytes([len(registers), days]) + registers + amounts
    answer = instance.process(command(0, data))
    assert (answer[-2:] == b"\x90\x00") == bool(device.household.released)
    return answer


def encoded(*numbers: Amount | NumberAmount) -> bytes:
    return encode_amounts(numbers)


def test_what_the_manifest_grants_is_opened_as_one_number(machine: AppletMachine) -> None:
    uses = [(BEGIN // 900 + slot) % 7 for slot in range(100)]
    number = of(SUM, BLOCKS)
    answer = told(machine, MAIN, encoded(number))
    assert answer == repr(((number.value_of([uses]),), 30)).encode() + b"\x90\x00"


REFUSED: dict[str, tuple[bytes, bytes, int, str]] = {
    "a kind that is not granted": (MAIN, encoded(of(PEAK)), 30, "6982"),
    "one of two kinds not granted": (MAIN, encoded(of(SUM, PEAK)), 30, "6982"),
    "a register that is not granted": (OTHER, encoded(of(SUM)), 30, "6982"),
    "a second register that is not granted": (
        MAIN + OTHER, encoded(of(SUM, Metered(1, Sum(FORM)))), 30, "6982",
    ),
    "a kind granted about the other register": (
        OTHER + MAIN, encoded(of(BLOCKS, Metered(1, Sum(FORM)))), 30, "6982",
    ),
    "a period too short for one of two": (MAIN, encoded(of(SUM, BLOCKS)), 26, "6982"),
    "a register beyond the call's": (MAIN, encoded(of(Metered(1, Sum(FORM)))), 30, "6a80"),
    "no register": (b"", encoded(of(SUM)), 30, "6a80"),
    "a part of a code": (MAIN[:5], encoded(of(SUM)), 30, "6a80"),
    "a code and a part": (MAIN + OTHER[:3], encoded(of(SUM)), 30, "6a80"),
    "a register twice": (MAIN + MAIN, encoded(of(SUM)), 30, "6a80"),
    "nine registers": (bytes(range(54)), encoded(of(SUM)), 30, "6a80"),
    "an exact amount": (MAIN, encoded(Sum(FORM)), 30, "6a80"),
    "an exact amount of blocks": (MAIN, encoded(BLOCKS.amount), 30, "6a80"),
    "slots beyond the period": (MAIN, encoded(of(Metered(0, Sum(SlotForm(((9999, 1, 1),)))))),
                                30, "6a80"),
    "nothing": (MAIN, b"", 30, "6a80"),
    "left over": (MAIN, encoded(of(SUM)) + bytes(8), 30, "6a80"),
    "cut short": (MAIN, encoded(of(SUM))[:-8], 30, "6a80"),
    "a total within a total": (
        MAIN, struct.pack("<5q", 1, 8, 1, 0, 8) * 40, 30, "6a80",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_anything_else_is_refused_before_a_service_hears_of_it(
    machine: AppletMachine, name: str
) -> None:
    registers, amounts, days, status = REFUSED[name]
    assert told(machine, registers, amounts, days).hex() == status


def test_comparisons_and_roundings_are_bounded(machine: AppletMachine) -> None:
    count = limits.MAX_COMPARISONS // 6
    steps = tuple(Rounding(0, 2, QuotientRule.DOWN) for _ in range(count))
    whole = Combine(tuple((place, 1) for place in range(1, count + 1)))
    many = Total((SUM,), (*steps, whole), 10, QuotientRule.DOWN)
    assert many.comparisons <= limits.MAX_COMPARISONS
    more = Total(
        (SUM,),
        (*steps, steps[0], Combine(tuple((place, 1) for place in range(1, count + 2)))),
        10,
        QuotientRule.DOWN,
    )
    assert more.comparisons > limits.MAX_COMPARISONS
    assert told(machine, MAIN, encoded(many))[-2:] == b"\x90\x00"
    assert told(machine, MAIN, encoded(more)).hex() == "6a84"


def test_a_description_that_takes_too_long_to_work_out_is_refused(machine: AppletMachine) -> None:
    """Hundreds of amounts in hundreds of steps one after the other: each has all their slopes."""
    amounts, length = 400, 200
    one = struct.pack("<6q", 0, 0, 1, 0, 1, 1)  # the first register: a sum of one run
    first = [0, amounts, *(n for place in range(amounts) for n in (place, 1, 1)), 1, 0]
    chain = [n for step in range(length - 1) for n in (0, 1, amounts + step, 1, 1, 1, 0)]
    numbers = [length, *first, *chain, 1, 10, 0]
    head = struct.pack("<3q", 1, 8, amounts) + one * amounts
    described = head + struct.pack(f"<{len(numbers)}q", *numbers)
    assert told(machine, MAIN, described).hex() == "6a80"
    short = [1, *first, 1, 10, 0]
    fine = head + struct.pack(f"<{len(short)}q", *short)
    assert told(machine, MAIN, fine)[-2:] == b"\x90\x00"
