# SPDX-License-Identifier: Apache-2.0
"""Applets that import libraries: one program, with the applet's rights and limits."""

from pathlib import Path

import pytest
import wasmtime
from hypothesis import given
from hypothesis import strategies as st

from hub.machine.bundle import Bundle, fits
from hub.machine.errors import AppletFault, BundleError, FaultKind, ManifestError
from hub.machine.instance import AppletInstance
from hub.machine.library import Library, build_library, is_library
from hub.machine.machine import AppletMachine
from hub.machine.manifest import Manifest
from tests.support.applet_machine import BEGIN, MANIFEST, VENDOR, VENDOR_KEYS, Device, command
from tests.support.components import (
    IMPORTED,
    LIBRARY,
    PACKAGE,
    SHAPES,
    SIGNER,
    SUMS,
    TOOLS,
    applet,
    importing,
    library,
    tools,
)


@pytest.fixture
def device() -> Device:
    return Device()


@pytest.fixture
def composed(machine: AppletMachine, device: Device) -> AppletInstance:
    bundle = applet({"applet.wasm": importing()}, "component").linked([tools()], SIGNER)
    return machine.instance(bundle, device.platform)


def work(composed: AppletInstance, how: int) -> int:
    return int.from_bytes(composed.process(bytes((0xFE, how, 0, 0)))[:4], "little")


def kind_of(composed: AppletInstance, how: int) -> FaultKind:
    with pytest.raises(AppletFault) as caught:
        work(composed, how)
    return caught.value.kind


def test_an_applet_of_python_runs_with_what_it_imports(
    machine: AppletMachine, device: Device
) -> None:
    linked = applet().linked([library()], SIGNER)
    running = machine.instance(linked, device.platform)
    assert running.process(command(data=b"\x01\x02\x03")) == b"\x06\x90\x00"
    assert [running.process(command(2))[0] for _ in range(2)] == [1, 2]
    running.discard()  # what a library remembers is the instance's, and goes with it
    assert running.process(command(2))[0] == 1


def test_a_library_of_python_has_no_more_rights_than_the_applet(
    machine: AppletMachine, device: Device
) -> None:
    running = machine.instance(applet().linked([library()], SIGNER), device.platform)
    assert running.process(command(1))[-2:] == b"\x69\x82"  # it may read no readings


def test_an_applet_that_is_not_linked_does_not_run(machine: AppletMachine, device: Device) -> None:
    with pytest.raises(AppletFault) as caught:
        machine.instance(applet(), device.platform).process(command())
    assert caught.value.kind is FaultKind.BAD_CODE
    alone = applet({"applet.wasm": importing()}, "component")
    with pytest.raises(AppletFault, match="bad code") as caught:
        machine.instance(alone, device.platform).process(command())
    assert "vendor:tools/tools@1.0.0, which the platform has not" in caught.value.detail


def test_components_are_put_together(composed: AppletInstance, device: Device) -> None:
    assert work(composed, 21) == 42
    data = b"\xfd" + bytes(range(200))
    assert int.from_bytes(composed.process(data)[:4], "little") == sum(data)
    assert [work(composed, 4) for _ in range(3)] == [1, 2, 3]
    composed.discard()
    assert work(composed, 4) == 1
    assert composed.process(command(data=b"x"))[:8] == BEGIN.to_bytes(8, "big")


def test_a_librarys_calls_arrive_at_the_applets_platform(
    composed: AppletInstance, device: Device
) -> None:
    assert work(composed, 3) == 1
    assert device.log.lines == ["a library"]
    assert work(composed, 5) == BEGIN
    assert composed.usage.host_calls == 1


def test_a_library_burns_the_applets_fuel_and_its_faults_are_the_applets(
    composed: AppletInstance,
) -> None:
    assert kind_of(composed, 0) is FaultKind.OUT_OF_FUEL
    assert kind_of(composed, 1) is FaultKind.TRAP
    assert work(composed, 21) == 42
    light = composed.usage.fuel
    composed.process(b"\xfd" + bytes(4000))
    assert composed.usage.fuel - light > 4_000_000  # each byte that crosses has its price
    assert int.from_bytes(composed.process(b"\xfc\xa0")[:4], "little") == 0xA000
    assert composed.usage.fuel - light > 0xA000 * 1000


def test_an_answer_that_cannot_be_paid_for_is_not_handed_over(
    machine: AppletMachine, device: Device
) -> None:
    bundle = applet({"applet.wasm": importing()}, "component")
    text = bundle.manifest_text.replace("3_000_000_000", "30_000_000")
    poor = Bundle(text, bundle.files).linked([tools()], SIGNER)
    running = machine.instance(poor, device.platform)
    for _ in range(3):
        with pytest.raises(AppletFault) as caught:
            running.process(b"\xfc\xa0")
        assert caught.value.kind is FaultKind.OUT_OF_FUEL
    assert int.from_bytes(running.process(b"\xfc\x10")[:4], "little") == 0x1000


def test_a_librarys_memory_counts_as_the_applets(composed: AppletInstance) -> None:
    theirs = work(composed, 2)
    ours = int.from_bytes(composed.process(b"\xff\3\0\0")[:4], "little")
    assert 400 < theirs <= 512
    assert (ours + theirs) * 65_536 <= 67_108_864


