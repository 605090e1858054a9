# SPDX-License-Identifier: Apache-2.0
"""A vendor's component makes the hub work by what it hands over, and by how it starts.

The promise: wasmtime copies the values of a call before the hub hears of it, and that is paid for
as the rest is. Where a command's fuel is too little, the applet's minute owes it. One call copies
no more than `limits.MAX_COPIED`, and all memories together are no larger than the manifest says.
"""

import time
import tracemalloc
from collections.abc import Mapping
from typing import Final

import pytest
import wasmtime

from hub.machine import limits
from hub.machine.bundle import Bundle
from hub.machine.errors import AppletFault, FaultKind
from hub.machine.instance import AppletInstance
from hub.machine.machine import AppletMachine
from hub.machine.meter import WorkMeter
from tests.support.applet_machine import BEGIN, Device, bundle
from tests.support.components import COUNTER, SIGNER, TOOLS, applet, importing, tools

FUEL: Final = 5_000_000
"""A two-thousandth of a second's worth: what the attacker pays where nothing is owed."""
UNIT: Final = 10_000
LIBRARY, PLATFORM, ANSWER, TEXT, NO_TEXT = (bytes((0xFB, number)) for number in range(5))
"""Commands that hand as many units of bytes to a library, to the platform or to the hub, or as many
of text, or of what is no UTF-8, to the platform's log."""
HANDS_OVER: Final = f"""(local $out i32)
  (if (i32.eq (i32.load8_u (local.get $command)) (i32.const 0xFB))
    (then
      (drop (memory.grow (i32.const 440)))
      (local.set $out
        (i32.mul (i32.load16_u offset=2 (local.get $command)) (i32.const {UNIT})))
      (if (i32.eq (i32.load8_u offset=1 (local.get $command)) (i32.const 0))
        (then (drop (call $measure (i32.const 0) (local.get $out)))))
      (if (i32.eq (i32.load8_u offset=1 (local.get $command)) (i32.const 1))
        (then (drop (call $verify (i32.const 0) (i32.const 32) (i32.const 0) (local.get $out)
          (i32.const 0) (i32.const 64)))))
      (if (i32.eq (i32.load8_u offset=1 (local.get $command)) (i32.const 2))
        (then (return (call $answer (i32.const 0) (i32.const 100) (local.get $out)))))
      (if (i32.eq (i32.load8_u offset=1 (local.get $command)) (i32.const 3))
        (then (call $write (i32.const 131072) (local.get $out))))
      (if (i32.eq (i32.load8_u offset=1 (local.get $command)) (i32.const 4))
        (then (call $write (i32.const 80) (local.get $out))))
      (return (call $success))))"""
SIGNATURES: Final = """(import "meterlet:platform/signatures@0.1.0" (instance $signatures
    (export "verify-ed25519" (func (param "public-key" (list u8)) (param "message" (list u8))
      (param "signature" (list u8)) (result bool)))))
  (core module $memory_of"""
SPIN: Final = """
    (func $spin (local $left i32)
      (local.set $left (i32.const 10_000_000))
      (loop $next
        (br_if $next (local.tee $left (i32.sub (local.get $left) (i32.const 1))))){end})
    (start $spin)
    (global $count"""
SECOND: Final = """(core module $second (memory (export "memory") 1))
  (core instance $two (instantiate $second))
  (core instance $memory (instantiate $memory_of))"""


def handing_over(changes: Mapping[str, str] | None = None) -> bytes:
    needed = {
        "(local $out i32)": HANDS_OVER,
        "(core module $memory_of": SIGNATURES,
        "(core func $now": '(core func $verify (canon lower (func $signatures "verify-ed25519")'
        ' (memory (core memory $memory "memory"))))\n  (core func $now',
        '(import "hub" "now"': '(import "hub" "verify"'
        " (func $verify (param i32 i32 i32 i32 i32 i32) (result i32)))\n"
        '    (import "hub" "now"',
        '(export "now" (func $now))': '(export "now" (func $now)) (export "verify" (func $verify))',
    }
    return importing(changes={**needed, **(changes or {})})


