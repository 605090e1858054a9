# SPDX-License-Identifier: Apache-2.0
"""The hub's side of the contract: what an applet's calls arrive at.

Everything that arrives here is hostile. Types are the contract's, checked when the component was
loaded; sizes, packings and the manifest's grants are checked here, before a service hears of the
call. A refusal goes back to the applet as a value. Anything else that is raised on the way ends
the applet's call with a trap and is kept in `pending`, for the instance to tell whose fault it was.
"""

import ctypes
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any, Final
from weakref import WeakValueDictionary

from wasmtime import _ffi as ffi
from wasmtime import component

from hub.machine import contract, limits
from hub.machine._abi import Err, Function, Malformed, Ok
from hub.machine.errors import AppletFault, FaultKind
from hub.machine.manifest import SUMS, UNATTRIBUTED, Confinement, Manifest
from hub.text import printable
from protocols.amounts import (
    Amount,
    AmountsMalformed,
    NumberAmount,
    Total,
    decode_amounts,
    decode_numbers,
)
from protocols.platform.errors import Refusal, Refused
from protocols.platform.rows import Needs
from protocols.platform.services import Platform, names_of
from protocols.platform.table import IMPORTS, Kind, Leaf, PlatformCall, pack, unpack, writer

SHORTEST_DAY: Final = 23 * 3600
NEVER: Final = 1 << 40
"""Beyond any date that a hub will see."""


