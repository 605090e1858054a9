# SPDX-License-Identifier: Apache-2.0
"""The WIT file, the machine's tables and the SDK say the same."""

import inspect
import re
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Final, Protocol

import pytest
import wasmtime
from wasmtime import component

import applets.sdk
from applets.sdk.testing import FakePlatform, Household, NativeCard
from hub.applet_host.aggregation import HubAggregation
from hub.applet_host.peers import AppletPeers, AppletTransactions
from hub.applet_host.services import HubCalendar, HubClock, HubReadings
from hub.applet_host.statements import HubStatements
from hub.applet_host.store import AppletStore, HubLog
from hub.machine import contract, host_calls
from hub.machine._engine import new_engine
from hub.machine.ed25519 import Ed25519Signatures
from hub.machine.errors import AppletFault, ContractBroken
from hub.machine.machine import AppletMachine
from hub.machine.raw import OutputBoard
from protocols.platform import errors as platform_errors
from protocols.platform import services as platform_services
from protocols.platform.errors import Refusal
from protocols.platform.rows import Needs, Size, refusable
from protocols.platform.services import MAX_PEER_MESSAGE, Platform
from protocols.platform.table import IMPORTS, PlatformInterface
from protocols.platform.wit import platform_wit
from tests.support.applet_machine import Device, bundle, command

WIT: Final = Path(contract.__file__).parent / "wit" / "platform.wit"
FUNCTIONS: Final = re.compile(r"^    ([\w-]+): func", re.MULTILINE)
BYTES: Final = "(list u8)"


def test_the_tables_name_what_the_wit_file_names() -> None:
    text = WIT.read_text()
    interfaces = dict(re.findall(r"^interface (\w+) \{(.*?)^\}", text, re.MULTILINE | re.DOTALL))
    named = {
        name: set(FUNCTIONS.findall(body)) for name, body in interfaces.items() if name != "types"
    }
    for known in (contract.PLATFORM, contract.PYTHON):
        tables = {**known.imports, **known.exports, **known.optional}
        short = {name.partition("/")[2].partition("@")[0]: set(tables[name]) for name in tables}
        assert short == {name: named[name] for name in short}
        assert set(named) - set(short) <= {"python"}


def test_the_runtime_fits_the_tables(machine: AppletMachine) -> None:
    program = machine._python
    contract.require(program.engine, program.component, contract.PYTHON)
    imports = set(program.component.type.imports(program.engine))
    assert imports == {*contract.PYTHON.imports, "meterlet:python/types@0.1.0"}  # and no system


def test_the_runtimes_wit_differs_in_its_name_and_in_bytes_alone() -> None:
    ours, theirs = WIT.read_text(), contract.python_wit(WIT.read_text())
    assert theirs.replace("meterlet:python", "meterlet:platform") == ours.replace(
        "list<u8>", "string"
    )
    assert "list<u8>" in ours
    assert "list<u8>" not in theirs


def test_the_wit_file_is_made_of_the_rows() -> None:
    assert WIT.read_text(encoding="utf-8") == platform_wit(), "python -m protocols.platform.wit"


def test_the_wit_file_names_the_limits() -> None:
    assert "`context` has at most 4096 bytes" in WIT.read_text()
    assert f"`request` has at most {MAX_PEER_MESSAGE} bytes" in WIT.read_text()


def test_the_sdk_hands_out_the_platforms_own_names() -> None:
    offered = vars(platform_errors) | vars(platform_services)
    names = offered.keys() & set(applets.sdk.__all__)
    protocols = {interface.service.__name__ for interface in IMPORTS}
    assert protocols | {"Platform", "Refusal", "Refused", "AppletError", "StatusWord"} <= names
    assert all(getattr(applets.sdk, name) is offered[name] for name in names)


SERVICES: Final[list[tuple[str, type]]] = [
    ("statements", HubStatements),
    ("calendar", HubCalendar),
    ("store", AppletStore),
    ("clock", HubClock),
    ("signatures", Ed25519Signatures),
    ("log", HubLog),
    ("readings", HubReadings),
    ("outputs", OutputBoard),
    ("transactions", AppletTransactions),
    ("peers", AppletPeers),
    ("aggregation", HubAggregation),
]