def with_limits(bundle: Bundle, fuel: int, a_minute: int = 10**12) -> Bundle:
    text = bundle.manifest_text.replace(
        "fuel = 3_000_000_000", f"fuel = {fuel}\nfuel_per_minute = {a_minute}"
    )
    return Bundle(text, bundle.files)


def linked(machine: AppletMachine, fuel: int, a_minute: int = 10**12) -> AppletInstance:
    package = with_limits(applet({"applet.wasm": handing_over()}, "component"), fuel, a_minute)
    return machine.instance(package.linked([tools()], SIGNER), Device().platform)


def fault_of(instance: AppletInstance, command: bytes, units: int) -> AppletFault:
    with pytest.raises(AppletFault) as caught:
        instance.process(command + units.to_bytes(2, "little"))
    return caught.value


@pytest.mark.parametrize("command", [LIBRARY, PLATFORM, ANSWER, TEXT])
def test_what_the_tank_cannot_pay_for_the_minute_owes(
    machine: AppletMachine, command: bytes
) -> None:
    instance = linked(machine, FUEL, a_minute=500_000_000)
    instance.process(TEXT + b"\0\0")
    begun, kinds = time.process_time(), []
    for _ in range(20):
        kinds.append(fault_of(instance, command, 100).kind)
        if len(kinds) == 1:
            assert instance.usage.fuel >= 100 * UNIT * limits.CALL_FUEL_BYTE
    first = FaultKind.BAD_ANSWER if command == ANSWER else FaultKind.OUT_OF_FUEL
    assert kinds == [first] + 19 * [FaultKind.OUT_OF_ALLOWANCE]
    assert time.process_time() - begun < 0.5


def test_the_debt_lasts_until_the_minutes_have_paid_it(machine: AppletMachine) -> None:
    device = Device()
    package = with_limits(applet({"applet.wasm": handing_over()}, "component"), FUEL, 100_000_000)
    instance = machine.instance(package.linked([tools()], SIGNER), device.platform)
    assert fault_of(instance, LIBRARY, 100).kind is FaultKind.OUT_OF_FUEL
    for minute in range(1, 10):
        device.clock.time = BEGIN + 60 * minute
        assert fault_of(instance, LIBRARY, 100).kind is FaultKind.OUT_OF_ALLOWANCE
    device.clock.time = BEGIN + 60 * 11
    assert instance.process(TEXT + b"\0\0") == b"\x90\0"


