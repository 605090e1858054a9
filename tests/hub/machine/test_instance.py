# SPDX-License-Identifier: Apache-2.0
import datetime
import gc
import struct
import weakref
from zoneinfo import ZoneInfo

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.machine.errors import AppletFault, FaultKind
from hub.machine.machine import AppletMachine
from protocols.platform.services import (
    BoundedEnergy,
    CarriedNumbers,
    OpenedAmounts,
    OpenedNumbers,
    Platform,
)
from tests.support.applet_machine import (
    BEGIN,
    DAY,
    RAW_MANIFEST,
    REGISTER,
    Device,
    bundle,
    command,
    start,
)

ECHO = """
def process(self, command):
    return Response(command.data)
"""


def test_an_applet_answers_a_command(machine: AppletMachine) -> None:
    applet, _ = start(machine, ECHO)
    assert applet.process(command(data=b"hello")) == b"hello\x90\x00"


@given(data=st.binary(max_size=3_000))
@settings(deadline=None, max_examples=60)
def test_any_bytes_come_back_as_they_went_in(machine: AppletMachine, data: bytes) -> None:
    applet, _ = start(machine, ECHO)
    assert applet.process(command(data=data)) == data + b"\x90\x00"


def test_an_answer_may_be_long(machine: AppletMachine) -> None:
    applet, _ = start(machine, "def process(self, command): return Response(bytes(200_000))")
    assert applet.process(command()) == bytes(200_000) + b"\x90\x00"


def test_an_instance_that_nobody_holds_any_more_gives_back_its_memory(
    machine: AppletMachine,
) -> None:
    """Its platform leads back to it, as that of a card's applet does."""
    applet, device = start(machine, ECHO)
    applet.process(command())
    device.household.__dict__["applet"] = applet
    gone = weakref.ref(applet)
    del applet, device
    gc.collect()
    assert gone() is None


def test_memory_lasts_until_the_instance_is_discarded(machine: AppletMachine) -> None:
    applet, _ = start(
        machine,
        """
        count = 0
        def process(self, command):
            self.count += 1
            return Response(bytes([self.count]))
        """.replace("\n        ", "\n"),
    )
    assert [applet.process(command())[0] for _ in range(3)] == [1, 2, 3]
    applet.discard()
    assert not applet.is_started
    assert applet.process(command())[0] == 1


def test_the_store_outlasts_the_instance(machine: AppletMachine) -> None:
    applet, device = start(
        machine,
        """
def install(self, parameters):
    self.platform.store.put(b"count", parameters)

def process(self, command):
    count = self.platform.store.get(b"count")[0] + 1
    self.platform.store.put(b"count", bytes([count]))
    return Response(bytes([count]))

def uninstall(self):
    for key in self.platform.store.keys():
        self.platform.store.delete(key)
""",
    )
    assert applet.install(b"\x07") == b"\x90\x00"
    assert applet.process(command()) == b"\x08\x90\x00"
    applet.discard()
    assert applet.process(command()) == b"\x09\x90\x00"
    assert device.store.kept == {b"count": b"\x09"}
    assert applet.uninstall() == b"\x90\x00"
    assert device.store.kept == {}


def test_select_and_deselect_reach_the_applet(machine: AppletMachine) -> None:
    applet, device = start(
        machine,
        """
def process(self, command): raise AppletError(StatusWord.CONDITIONS_NOT_SATISFIED)
def select(self): return b"here"
def deselect(self): print("gone")
""",
    )
    applet.deselect()
    assert device.log.lines == []  # it slept
    assert applet.select() == b"here\x90\x00"
    applet.deselect()
    assert device.log.lines == ["gone"]
    assert applet.process(command()) == b"\x69\x85"


def test_an_applet_is_told_what_is_no_command(machine: AppletMachine) -> None:
    applet, _ = start(machine, ECHO)
    assert applet.process(b"\x80\x00") == b"\x67\x00"