def not_as_its_row(interface: PlatformInterface, service: type) -> list[str]:
    """Return the calls that a service lacks, or takes other parameters for."""
    wrong = []
    for name, call in interface.calls.items():
        method = getattr(service, call.method, None)
        names = ["self", *call.parameters]
        if method is None or list(inspect.signature(method).parameters) != names:
            wrong.append(name)
    return wrong


def interface_named(name: str) -> PlatformInterface:
    return next(interface for interface in IMPORTS if interface.name == name)


def test_the_hubs_services_and_the_doubles_cover_the_table() -> None:
    assert {name for name, _ in SERVICES} == {interface.name for interface in IMPORTS}
    for name, service in SERVICES:
        assert not_as_its_row(interface_named(name), service) == []
    double = FakePlatform(Household.constant(5, 7)).platform()
    for interface in IMPORTS:
        assert not_as_its_row(interface, type(getattr(double, interface.name))) == []
    assert [field.name for field in fields(Platform)] == [interface.name for interface in IMPORTS]


def test_every_call_arrives_at_the_host_from_either_contract() -> None:
    calls = [call for interface in IMPORTS for call in interface.calls.values()]
    assert [call for _, call in host_calls._ENTRIES] == 2 * calls


LISTING: Final = """
def process(self, command):
    platform = self.platform
    services = {name: type(getattr(platform, name)) for name in type(platform).__slots__}
    made = {
        name: sorted(method for method in vars(service) if not method.startswith("_"))
        for name, service in services.items()
    }
    made["statements"].remove("open_linear")
    return Response(repr(made).encode())
"""
"""`open_linear` is no row: packages of version 0.1 have it beside the table."""


def listed(imports: Sequence[PlatformInterface]) -> bytes:
    calls = {one.name: sorted(call.method for call in one.calls.values()) for one in imports}
    return repr(calls).encode() + b"\x90\x00"


def test_an_applet_in_the_machine_is_handed_the_calls_of_the_table(machine: AppletMachine) -> None:
    instance = machine.instance(bundle(LISTING), Device().platform)
    assert instance.process(command()) == listed(IMPORTS)


def test_an_applet_may_name_its_arguments_in_the_machine_too(machine: AppletMachine) -> None:
    body = """
def process(self, command):
    store = self.platform.store
    store.put(b"key", value=b"first")
    store.put(value=b"second", key=b"key")
    try:
        store.put(b"key", b"third", b"and more")
    except TypeError:
        return Response(store.get(key=b"key"))
"""
    instance = machine.instance(bundle(body), Device().platform)
    assert instance.process(command()) == b"second\x90\x00"


class RenamedClock(Protocol):
    def today(self) -> int: ...


class LongerClock(Protocol):
    def now(self) -> int: ...
    def later(self) -> int: ...


class OtherPeers(Protocol):
    @refusable(Refusal.NOT_GRANTED, needs=Needs.PEER)
    def call(self, aid: bytes, service: int, request: bytes) -> bytes: ...


@pytest.mark.parametrize(
    ("name", "service"),
    [("clock", RenamedClock), ("clock", LongerClock), ("peers", OtherPeers)],
)
def test_a_changed_row_fails_the_comparisons(name: str, service: type) -> None:
    changed = tuple(
        PlatformInterface.of(name, service) if interface.name == name else interface
        for interface in IMPORTS
    )
    assert platform_wit(changed) != WIT.read_text(encoding="utf-8")
    row = next(interface for interface in changed if interface.name == name)
    assert all(not_as_its_row(row, made) for where, made in SERVICES if where == name)
    if name == "clock":
        assert listed(changed) != listed(IMPORTS)


class Get(Protocol):
    """What the applet keeps; part of the command's transaction, unlike its memory."""

    def get(self, key: Annotated[bytes, Size(256, Refusal.MALFORMED, least=1)]) -> bytes | None:
        """Return what is kept under `key`, if anything."""


class WiderGet(Protocol):
    """What the applet keeps; part of the command's transaction, unlike its memory."""

    def get(self, key: Annotated[bytes, Size(257, Refusal.MALFORMED, least=1)]) -> bytes | None:
        """Return what is kept under `key`, if anything."""


class CertainGet(Protocol):
    """What the applet keeps; part of the command's transaction, unlike its memory."""

    def get(self, key: Annotated[bytes, Size(256, Refusal.MALFORMED, least=1)]) -> bytes:
        """Return what is kept under `key`, if anything."""