def test_between_applet_and_library_a_mebibyte_crosses_and_no_more(machine: AppletMachine) -> None:
    instance = linked(machine, 8_000_000_000)
    fault = fault_of(instance, LIBRARY, limits.MAX_CARRIED // UNIT + 1)
    assert (fault.kind, "carries at most" in fault.detail) == (FaultKind.TRAP, True)


@pytest.mark.parametrize("command", [LIBRARY, PLATFORM, ANSWER])
def test_a_call_copies_no_more_than_is_written_down(machine: AppletMachine, command: bytes) -> None:
    instance = linked(machine, 8_000_000_000)
    most = limits.MAX_COPIED // UNIT - (command == PLATFORM)
    assert "too much data" not in fault_or_answer(instance, command, most)
    begun = time.process_time()
    for units in (most + 2, 2_500):
        assert "too much data" in fault_of(instance, command, units).detail
        assert instance.usage.fuel >= limits.MAX_COPIED * limits.CALL_FUEL_BYTE
    assert time.process_time() - begun < 0.2  # it is refused before it is copied


def test_a_text_is_copied_no_more_often_than_it_must_be(machine: AppletMachine) -> None:
    instance = linked(machine, 8_000_000_000)
    units = limits.MAX_ARGUMENTS // UNIT + 1
    fault = fault_of(instance, TEXT, units)
    assert (fault.kind, "carries at most" in fault.detail) == (FaultKind.TRAP, True)
    assert instance.usage.fuel >= units * UNIT * limits.CALL_FUEL_BYTE
    tracemalloc.start()
    try:
        assert fault_of(instance, TEXT, 2_500).kind is FaultKind.OUT_OF_FUEL
        assert tracemalloc.get_traced_memory()[1] < 2 << 20
    finally:
        tracemalloc.stop()
    assert instance.usage.fuel >= 2_500 * UNIT * limits.CALL_FUEL_BYTE


def test_a_server_that_owes_more_than_its_client_pays_owes_it_itself(
    machine: AppletMachine,
) -> None:
    body = """
def process(self, command): return Response()
def serve(self, client, service, request): self.platform.log.write("x" * 3_000_000)
"""
    text = bundle(body, limits="fuel = 2_000_000_000\nfuel_per_minute = 500_000_000")
    server, payer, tank = machine.instance(text, Device().platform), WorkMeter(), [1_000_000_000]
    server.start()

    def take(fuel: int) -> int:
        tank[0] -= fuel
        return tank[0]

    payer.put_in(take)
    with pytest.raises(AppletFault) as caught:
        server.serve(b"client", 1, b"", payer)
    assert caught.value.kind is FaultKind.OUT_OF_FUEL
    assert server.usage.fuel >= 3_000_000 * limits.CALL_FUEL_BYTE
    assert tank == [500_000_000]  # the client is left with enough to hear that it broke
    with pytest.raises(AppletFault) as caught:
        server.serve(b"client", 1, b"", payer)
    assert caught.value.kind is FaultKind.OUT_OF_ALLOWANCE


def test_what_wasmtime_does_not_take_is_paid_for_whatever_the_vendor_calls_it(
    machine: AppletMachine,
) -> None:
    name = "wasm trap: unreachable\\nCaused by:\\n    wasm trap: unreachable"
    code = handing_over({'(func (export "process")': f'(func (@name "{name}") (export "process")'})
    package = with_limits(applet({"applet.wasm": code}, "component"), FUEL)
    instance = machine.instance(package.linked([tools()], SIGNER), Device().platform)
    for command in (NO_TEXT, LIBRARY):
        fault = fault_of(instance, command, 2_500)
        assert "Caused by:\n    wasm trap: unreachable" in fault.detail
        assert instance.usage.fuel >= limits.MAX_COPIED * limits.CALL_FUEL_BYTE


def fault_or_answer(instance: AppletInstance, command: bytes, units: int) -> str:
    try:
        return instance.process(command + units.to_bytes(2, "little")).hex()
    except AppletFault as fault:
        return fault.detail


@pytest.mark.parametrize("end", ["", " unreachable"])
def test_a_start_is_paid_for_whether_it_comes_to_its_end_or_not(
    machine: AppletMachine, end: str
) -> None:
    source = COUNTER.replace("(global $count", SPIN.replace("{end}", end), 1)
    text = applet().manifest_text.replace('runtime = "python"', 'runtime = "component"')
    text = text[: text.index("[[libraries]]")]
    files = {"applet.wasm": bytes(wasmtime.wat2wasm(source))}
    package = with_limits(Bundle(text, files), FUEL, 10_000_000)
    instance = machine.instance(package, Device().platform)
    with pytest.raises(AppletFault) as caught:
        instance.process(b"\xff\1")
    assert caught.value.kind is (FaultKind.BAD_CODE if end else FaultKind.TRAP)
    with pytest.raises(AppletFault) as caught:
        instance.process(b"\xff\1")
    assert caught.value.kind is FaultKind.OUT_OF_ALLOWANCE
    with pytest.raises(AppletFault) as caught:  # nor when another applet asks
        instance.grants(b"client", 1)
    assert caught.value.kind is FaultKind.OUT_OF_ALLOWANCE


@pytest.mark.parametrize("where", ["applet", "library"])
def test_a_second_memory_is_no_way_to_more(machine: AppletMachine, where: str) -> None:
    first = "(core instance $memory (instantiate $memory_of))"
    library = tools(TOOLS.replace(first, SECOND, 1) if where == "library" else TOOLS)
    code = importing(changes={first: SECOND} if where == "applet" else {})
    package = applet({"applet.wasm": code}, "component").linked([library], SIGNER)
    with pytest.raises(AppletFault) as caught:
        machine.instance(package, Device().platform).process(b"\xfe\2\0\0")
    assert (caught.value.kind, "memory" in caught.value.detail) == (FaultKind.BAD_CODE, True)
