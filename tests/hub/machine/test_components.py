# SPDX-License-Identifier: Apache-2.0
"""Applets that are not Python: a component that fits the contract runs like any other."""

from pathlib import Path
from typing import Final

import pytest
import wasmtime
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hub.machine import limits
from hub.machine.bundle import Bundle, build_bundle
from hub.machine.errors import AppletFault, BundleError, FaultKind
from hub.machine.instance import AppletInstance
from hub.machine.machine import AppletMachine
from tests.hub.machine.test_contract import SHARER
from tests.support.applet_machine import BEGIN, MANIFEST, Device, command

COUNTER: Final = bytes(
    wasmtime.wat2wasm((Path(__file__).parent / "components" / "counter.wat").read_text())
)


def manifest(text: str = "") -> str:
    return MANIFEST.format(limits=text).replace('runtime = "python"', 'runtime = "component"')


@pytest.fixture
def device() -> Device:
    return Device()


@pytest.fixture
def counter(machine: AppletMachine, device: Device) -> AppletInstance:
    text = manifest("fuel = 200_000_000\nmemory_bytes = 8_388_608")
    return machine.instance(Bundle(text, {"applet.wasm": COUNTER}), device.platform)


def kind_of(applet: AppletInstance, how: int) -> FaultKind:
    with pytest.raises(AppletFault) as caught:
        applet.process(bytes((0xFF, how, 0, 0)))
    return caught.value.kind


def test_a_component_answers_like_any_applet(counter: AppletInstance, device: Device) -> None:
    assert counter.install(b"") == b"\x90\x00"
    assert counter.select() == b"\x90\x00"
    for times in (1, 2, 3):
        response = counter.process(command(data=b"hello"))
        assert response[:8] == BEGIN.to_bytes(8, "big")
        assert response[8] == times
        assert response[9:] == command(data=b"hello") + b"\x90\x00"
    assert device.log.lines == ["asked"] * 3
    counter.deselect()
    assert counter.uninstall() == b"\x90\x00"
    assert counter.process(bytes(40_000))[9:-2] == bytes(40_000)
    assert counter.usage.host_calls == 2


def test_a_component_without_sharing_shares_nothing(counter: AppletInstance) -> None:
    assert counter.grants(b"client", 1) is False
    assert counter.process(command())[8] == 1


def test_a_component_shares_like_any_applet(machine: AppletMachine, device: Device) -> None:
    text = SHARER.replace(
        '(memory (export "memory") 1)',
        '(memory (export "memory") 1)'
        ' (data (i32.const 64) "\\00\\00\\00\\00\\01")'  # result: ok, true
        ' (data (i32.const 128) "\\00\\00\\00\\00\\90\\00\\00\\00\\05\\00\\00\\00")'
        ' (data (i32.const 144) "hello")',
    )
    served = '"served") (param i32 i32 i32 i32 i32) (result i32) i32.const '
    text = text.replace(served + "64", served + "128")
    code = bytes(wasmtime.wat2wasm(f"(component {text})"))
    sharer = machine.instance(Bundle(manifest(), {"applet.wasm": code}), device.platform)
    assert sharer.grants(b"client", 1) is True
    assert sharer.serve(b"client", 1, b"request") == b"hello"


def test_a_component_that_misbehaves_is_ended(counter: AppletInstance) -> None:
    assert kind_of(counter, 0) is FaultKind.OUT_OF_FUEL
    assert kind_of(counter, 1) is FaultKind.TRAP
    assert kind_of(counter, 2) is FaultKind.TRAP
    assert kind_of(counter, 4) is FaultKind.BAD_ANSWER
    assert kind_of(counter, 5) is FaultKind.CRASH
    assert counter.process(command())[8] == 1


@pytest.mark.parametrize("how", range(7, 14))
def test_malformed_values_are_a_trap(counter: AppletInstance, device: Device, how: int) -> None:
    assert kind_of(counter, how) is FaultKind.TRAP
    assert device.log.lines == []
    assert counter.process(command())[8] == 1