class RewordedGet(Protocol):
    """What the applet keeps; part of the command's transaction, unlike its memory."""

    def get(self, key: Annotated[bytes, Size(256, Refusal.MALFORMED, least=1)]) -> bytes | None:
        """Return it."""


@pytest.mark.parametrize("service", [WiderGet, CertainGet, RewordedGet])
def test_size_type_and_words_of_a_row_are_all_in_the_wit(service: type) -> None:
    def text(rows: type) -> str:
        return platform_wit([PlatformInterface.of("store", rows)])

    row = text(Get).partition("interface store {\n")[2].partition("}")[0]
    assert row in WIT.read_text()
    assert text(service) != text(Get)


APPLET: Final = """
def process(self, command):
    begin, end = {begin}, {end}
    grid = self.platform.calendar.grid()
    slots = self.platform.calendar.slots("1-0:1.8.0*255", begin, end)
    match command.ins:
        case 0: return Response(repr((grid, slots)).encode())
        case 1: self.platform.calendar.slots("x", begin, end)
        case 2: raise AppletError(0x6A80)
        case 3: return Response(command.data, 0x6310)
        case 4: return Response(bytes([len(command.data), command.expected or 0]))
        case 5: 1 // 0
        case 6: return None
        case 7: self.platform.store.put(b"k", bytes(70_000))
        case 8: self.platform.peers.call(b"nobody", 1, b"")
        case 9: self.platform.peers.call(b"nobody", 1, bytes(70_000))
"""


def test_an_applet_answers_the_same_natively_and_in_the_machine(machine: AppletMachine) -> None:
    household = Household.constant(5, 7)
    body = APPLET.format(begin=household.begin, end=household.end)
    made = bundle(body)
    namespace: dict[str, type[applets.sdk.Applet]] = {}
    exec(made.files["sample/applet.py"], namespace)
    card = NativeCard(namespace["Sample"], FakePlatform(household))
    inside = machine.instance(made, Device().platform)
    for ins in range(10):
        native = card.send(applets.sdk.Command(0x80, ins, data=b"data")).encode()
        try:
            confined = inside.process(command(ins, b"data"))
        except AppletFault as fault:
            confined = fault.response
        assert native == confined


EXPORTS: Final = """
    (core module $code
        (memory (export "memory") 1)
        (func (export "realloc") (param i32 i32 i32 i32) (result i32) i32.const 1024)
        (func (export "bytes") (param i32 i32) (result i32) i32.const 64)
        (func (export "none") (result i32) i32.const 64))
    (core instance $made (instantiate $code))
    (type $answer (result (list u8) (error string)))
    (func $install (param "parameters" (list u8)) (result $answer)
        (canon lift (core func $made "bytes")
            (memory (core memory $made "memory")) (realloc (core func $made "realloc"))))
    (func $process (param "command" (list u8)) (result $answer)
        (canon lift (core func $made "bytes")
            (memory (core memory $made "memory")) (realloc (core func $made "realloc"))))
    (func $select (result $answer)
        (canon lift (core func $made "none") (memory (core memory $made "memory"))))
    (func $deselect (result (result (error string)))
        (canon lift (core func $made "none") (memory (core memory $made "memory"))))
    (instance $applet
        (export "install" (func $install))
        (export "select" (func $select))
        (export "process" (func $process))
        (export "deselect" (func $deselect))
        (export "update" (func $deselect))
        (export "uninstall" (func $select)))
    (export "meterlet:platform/applet@0.1.0" (instance $applet))
"""


def require(text: str) -> None:
    engine = new_engine(interruptible=True)
    contract.require(engine, component.Component(engine, f"(component {text})"))


def test_a_component_that_exports_the_contract_fits() -> None:
    require(EXPORTS)


def import_of(interface: str, body: str) -> str:
    return f'(import "meterlet:platform/{interface}@0.1.0" (instance {body}))'