class Host:
    """What one instance's calls reach; nothing, unless `answering` is set."""

    def __init__(self, manifest: Manifest, platform: Platform | None) -> None:
        self._manifest, self._platform = manifest, platform
        self.answering = False
        """Whether a command is being answered, so that there is a transaction to work in."""
        self.pending: BaseException | None = None
        self.calls = 0
        self.owed = 0
        """Fuel for what is done already and what the tank did not hold: the minute pays for it."""
        self.library_functions: list[component.Func] = []
        """What libraries in the instance's store export, by number."""
        self._log_left = 0
        self._context: Any = None
        """Of the store whose call is being answered."""

    def begin(self, *, answering: bool) -> None:
        """Get ready for a call into the applet."""
        self.answering, self.pending, self.calls, self.owed = answering, None, 0, 0
        self._log_left = limits.MAX_LOG

    @property
    def _services(self) -> Platform:
        if self._platform is None or not self.answering:
            raise self.fault(FaultKind.TRAP, "called the platform while being loaded")
        return self._platform

    def take(self, fuel: int) -> int:
        """Take fuel out of the call's tank and return what is left; raise `AppletFault` if less."""
        if self._context is None:
            raise RuntimeError("no call of the applet's is being answered")
        left = ctypes.c_uint64()
        ffi.wasmtime_context_get_fuel(self._context, ctypes.byref(left))
        if left.value < fuel:
            ffi.wasmtime_context_set_fuel(self._context, 0)
            raise self.fault(FaultKind.OUT_OF_FUEL, "calls to the platform used up the fuel")
        if fuel:
            ffi.wasmtime_context_set_fuel(self._context, left.value - fuel)
        return left.value - fuel

    def carried(self, fuel: int) -> None:
        """Take fuel for values that have crossed already; what the tank lacks is owed."""
        self.owed += max(0, fuel - self.take(0))
        self.take(fuel)

    @contextmanager
    def answering_from(self, context: Any) -> Iterator[None]:
        """Let what the call in the block takes be paid for by the store of that context."""
        self._context = context
        try:
            yield
        finally:
            self._context = None

    def fault(self, kind: FaultKind, detail: str) -> AppletFault:
        """Return the fault of this host's applet."""
        return AppletFault(self._manifest.name, kind, detail)

    def answer(self, call: PlatformCall, crossed: list[Any]) -> Any:
        """Return what the platform answers, as it crosses; raise `Refused`."""
        # A line may be logged while the applet is loaded, when it has no other service yet.
        service = self if call.interface == "log" else getattr(self._services, call.interface)
        sized = dict(zip(call.parameters, crossed, strict=True))
        for name, size in call.sizes.items():
            if not size.least <= len(sized[name]) <= size.most:
                if call.refusals:
                    raise Refused(size.refusal)
                sized[name] = sized[name][: size.most + 1]  # nobody's; none need see it whole
        if "begin" in sized and not 0 <= sized["begin"] < sized["end"] <= NEVER:
            raise Refused(Refusal.MALFORMED, "a period begins before it ends")
        if call.needs is not Needs.NOTHING:
            self._require(call.needs, sized)
        leaves = call.parameters.values()
        values = (
            unpack(value) if leaf is Leaf.PACKED else value
            for leaf, value in zip(leaves, sized.values(), strict=True)
        )
        return _writer(call.result)(getattr(service, call.method)(*values))

    def _require(self, needs: Needs, sized: Mapping[str, Any]) -> None:
        """Return if the manifest says what a row needs; raise `Refused` otherwise."""
        manifest, granted = self._manifest, False
        match needs:
            case Needs.AMOUNTS:
                granted = self._grants_amounts(sized)
            case Needs.NUMBERS:
                granted = self._grants_numbers(sized)
            case Needs.MEMORY:
                granted = self._grants_numbers(sized) and self._grants_memory(sized)
            case Needs.UNATTRIBUTED:
                granted = self._grants(UNATTRIBUTED, sized["register"], sized)
            case Needs.SUMS:
                granted = any(grant.kind in SUMS for grant in manifest.statements)
            case Needs.ROOM:
                if len(sized["value"]) > manifest.limits.store_bytes:
                    raise Refused(Refusal.TOO_MUCH)
                granted = True
            case Needs.PEER:
                granted = any(
                    sized["peer"] == peer.aid and sized["service"] in peer.services
                    for peer in manifest.peers
                )
            case Needs.RAW:
                granted = manifest.confinement is Confinement.RAW
            case Needs.OUTPUT if manifest.confinement is Confinement.RAW:
                sizes = {output.name: output.size for output in manifest.outputs}
                granted = sized["name"] in sizes
                if granted and len(sized["value"]) != sizes[sized["name"]]:
                    raise Refused(Refusal.MALFORMED, "an output has exactly its declared size")
        if not granted:
            raise Refused(Refusal.NOT_GRANTED, f"the manifest does not say: {needs.value}")

    def _grants(self, kind: str, register: str, sized: Mapping[str, Any]) -> bool:
        for grant in self._manifest.statements:
            if grant.kind == kind and register in grant.registers:
                return bool(sized["end"] - sized["begin"] >= grant.minimum_days * SHORTEST_DAY)
        return False

    def _grants_amounts(self, sized: Mapping[str, Any]) -> bool:
        try:
            amounts = decode_amounts(sized["amounts"])
        except AmountsMalformed as error:
            raise Refused(Refusal.MALFORMED, str(error)) from None
        register = sized["register"]
        if not all(self._grants(amount.kind, register, sized) for amount in amounts):
            return False
        return self._within_comparisons(amounts)

    def _grants_numbers(self, sized: Mapping[str, Any]) -> bool:
        try:
            names = names_of(sized["registers"])
            numbers = decode_numbers(sized["amounts"])
            parts = [pair for number in numbers for pair in _kinds_of(number)]
            granted = [self._grants(kind, names[place], sized) for place, kind in parts]
        except (AmountsMalformed, IndexError) as error:
            raise Refused(Refusal.MALFORMED, str(error)) from None
        return all(granted) and self._within_comparisons(numbers)

    def _grants_memory(self, sized: Mapping[str, Any]) -> bool:
        kinds = {kind for one in decode_numbers(sized["amounts"]) for _, kind in _kinds_of(one)}
        remembering = {grant.kind for grant in self._manifest.statements if grant.memory_days}
        return kinds <= remembering

    @staticmethod
    def _within_comparisons(amounts: Sequence[Amount | NumberAmount]) -> bool:
        if sum(amount.comparisons for amount in amounts) > limits.MAX_COMPARISONS:
            raise Refused(Refusal.TOO_MUCH)
        return True

    def write(self, text: str) -> None:
        """`log.write`, of bounded length; dropped where there is nobody to read it."""
        if self._platform is None or self._log_left <= 0:
            return
        lines = text[: self._log_left].splitlines()
        self.take(limits.LOG_LINE_FUEL * len(lines))  # each is a row of the database
        for line in lines:
            self._platform.log.write(printable(line))
        self._log_left -= len(text) + 1
        if self._log_left <= 0:
            self._platform.log.write("(the rest of the log was dropped)")


def _kinds_of(number: NumberAmount) -> list[tuple[int, str]]:
    """Return the kinds a number is made of, each after the place of its register."""
    if isinstance(number, Total):
        return [(one.register, one.amount.kind) for one in number.metered]
    return [(0, number.kind)]


@cache
def _writer(kind: Kind) -> Callable[[Any], Any]:
    return writer(kind, {Leaf.PACKED: pack})


_ENTRIES: Final = [
    (functions[name], call)
    for known in (contract.PLATFORM, contract.PYTHON)
    for interface, functions in zip(IMPORTS, known.imports.values(), strict=True)
    for name, call in interface.calls.items()
]
_HOSTS: Final[WeakValueDictionary[int, Host]] = WeakValueDictionary()
"""The host behind each live store, by the address of the store's context. Weak: by its platform a
host holds the whole card, whose memory would else stay where nobody has closed the store."""