def test_a_statement_reaches_the_platform_and_comes_back_whole(machine: AppletMachine) -> None:
    applet, device = start(
        machine,
        f"""
def process(self, command):
    begin, end = {BEGIN}, {BEGIN + 31 * DAY}
    slots = self.platform.calendar.slots("{REGISTER}", begin, end)
    weights = [(-1) ** index * index for index in range(len(slots.starts))]
    opened = self.platform.statements.open_amounts(
        "{REGISTER}", begin, end, amounts(*weights), b"tariff")
    assert opened.certified_days == (b"day" * 2_000,) * 31
    [value] = opened.values
    return Response(value.to_bytes(8, "big", signed=True) + opened.proof)
""",
    )
    response = applet.process(command())
    expected = sum(
        (-1) ** index * index * (start // 900 % 7)
        for index, start in enumerate(range(BEGIN, BEGIN + 31 * DAY, 900))
    )
    assert response == expected.to_bytes(8, "big", signed=True) + b"p" * 96 + b"\x90\x00"
    assert device.household.released == [(BEGIN, BEGIN + 31 * DAY, b"tariff")]


@pytest.mark.parametrize(
    ("call", "status"),
    [
        (f'statements.open_amounts("{REGISTER}", {BEGIN}, {BEGIN + DAY}, amounts(1), b"")', "6982"),
        (f'statements.open_amounts("1-0:2.8.0*255", 0, {40 * DAY}, amounts(1), b"")', "6982"),
        (f'statements.open_amounts("{REGISTER}", 0, {8 * DAY}, amounts(*[1] * 769), b"")', "6A80"),
        (f'statements.open_amounts("{REGISTER}", 0, {40 * DAY}, amounts(), b"")', "6A80"),
        (f'statements.open_amounts("{REGISTER}", 0, {40 * DAY}, amounts(1)[:-1], b"")', "6A80"),
        (f'statements.open_amounts("{REGISTER}", 0, {40 * DAY}, b"", b"")', "6A80"),
        (f'statements.open_amounts("{REGISTER}", 5, 5, amounts(1), b"")', "6A80"),
        (f'statements.bound_unattributed("{REGISTER}", 0, {40 * DAY}, 5000, b"")', "6982"),
        (f'statements.bound_unattributed("{REGISTER}", 9, 9, 5000, b"")', "6A80"),
        (f'statements.open_amounts("{REGISTER}", -5, {40 * DAY}, amounts(1), b"")', "6A80"),
        (f'statements.open_amounts("{REGISTER}", 0, {40 * DAY}, amounts(1), bytes(5000))', "6A84"),
        (
            f'statements.open_amounts("{REGISTER}", 0, {40 * DAY}, bytes(3145736), b"")',
            "6A84",
        ),
        ('calendar.slots("no such", 0, 5)', "6A88"),
        ('calendar.slots("x" * 1000, 0, 5)', "6A88"),
        ('store.put(b"", b"value")', "6A80"),
        ('store.put(b"k" * 257, b"value")', "6A80"),
        ('store.put(b"k", bytes(70_000))', "6A84"),
        (f'readings.read("{REGISTER}", 0, 900)', "6982"),
        ('outputs.set("hours", bytes(4))', "6982"),
    ],
)
def test_what_is_refused_becomes_a_status_word(
    machine: AppletMachine, call: str, status: str
) -> None:
    applet, device = start(machine, f"def process(self, command): self.platform.{call}")
    assert applet.process(command()).hex().upper() == status
    assert applet.is_started
    assert not device.household.released


def test_a_refusal_can_be_caught(machine: AppletMachine) -> None:
    applet, _ = start(
        machine,
        """
def process(self, command):
    try:
        self.platform.calendar.slots("?", 0, 5)
    except Refused as refused:
        return Response(refused.refusal.value.encode())
""",
    )
    assert applet.process(command()) == b"not-found\x90\x00"


def test_the_services_do_what_they_say(machine: AppletMachine) -> None:
    key = Ed25519PrivateKey.generate()
    public, signature = key.public_key().public_bytes_raw(), key.sign(b"message")
    applet, device = start(
        machine,
        f"""
def process(self, command):
    grid = self.platform.calendar.grid()
    assert (grid.zone, grid.slot_minutes) == ("Europe/Berlin", 15)
    assert self.platform.clock.now() == {BEGIN}
    verify = self.platform.signatures.verify_ed25519
    assert verify({public!r}, b"message", {signature!r})
    assert not verify({public!r}, b"massage", {signature!r})
    assert not verify(b"short", b"message", b"")
    self.platform.log.write("two\\nlines and \\x1b[31mred")
    assert self.platform.store.get(b"nothing") is None
    assert self.platform.store.get(b"k" * 100_000) is None
    return Response()
""",
    )
    assert applet.process(command()) == b"\x90\x00"
    assert device.log.lines == ["two", "lines and \N{REPLACEMENT CHARACTER}[31mred"]


def test_a_raw_applet_reads_and_sets_its_outputs(machine: AppletMachine) -> None:
    applet, device = start(
        machine,
        f"""
def process(self, command):
    use = self.platform.readings.read("{REGISTER}", {BEGIN}, {BEGIN + DAY})
    self.platform.outputs.set("hours", sum(use.watt_hours).to_bytes(4, "big"))
    return Response()
""",
        manifest=RAW_MANIFEST,
    )
    assert applet.process(command()) == b"\x90\x00"
    expected = sum(start // 900 % 7 for start in range(BEGIN, BEGIN + DAY, 900))
    assert device.outputs.held == {"hours": expected.to_bytes(4, "big")}


@pytest.mark.parametrize(
    ("call", "status"),
    [
        ('outputs.set("hours", bytes(5))', "6A80"),
        ('outputs.set("minutes", bytes(4))', "6982"),
        (f'statements.open_amounts("{REGISTER}", 0, {40 * DAY}, amounts(1), b"")', "6982"),
    ],
)
def test_a_raw_applet_gets_nothing_else(machine: AppletMachine, call: str, status: str) -> None:
    applet, device = start(
        machine, f"def process(self, command): self.platform.{call}", manifest=RAW_MANIFEST
    )
    assert applet.process(command()).hex().upper() == status
    assert device.outputs.held == {}


def test_time_zones_work_inside_as_they_do_outside(machine: AppletMachine) -> None:
    applet, _ = start(
        machine,
        """
def process(self, command):
    import datetime, zoneinfo
    zone = zoneinfo.ZoneInfo(command.data[8:].decode())
    moment = datetime.datetime.fromtimestamp(int.from_bytes(command.data[:8], "big"), zone)
    return Response(moment.isoformat().encode())
""",
    )
    for name in ("Europe/Berlin", "America/St_Johns", "Asia/Kathmandu", "UTC"):
        for time in (0, BEGIN, 1_711_846_800, 1_729_990_800, 4_000_000_000):
            outside = datetime.datetime.fromtimestamp(time, ZoneInfo(name)).isoformat()
            inside = applet.process(command(data=time.to_bytes(8, "big") + name.encode()))
            assert inside == outside.encode() + b"\x90\x00"


def test_datetime_writes_itself_though_there_is_no_clock(machine: AppletMachine) -> None:
    applet, _ = start(
        machine,
        """
def process(self, command):
    from datetime import UTC, datetime
    moment = datetime.fromtimestamp(int.from_bytes(command.data, "big"), UTC)
    text = moment.strftime("%A %d %B %Y %H:%M:%SZ")
    read = datetime.strptime(text, "%A %d %B %Y %H:%M:%SZ")
    return Response(f"{text} {read.timetuple().tm_yday} {moment:%j}".encode())
""",
    )
    answer = applet.process(command(data=(1_743_296_400).to_bytes(8, "big")))
    assert answer == b"Sunday 30 March 2025 01:00:00Z 89 089\x90\x00"


def test_a_crash_is_shown_with_its_lines(machine: AppletMachine) -> None:
    applet, _ = start(
        machine,
        """
def process(self, command):
    return self.divide(0)

def divide(self, by):
    return 1 // by
""",
    )
    with pytest.raises(AppletFault) as caught:
        applet.process(command())
    assert caught.value.kind is FaultKind.CRASH
    assert str(caught.value) == "sample: crash"
    assert caught.value.response == b"\x64\x00"
    lines = [line.strip() for line in caught.value.detail.splitlines()]
    assert "return self.divide(0)" in lines
    assert "return 1 // by" in lines
    assert lines[-1].startswith("ZeroDivisionError")
    assert not applet.is_started
    assert applet.usage.fuel > 0


def test_a_bundle_that_does_not_compile_is_a_fault(machine: AppletMachine) -> None:
    for body in ("def process(self", "\0", "class Other: pass", "raise ValueError('no')"):
        applet = machine.instance(bundle(body), Device().platform)
        with pytest.raises(AppletFault) as caught:
            applet.process(command())
        assert caught.value.kind is FaultKind.BAD_CODE, caught.value.detail


def test_a_package_of_version_0_1_asks_for_a_sum_and_gets_the_parts_of_a_proof(
    machine: AppletMachine,
) -> None:
    applet, device = start(
        machine,
        f"""
def process(self, command):
    begin, end = {BEGIN}, {BEGIN + 31 * DAY}
    weights = [0, 5, 5, -3] * (31 * 24)
    opened = self.platform.statements.open_linear("{REGISTER}", begin, end, weights, b"tariff")
    assert opened.certified_days == (b"day" * 2_000,) * 31
    assert (opened.opening, opened.digest) == (b"p" * 32, b"p" * 32)
    return Response(opened.value.to_bytes(8, "big", signed=True))
""",
    )
    starts = range(BEGIN, BEGIN + 31 * DAY, 900)
    value = sum((0, 5, 5, -3)[n % 4] * (start // 900 % 7) for n, start in enumerate(starts))
    assert applet.process(command()) == value.to_bytes(8, "big", signed=True) + b"\x90\x00"
    assert device.household.released == [(BEGIN, BEGIN + 31 * DAY, b"tariff")]


@pytest.mark.parametrize(
    ("weights", "status"), [("[2**63]", "6A80"), ("[]", "6A80"), ("[1] * 769", "6A80")]
)
def test_what_such_a_package_asks_wrongly_is_refused(
    machine: AppletMachine, weights: str, status: str
) -> None:
    call = f'self.platform.statements.open_linear("{REGISTER}", 0, {8 * DAY}, {weights}, b"")'
    applet, _ = start(machine, f"def process(self, command): {call}")
    assert applet.process(command()).hex().upper() == status


def test_a_syntax_error_is_shown_with_its_line(machine: AppletMachine) -> None:
    for body, line in (("def process(self:", "def process(self:"), ("return 7", "return 7")):
        applet = machine.instance(bundle(body), Device().platform)
        with pytest.raises(AppletFault) as caught:
            applet.process(command())
        assert line in caught.value.detail
        assert 'File "sample/applet.py", line 5' in caught.value.detail


def test_an_applet_brings_packages_of_its_own(machine: AppletMachine) -> None:
    from hub.machine.bundle import Bundle
    from tests.support.applet_machine import MANIFEST

    files = {
        "acme/__init__.py": b"",
        "acme/heat/__init__.py": b"FACTOR = 3",
        "acme/heat/applet.py": b"from applets.sdk import *\nfrom . import FACTOR\n"
        b"from helpers.sums import double\n"
        b"class Heat(Applet):\n"
        b"    def process(self, command): return Response(bytes([double(FACTOR)]))",
        "helpers/__init__.py": b"",
        "helpers/sums.py": b"def double(x): return 2 * x",
    }
    text = MANIFEST.format(limits="").replace('package = "sample"', 'package = "acme.heat"')
    applet = machine.instance(Bundle(text, files), Device().platform)
    assert applet.process(command()) == b"\x06\x90\x00"


class _Bug(Exception):
    pass


class _BuggyHousehold:
    def open_numbers(self, *_: object) -> OpenedNumbers:
        raise NotImplementedError

    def carry_numbers(self, *_: object) -> CarriedNumbers:
        raise NotImplementedError

    def open_amounts(self, *_: object) -> OpenedAmounts:
        raise _Bug("ours")

    def bound_unattributed(self, *_: object) -> BoundedEnergy:
        raise _Bug("ours")


def test_a_bug_of_ours_is_not_blamed_on_the_applet(machine: AppletMachine) -> None:
    device = Device()
    good = device.platform
    platform = Platform(
        _BuggyHousehold(), good.calendar, good.store, good.clock, good.signatures, good.log
    )
    body = f"""
def process(self, command):
    if command.ins:
        return Response(b"fine")
    try:
        self.platform.statements.open_amounts("{REGISTER}", 0, {40 * DAY}, amounts(1), b"")
    except BaseException:
        return Response(b"hidden")
"""
    applet = machine.instance(bundle(body), platform)
    with pytest.raises(_Bug, match="ours"):
        applet.process(command())
    assert applet.process(command(1)) == b"fine\x90\x00"


def test_an_applet_cannot_be_asked_while_it_answers(machine: AppletMachine) -> None:
    device = Device()

    class Reentrant:
        def now(self) -> int:
            applet.process(command())
            return 0

    good = device.platform
    platform = Platform(
        good.statements, good.calendar, good.store, Reentrant(), good.signatures, good.log
    )
    applet = machine.instance(
        bundle("def process(self, command): self.platform.clock.now()"), platform
    )
    with pytest.raises(RuntimeError, match="while it is answering"):
        applet.process(command())


def test_a_command_too_long_for_any_card_is_refused(machine: AppletMachine) -> None:
    applet, _ = start(machine, ECHO)
    with pytest.raises(ValueError, match="at most"):
        applet.process(bytes(300_000))


def test_fuel_is_the_same_every_time(machine: AppletMachine) -> None:
    body = """
def process(self, command):
    table = {str(number): number for number in range(1000)}
    return Response(sum(table.values()).to_bytes(4, "big"))
"""
    used = set()
    for _ in range(3):
        applet, _ = start(machine, body)
        applet.process(command())
        used.add(applet.usage.fuel)
    assert len(used) == 1


def test_instances_share_nothing(machine: AppletMachine) -> None:
    body = """
def process(self, command):
    import json
    seen = getattr(json, "mark", b"none")
    json.mark = b"marked"
    return Response(seen)
"""
    first, _ = start(machine, body)
    second, _ = start(machine, body)
    assert first.process(command()) == b"none\x90\x00"
    assert first.process(command()) == b"marked\x90\x00"
    assert second.process(command()) == b"none\x90\x00"


def test_what_crosses_is_freed_again(machine: AppletMachine) -> None:
    applet, _ = start(
        machine,
        """
count = 0
def process(self, command):
    Sample.count += 1
    self.platform.store.put(b"key", bytes(30_000))
    self.platform.store.get(b"key")
    return Response(bytes(200_000) + Sample.count.to_bytes(2, "big"))
""",
        limits="memory_bytes = 33_554_432\ncommands_per_minute = 1_000",
    )
    for count in range(1, 401):  # 80 MB out, 12 MB in and out, in 32 MB of memory
        assert applet.process(command())[-4:-2] == count.to_bytes(2, "big")


def test_integers_cross_the_edge_packed(machine: AppletMachine) -> None:
    applet, device = start(
        machine,
        f"""
def process(self, command):
    import struct
    slots = self.platform.calendar.slots("{REGISTER}", {BEGIN}, {BEGIN + DAY})
    return Response(struct.pack(f"<{{len(slots.starts)}}q", *slots.starts) + slots.states)
""",
    )
    slots = device.household.slots(REGISTER, BEGIN, BEGIN + DAY)
    assert applet.process(command())[:-2] == struct.pack("<96q", *slots.starts) + slots.states