def test_a_components_memory_is_limited(counter: AppletInstance) -> None:
    pages = int.from_bytes(counter.process(b"\xff\3\0\0")[:4], "little")
    assert 100 < pages <= 128


def test_time_ends_a_component_that_its_fuel_would_not(
    machine: AppletMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MAX_SECONDS", 0.3)
    text = manifest("fuel = 1_000_000_000_000")
    slow = machine.instance(Bundle(text, {"applet.wasm": COUNTER}), Device().platform)
    assert kind_of(slow, 0) is FaultKind.OUT_OF_TIME
    assert kind_of(slow, 6) is FaultKind.OUT_OF_TIME
    assert slow.process(command())[8] == 1


def test_compiled_components_are_kept(machine: AppletMachine, device: Device) -> None:
    bundle = Bundle(manifest(), {"applet.wasm": COUNTER})
    machine.compile(bundle)
    kept = machine._cached(bundle.digest, "cwasm")
    assert kept.exists()
    again = AppletMachine.open().instance(bundle, device.platform)
    assert again.process(command())[8] == 1


@pytest.mark.parametrize(
    "code",
    [
        b"",
        b"garbage",
        COUNTER[:-100],
        bytes(wasmtime.wat2wasm("(module)")),
        bytes(wasmtime.wat2wasm("(component)")),
        bytes(wasmtime.wat2wasm('(component (import "wasi:cli/stdout@0.2.0" (instance)))')),
    ],
)
def test_what_is_no_fitting_component_is_bad_code(
    machine: AppletMachine, device: Device, code: bytes
) -> None:
    applet = machine.instance(Bundle(manifest(), {"applet.wasm": code}), device.platform)
    with pytest.raises(AppletFault) as caught:
        applet.process(command())
    assert caught.value.kind is FaultKind.BAD_CODE


def test_a_component_of_version_0_1_is_refused_with_a_line_that_says_to_build_it_again(
    machine: AppletMachine, device: Device
) -> None:
    asks = """(component (import "meterlet:platform/statements@0.1.0"
        (instance (export "open-linear" (func)))))"""
    files = {"applet.wasm": bytes(wasmtime.wat2wasm(asks))}
    applet = machine.instance(Bundle(manifest(), files), device.platform)
    with pytest.raises(AppletFault) as caught:
        applet.process(command())
    assert caught.value.kind is FaultKind.BAD_CODE
    assert caught.value.detail.endswith(": build it again, with `open-amounts`")


def test_a_component_that_starts_too_large_is_bad_code(
    machine: AppletMachine, device: Device
) -> None:
    huge = COUNTER_TEXT.replace('(memory (export "memory") 1)', '(memory (export "memory") 30000)')
    files = {"applet.wasm": bytes(wasmtime.wat2wasm(huge))}
    applet = machine.instance(Bundle(manifest(), files), device.platform)
    with pytest.raises(AppletFault) as caught:
        applet.process(command())
    assert caught.value.kind is FaultKind.BAD_CODE


COUNTER_TEXT: Final = (Path(__file__).parent / "components" / "counter.wat").read_text()


def test_a_folder_with_a_component_becomes_a_bundle(tmp_path: Path) -> None:
    key = Ed25519PrivateKey.generate()
    (tmp_path / "manifest.toml").write_text(manifest())
    with pytest.raises(BundleError, match=r"applet\.wasm"):
        build_bundle(tmp_path, key, b"key")
    (tmp_path / "applet.wasm").write_bytes(COUNTER)
    made = Bundle.decode(build_bundle(tmp_path, key, b"key"), {b"key": key.public_key()})
    assert made.files == {"applet.wasm": COUNTER}
    with pytest.raises(BundleError, match="one file"):
        Bundle(manifest(), {"applet.wasm": COUNTER, "more.py": b""})