@pytest.mark.parametrize(
    "body",
    [
        import_of("clock", '(export "now" (func (result s64)))'),
        import_of("log", '(export "write" (func (param "text" string)))'),
        import_of(
            "store", '(export "get" (func (param "key" (list u8)) (result (option (list u8)))))'
        ),
        import_of("clock", ""),
        import_of(
            "peers",
            '(type $e (enum "not-granted" "no-consent" "not-found" "incomplete" "malformed"'
            ' "too-much" "too-often")) (export "refusal" (type $r (eq $e)))'
            '(export "call" (func (param "peer" (list u8)) (param "service" u32)'
            ' (param "request" (list u8)) (result (result (list u8) (error $r)))))',
        ),
    ],
)
def test_a_component_may_import_what_the_platform_has(body: str) -> None:
    require(body + EXPORTS)


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ('(import "wasi:cli/environment@0.2.0" (instance))', "wasi:cli/environment"),
        ('(import "wasi:filesystem/types@0.2.0" (instance))', "wasi:filesystem"),
        ('(import "run" (func))', "run"),
        (import_of("clock", '(export "now" (func (result u64)))'), "clock"),
        (import_of("clock", '(export "now" (func (param "x" s64) (result s64)))'), "clock"),
        (import_of("clock", '(export "now" (func))'), "clock"),
        (import_of("clock", '(export "later" (func (result s64)))'), "later"),
        (import_of("log", '(export "write" (func (param "text" (list u8))))'), "write"),
        (
            import_of("log", '(export "write" (func (param "text" string) (result string)))'),
            "write",
        ),
        (
            import_of("store", '(export "get" (func (param "key" string) (result (list u8))))'),
            "get",
        ),
        (import_of("store", '(export "keys" (func (result (list string))))'), "keys"),
        (
            import_of(
                "outputs",
                '(export "set" (func (param "n" string) (param "v" (list u8)) (result (result))))',
            ),
            "set",
        ),
        (import_of("transactions", '(export "begin" (func (result (result))))'), "begin"),
        (import_of("peers", '(export "call" (func (param "peer" (list u8))))'), "call"),
        (import_of("calendar", '(export "r" (type (sub resource)))'), "calendar"),
    ],
)
def test_a_component_that_imports_anything_else_is_refused(body: str, named: str) -> None:
    with pytest.raises(ContractBroken, match=re.escape(named)):
        require(body + EXPORTS)


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ('(export "uninstall" (func $select))', "", "uninstall"),
        ('(export "deselect" (func $deselect))', '(export "deselect" (func $select))', "deselect"),
        ("meterlet:platform/applet@0.1.0", "meterlet:platform/applet@9.1.0", "applet@0.1.0"),
    ],
)
def test_a_component_that_exports_too_little_is_refused(old: str, new: str, named: str) -> None:
    assert old in EXPORTS
    with pytest.raises(ContractBroken, match=re.escape(named)):
        require(EXPORTS.replace(old, new))


SHARING: Final = """
    (type $granted (result bool (error string)))
    (func $grants (param "client" (list u8)) (param "service" u32) (result $granted)
        (canon lift (core func $made "asked")
            (memory (core memory $made "memory")) (realloc (core func $made "realloc"))))
    (func $serve
        (param "client" (list u8)) (param "service" u32) (param "request" (list u8))
        (result $answer)
        (canon lift (core func $made "served")
            (memory (core memory $made "memory")) (realloc (core func $made "realloc"))))
    (instance $sharing (export "grants" (func $grants)) (export "serve" (func $serve)))
    (export "meterlet:platform/sharing@0.1.0" (instance $sharing))
"""
SHARER: Final = (
    EXPORTS.replace(
        '(func (export "none")',
        '(func (export "asked") (param i32 i32 i32) (result i32) i32.const 64)'
        '(func (export "served") (param i32 i32 i32 i32 i32) (result i32) i32.const 64)'
        '(func (export "none")',
    )
    + SHARING
)


def test_a_component_may_share_or_not() -> None:
    require(SHARER)


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ('(export "grants" (func $grants)) ', "", "grants is missing"),
        ('(export "serve" (func $serve))', "", "serve is missing"),
        ('"serve" (func $serve)', '"serve" (func $grants)', "serve"),
        ("(result bool (error string))", "(result u32 (error string))", "grants"),
        ('"service" u32) (result $granted)', '"service" s32) (result $granted)', "grants"),
    ],
)
def test_a_component_that_shares_in_another_way_is_refused(old: str, new: str, named: str) -> None:
    assert old in SHARER
    with pytest.raises(ContractBroken, match=re.escape(named)):
        require(SHARER.replace(old, new))


def test_a_component_in_bytes_that_are_none_is_refused() -> None:
    with pytest.raises(wasmtime.WasmtimeError):
        require("(garbage)")