@pytest.mark.parametrize(
    ("shapes", "reason"),
    [
        (SHAPES.replace("(result u32)", "(result u64)", 1), "another work"),
        (SHAPES.replace('(param "how" u32)', ""), "another work"),
        (SHAPES.replace('"measure"', '"size"'), "another size, or none"),
    ],
)
def test_what_a_library_does_not_export_like_this_is_told(
    machine: AppletMachine, device: Device, shapes: str, reason: str
) -> None:
    source = f"""(component (import "vendor:tools/tools@1.0.0" {shapes}))"""
    code = {"applet.wasm": bytes(wasmtime.wat2wasm(source))}
    bundle = applet(code, "component").linked([tools()], SIGNER)
    with pytest.raises(AppletFault) as caught:
        machine.compile(bundle)
    assert reason in caught.value.detail


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (TOOLS.replace("vendor:tools/tools@1.0.0", "meterlet:platform/log@0.1.0"), "stand in"),
        (
            TOOLS.replace("(result u32)\n    (canon", "(result (option u32))\n    (canon"),
            "carries more",
        ),
        ("(component)", "exports no interface"),
        ('(component (import "wasi:io/poll@0.2.0" (instance)))', "wasi:io/poll"),
    ],
)
def test_a_library_is_held_to_what_libraries_may_be(
    machine: AppletMachine, source: str, reason: str
) -> None:
    bundle = applet({"applet.wasm": importing()}, "component").linked([tools(source)], SIGNER)
    with pytest.raises(AppletFault) as caught:
        machine.compile(bundle)
    assert reason in caught.value.detail


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (library(version="1.1.9"), "has version 1.1.9"),
        (library(version="2.2.0"), "has version 2.2.0"),
        (library(signer=b"another"), "another's"),
        (tools(), "another runtime"),
        (library({"sample/applet.py": b"", "tools/sums.py": b""}), "sample/applet.py"),
    ],
)
def test_a_library_that_is_not_meant_is_refused(made: Library, reason: str) -> None:
    with pytest.raises(BundleError, match=reason):
        applet().linked([made], SIGNER)
    with pytest.raises(BundleError, match="that its manifest names"):
        applet().linked([], SIGNER)


def test_the_digest_names_all_that_runs() -> None:
    alone, first, second = (
        applet(),
        applet().linked([library()], SIGNER),
        applet().linked([library(version="1.2.1")], SIGNER),
    )
    assert len({alone.digest, first.digest, second.digest}) == 3
    assert first.digest == applet().linked([library()], SIGNER).digest


@given(st.binary(min_size=2, max_size=2), st.binary(min_size=2, max_size=2))
def test_a_later_minor_version_fits_and_no_other(wanted: bytes, there: bytes) -> None:
    assert fits(wanted, there) == (wanted[0] == there[0] and wanted[1] <= there[1])


def test_a_library_is_built_signed_and_read(tmp_path: Path) -> None:
    folder = tmp_path / "tools"
    folder.mkdir()
    (folder / "manifest.toml").write_text(LIBRARY.format(version="1.2.3", runtime="python"))
    (folder / "sums.py").write_text(SUMS)
    content = build_library(folder, VENDOR, SIGNER)
    assert is_library(content)
    made = Library.decode(content, VENDOR_KEYS)
    assert (made.manifest.aid, made.version) == (PACKAGE, b"\x01\x02")
    assert (made.signer, set(made.files)) == (SIGNER, {"tools/sums.py", "tools/__init__.py"})
    with pytest.raises(BundleError):
        Library.decode(content, {})
    altered = content.replace(b"% 256", b"% 255")
    with pytest.raises(BundleError, match="signature"):
        Library.decode(altered, VENDOR_KEYS)
    with pytest.raises(BundleError):
        Bundle.decode(content, VENDOR_KEYS)
    assert not is_library(Bundle(applet().manifest_text, applet().files).sign(VENDOR, SIGNER))


@given(st.binary(max_size=80))
def test_any_bytes_are_no_library(noise: bytes) -> None:
    assert not is_library(noise)
    with pytest.raises(BundleError):
        Library.decode(noise, VENDOR_KEYS)


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ('version = "1.2"', 'version = "1.2.0"', "version"),
        ('version = "1.2"', 'version = "1"', "version"),
        ("F0534D48EE", "F053", "package"),
        ("[[libraries]]", IMPORTED + "\n[[libraries]]", "libraries"),
        ('version = "1.2"', 'version = "1.2"\nrights = "all"', "rights"),
    ],
)
def test_an_import_is_read_strictly(old: str, new: str, key: str) -> None:
    text = MANIFEST.format(limits="") + IMPORTED.replace(old, new)
    with pytest.raises(ManifestError, match=key):
        Manifest.from_toml(text)


def test_a_manifest_with_imports_is_read_back() -> None:
    manifest = applet().manifest
    assert Manifest.from_tables(manifest.to_tables()) == manifest


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('kind = "library"', 'kind = "applet"'),
        ('kind = "library"', ""),
        ('vendor = "Testers"', 'vendor = "Testers"\nrecipient = "supplier"'),
        ('aid = "F0534D48EE"', 'aid = "F053"'),
    ],
)
def test_a_librarys_manifest_gives_no_rights(old: str, new: str) -> None:
    text = LIBRARY.format(version="1.0.0", runtime="python").replace(old, new)
    with pytest.raises(ManifestError):
        Library(text, {"tools/sums.py": b""}, SIGNER)


@pytest.mark.parametrize("path", ["sums.py", "os/path.py", "applets/sdk/x.py", "../x.py"])
def test_a_library_replaces_no_module_of_the_platform(path: str) -> None:
    with pytest.raises(BundleError):
        library({path: b""})