def attach(context: Any, host: Host) -> int:
    """Let calls out of the store with this context arrive at `host`; return what detaches it."""
    address = ctypes.addressof(context.contents)
    _HOSTS[address] = host
    return address


def host_of(context: Any) -> Host:
    """Return the host behind the store with this context."""
    return _HOSTS[ctypes.addressof(context.contents)]


def detach(address: int) -> None:
    """Forget the host behind a store that is being closed."""
    _HOSTS.pop(address, None)


_COUNTED: Final = {
    ffi.WASMTIME_COMPONENT_LIST.value: "list",
    ffi.WASMTIME_COMPONENT_STRING.value: "string",
}


@ffi.wasmtime_component_func_callback_t  # type: ignore[untyped-decorator]
def _arrive(
    entry: int | None, context: Any, _type: Any, arguments: Any, count: int, results: Any, _: int
) -> int:
    host = host_of(context)
    try:
        function, call = _ENTRIES[entry or 0]
        host.calls += 1
        with host.answering_from(context):
            _require_short(host, size_as_it_came(arguments, count))
            lifted = _lift(host, function, arguments)
            host.carried(_fuel(lifted))
            host.take(limits.EXTRA_FUEL.get((call.interface, call.method), 0))
            value = _answered(host, call, lifted)
            if function.result is not None:
                host.take(_fuel(value))
        if function.result is not None:
            function.result.lower(value, results[0])
    except BaseException as error:  # noqa: BLE001  (nothing may unwind through native frames)
        host.pending = error
        return native_error(type(error).__name__)
    return 0


def _require_short(host: Host, size: int) -> None:
    """Return unless a call carries more than any may: that is paid for, and not copied again."""
    if size > limits.MAX_ARGUMENTS:
        host.carried(limits.CALL_FUEL_BYTE * size)
        raise host.fault(
            FaultKind.TRAP,
            f"a call to the platform carries at most {limits.MAX_ARGUMENTS} bytes, and this one"
            f" {size}",
        )


def size_as_it_came(values: Any, count: int) -> int:
    """Return how many bytes of text and items of lists there are in wasmtime's values."""
    size = 0
    for index in range(count):
        kind = _COUNTED.get(values[index].kind)
        if kind is not None:
            size += getattr(values[index].of, kind).size
    return size


def _lift(host: Host, function: Function, arguments: Any) -> list[Any]:
    try:
        return [kind.lift(arguments[at]) for at, kind in enumerate(function.parameters)]
    except Malformed as error:
        raise host.fault(FaultKind.TRAP, str(error)) from None


def _answered(host: Host, call: PlatformCall, lifted: list[Any]) -> Any:
    reasons = call.refusals
    try:
        value = host.answer(call, lifted)
    except Refused as refused:
        if not reasons:
            raise host.fault(FaultKind.TRAP, str(refused)) from None
        # A call is refused for no reason but those of its row.
        return Err((refused.refusal if refused.refusal in reasons else reasons[0]).value)
    return Ok(value) if reasons else value


def _fuel(values: Any) -> int:
    """Return what carrying the values takes."""
    return limits.CALL_FUEL + limits.CALL_FUEL_BYTE * size_of(values)


def size_of(value: Any) -> int:
    """Return how many bytes and characters there are in what crosses."""
    match value:
        case bytes() | str():
            return len(value)
        case list() | tuple():
            return sum(map(size_of, value))
        case Ok():
            return size_of(value.value)
        case _:
            return 0


def native_error(message: str) -> int:
    """Return an error that wasmtime takes from a callback, as a trap."""
    error = ffi.wasmtime_error_new(message.encode())
    return ctypes.cast(error, ctypes.c_void_p).value or 0


NO_FINALIZER: Final = ctypes.cast(0, ctypes.CFUNCTYPE(None, ctypes.c_void_p))


def define_imports(linker: component.Linker, known: contract.Contract) -> None:
    """Let every import of the contract arrive at the host of the store that it comes from."""
    with linker.root() as root:
        for interface, (name, functions) in zip(IMPORTS, known.imports.items(), strict=True):
            with root.add_instance(name) as instance:
                for call_name, call in interface.calls.items():
                    raw = call_name.encode()
                    error = ffi.wasmtime_component_linker_instance_add_func(
                        instance.ptr(),
                        ctypes.create_string_buffer(raw),
                        len(raw),
                        _arrive,
                        _ENTRIES.index((functions[call_name], call)),
                        NO_FINALIZER,
                    )
                    assert not error, f"{name}: {call_name} is defined twice"
