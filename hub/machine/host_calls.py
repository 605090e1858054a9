# SPDX-License-Identifier: Apache-2.0
"""The hub's side of the contract: what an applet's calls arrive at.

Everything that arrives here is hostile. Types are the contract's, checked when the component was
loaded; sizes, packings and the manifest's grants are checked here, before a service hears of the
call. A refusal goes back to the applet as a value. Anything else that is raised on the way ends
the applet's call with a trap and is kept in `pending`, for the instance to tell whose fault it was.
"""

import ctypes
import struct
from collections.abc import Callable
from typing import Any, Final

from wasmtime import _ffi as ffi
from wasmtime import component

from hub.machine import contract, limits
from hub.machine._abi import Err, Function, Malformed, Ok, Result
from hub.machine.errors import AppletFault, FaultKind, Refusal, Refused
from hub.machine.manifest import SUMS, Confinement, Manifest, StatementGrant
from hub.machine.platform import Aggregation, Platform, Transactions
from hub.text import printable
from protocols.amounts import AmountsMalformed, decode_amounts

__all__ = ["Host", "define_imports"]

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
        self._log_left = 0

    def begin(self, *, answering: bool) -> None:
        """Get ready for a call into the applet."""
        self.answering, self.pending, self.calls = answering, None, 0
        self._log_left = limits.MAX_LOG

    @property
    def _services(self) -> Platform:
        if self._platform is None or not self.answering:
            raise self.fault(FaultKind.TRAP, "called the platform while being loaded")
        return self._platform

    def fault(self, kind: FaultKind, detail: str) -> AppletFault:
        """Return the fault of this host's applet."""
        return AppletFault(self._manifest.name, kind, detail)

    def open_linear(
        self, register: str, begin: int, end: int, weights: bytes, context: bytes
    ) -> tuple[int, bytes, list[bytes], bytes]:
        """`statements.open-linear`."""
        statements = self._services.statements
        grant = self._grant("linear", register)
        _require_period(begin, end)
        if end - begin < grant.minimum_days * SHORTEST_DAY:
            raise Refused(Refusal.NOT_GRANTED, "the period is shorter than the manifest says")
        if len(context) > limits.MAX_CONTEXT or len(weights) > limits.MAX_WEIGHTS * 8:
            raise Refused(Refusal.TOO_MUCH)
        opened = statements.open_linear(register, begin, end, _unpack(weights), context)
        return opened.value, opened.opening, list(opened.certified_days), opened.digest

    def open_amounts(
        self, register: str, begin: int, end: int, packed: bytes, context: bytes
    ) -> tuple[bytes, bytes, list[bytes]]:
        """`statements.open-amounts`."""
        statements = self._services.statements
        _require_period(begin, end)
        if len(context) > limits.MAX_CONTEXT or len(packed) > limits.MAX_AMOUNTS:
            raise Refused(Refusal.TOO_MUCH)
        try:
            amounts = decode_amounts(packed)
        except AmountsMalformed as error:
            raise Refused(Refusal.MALFORMED, str(error)) from None
        for kind in sorted({amount.kind for amount in amounts}):
            if end - begin < self._grant(kind, register).minimum_days * SHORTEST_DAY:
                raise Refused(Refusal.NOT_GRANTED, "the period is shorter than the manifest says")
        if sum(amount.comparisons for amount in amounts) > limits.MAX_COMPARISONS:
            raise Refused(Refusal.TOO_MUCH)
        opened = statements.open_amounts(register, begin, end, packed, context)
        return _pack(opened.values), opened.proof, list(opened.certified_days)

    def tell_keys(self, nonce: bytes) -> bytes:
        """`aggregation.tell-keys`."""
        return self._aggregation(nonce).tell_keys(nonce)

    def contribute(self, operator: bytes, announced: bytes) -> bytes:
        """`aggregation.contribute`."""
        return self._aggregation(operator, announced).contribute(operator, announced)

    def agree(self, contributors: bytes) -> bytes:
        """`aggregation.agree`."""
        return self._aggregation(contributors).agree(contributors)

    def open_sum(self, contributors: bytes, agreements: bytes) -> bytes:
        """`aggregation.open-sum`."""
        return self._aggregation(contributors, agreements).open_sum(contributors, agreements)

    def show_points(self, contributors: bytes) -> bytes:
        """`aggregation.show-points`."""
        return self._aggregation(contributors).show_points(contributors)

    def show_key(self, contributors: bytes, points: bytes) -> bytes:
        """`aggregation.show-key`."""
        return self._aggregation(contributors, points).show_key(contributors, points)

    def _aggregation(self, *messages: bytes) -> Aggregation:
        service = self._services.aggregation
        if service is None or all(one.kind not in SUMS for one in self._manifest.statements):
            raise Refused(Refusal.NOT_GRANTED, "the manifest names no aggregates")
        if any(len(message) > limits.MAX_AGGREGATION for message in messages):
            raise Refused(Refusal.TOO_MUCH)
        return service

    def _grant(self, kind: str, register: str) -> StatementGrant:
        for grant in self._manifest.statements:
            if grant.kind == kind and register in grant.registers:
                return grant
        raise Refused(Refusal.NOT_GRANTED, "the manifest names no such statement")

    def grid(self) -> tuple[str, int]:
        """`calendar.grid`."""
        grid = self._services.calendar.grid()
        return grid.zone, grid.slot_minutes

    def slots(self, register: str, begin: int, end: int) -> tuple[bytes, bytes]:
        """`calendar.slots`."""
        calendar = self._services.calendar
        _require_name(register)
        _require_period(begin, end)
        slots = calendar.slots(register, begin, end)
        return _pack(slots.starts), slots.states

    def get(self, key: bytes) -> bytes | None:
        """`store.get`."""
        return self._services.store.get(self._key(key))

    def put(self, key: bytes, value: bytes) -> None:
        """`store.put`."""
        store = self._services.store
        if not 1 <= len(key) <= limits.MAX_KEY:
            raise Refused(Refusal.MALFORMED, f"a key has 1 to {limits.MAX_KEY} bytes")
        if len(value) > min(limits.MAX_VALUE, self._manifest.limits.store_bytes):
            raise Refused(Refusal.TOO_MUCH)
        store.put(key, value)

    def delete(self, key: bytes) -> None:
        """`store.delete`."""
        self._services.store.delete(self._key(key))

    def keys(self) -> list[bytes]:
        """`store.keys`."""
        return self._services.store.keys()

    def _key(self, key: bytes) -> bytes:
        # Longer ones are nobody's: the service need not see them whole.
        return key[: limits.MAX_KEY + 1]

    def begin_transaction(self) -> None:
        """`transactions.begin`."""
        self._transactions.begin()

    def commit(self) -> None:
        """`transactions.commit`."""
        self._transactions.commit()

    def abort(self) -> None:
        """`transactions.abort`."""
        self._transactions.abort()

    @property
    def _transactions(self) -> Transactions:
        transactions = self._services.transactions
        if transactions is None:
            raise Refused(Refusal.NOT_GRANTED, "there are no transactions here")
        return transactions

    def call_peer(self, peer: bytes, service: int, request: bytes) -> bytes:
        """`peers.call`; every refusal is the same, or an applet could find out what there is."""
        peers = self._services.peers
        named = any(peer == one.aid and service in one.services for one in self._manifest.peers)
        if peers is None or not named or len(request) > limits.MAX_PEER_MESSAGE:
            raise Refused(Refusal.NOT_GRANTED)
        try:
            return peers.call(peer, service, request)
        except Refused:
            raise Refused(Refusal.NOT_GRANTED) from None

    def now(self) -> int:
        """`clock.now`."""
        return self._services.clock.now()

    def verify_ed25519(self, public_key: bytes, message: bytes, signature: bytes) -> bool:
        """`signatures.verify-ed25519`."""
        return self._services.signatures.verify_ed25519(public_key, message, signature)

    def write(self, text: str) -> None:
        """`log.write`; may be called while the applet is loaded, too."""
        if self._platform is None or self._log_left <= 0:
            return
        for line in text[: self._log_left].splitlines():
            self._platform.log.write(printable(line))
        self._log_left -= len(text) + 1
        if self._log_left <= 0:
            self._platform.log.write("(the rest of the log was dropped)")

    def read(self, register: str, begin: int, end: int) -> tuple[bytes, bytes, bytes]:
        """`readings.read`."""
        readings = self._services.readings
        if readings is None or self._manifest.confinement is not Confinement.RAW:
            raise Refused(Refusal.NOT_GRANTED, "only raw applets see readings")
        _require_name(register)
        _require_period(begin, end)
        use = readings.read(register, begin, end)
        return _pack(use.starts), _pack(use.watt_hours), use.states

    def set(self, name: str, value: bytes) -> None:
        """`outputs.set`."""
        outputs = self._services.outputs
        if outputs is None or self._manifest.confinement is not Confinement.RAW:
            raise Refused(Refusal.NOT_GRANTED, "only raw applets have outputs")
        for output in self._manifest.outputs:
            if output.name == name:
                if len(value) != output.size:
                    raise Refused(Refusal.MALFORMED, f"the output {name} has {output.size} bytes")
                outputs.set(name, value)
                return
        raise Refused(Refusal.NOT_GRANTED, "the manifest names no such output")


def _require_name(name: str) -> None:
    if len(name) > limits.MAX_NAME:
        raise Refused(Refusal.NOT_FOUND)


def _require_period(begin: int, end: int) -> None:
    if not 0 <= begin < end <= NEVER:
        raise Refused(Refusal.MALFORMED, "a period begins before it ends")


def _unpack(packed: bytes) -> tuple[int, ...]:
    if len(packed) % 8:
        raise Refused(Refusal.MALFORMED, "integers are packed in 8 bytes each")
    return struct.unpack(f"<{len(packed) // 8}q", packed)


def _pack(values: tuple[int, ...]) -> bytes:
    return struct.pack(f"<{len(values)}q", *values)


_METHODS: Final[dict[str, Callable[..., Any]]] = {
    "open-linear": Host.open_linear,
    "open-amounts": Host.open_amounts,
    "tell-keys": Host.tell_keys,
    "contribute": Host.contribute,
    "agree": Host.agree,
    "open-sum": Host.open_sum,
    "show-points": Host.show_points,
    "show-key": Host.show_key,
    "grid": Host.grid,
    "slots": Host.slots,
    "get": Host.get,
    "put": Host.put,
    "delete": Host.delete,
    "keys": Host.keys,
    "begin": Host.begin_transaction,
    "commit": Host.commit,
    "abort": Host.abort,
    "call": Host.call_peer,
    "now": Host.now,
    "verify-ed25519": Host.verify_ed25519,
    "write": Host.write,
    "read": Host.read,
    "set": Host.set,
}
_ENTRIES: Final[list[tuple[Function, Callable[..., Any]]]] = [
    (function, _METHODS[name])
    for known in (contract.PLATFORM, contract.PYTHON)
    for functions in known.imports.values()
    for name, function in functions.items()
]
_HOSTS: Final[dict[int, Host]] = {}
"""The host behind each live store, by the address of the store's context."""


def attach(context: Any, host: Host) -> int:
    """Let calls out of the store with this context arrive at `host`; return what detaches it."""
    address = ctypes.addressof(context.contents)
    _HOSTS[address] = host
    return address


def detach(address: int) -> None:
    """Forget the host behind a store that is being closed."""
    _HOSTS.pop(address, None)


@ffi.wasmtime_component_func_callback_t  # type: ignore[untyped-decorator]
def _arrive(
    entry: int | None, context: Any, _type: Any, arguments: Any, count: int, results: Any, _: int
) -> int:
    host = _HOSTS[ctypes.addressof(context.contents)]
    try:
        function, method = _ENTRIES[entry or 0]
        lifted = _lift(host, function, arguments)
        host.calls += 1
        _charge(host, context, sum(map(_size, lifted)))
        value = _call(host, method, lifted, isinstance(function.result, Result))
        if function.result is not None:
            _charge(host, context, _size(value))
            function.result.lower(value, results[0])
    except BaseException as error:  # noqa: BLE001  (nothing may unwind through native frames)
        host.pending = error
        return _native_error(type(error).__name__)
    return 0


def _lift(host: Host, function: Function, arguments: Any) -> list[Any]:
    try:
        return [kind.lift(arguments[at]) for at, kind in enumerate(function.parameters)]
    except Malformed as error:
        raise host.fault(FaultKind.TRAP, str(error)) from None


def _call(host: Host, method: Callable[..., Any], lifted: list[Any], refusable: bool) -> Any:
    try:
        value = method(host, *lifted)
    except Refused as refused:
        if refusable:
            return Err(refused.refusal.value)
        raise host.fault(FaultKind.TRAP, str(refused)) from None
    return Ok(value) if refusable else value


def _charge(host: Host, context: Any, size: int) -> None:
    left = ctypes.c_uint64()
    ffi.wasmtime_context_get_fuel(context, ctypes.byref(left))
    cost = limits.CALL_FUEL + limits.CALL_FUEL_BYTE * size
    if left.value < cost:
        ffi.wasmtime_context_set_fuel(context, 0)
        raise host.fault(FaultKind.OUT_OF_FUEL, "calls to the platform used up the fuel")
    ffi.wasmtime_context_set_fuel(context, left.value - cost)


def _size(value: Any) -> int:
    match value:
        case bytes() | str():
            return len(value)
        case list() | tuple():
            return sum(map(_size, value))
        case Ok():
            return _size(value.value)
        case _:
            return 0


def _native_error(message: str) -> int:
    error = ffi.wasmtime_error_new(message.encode())
    return ctypes.cast(error, ctypes.c_void_p).value or 0


_NO_FINALIZER: Final = ctypes.cast(0, ctypes.CFUNCTYPE(None, ctypes.c_void_p))


def define_imports(linker: component.Linker, known: contract.Contract) -> None:
    """Let every import of the contract arrive at the host of the store that it comes from."""
    with linker.root() as root:
        for interface, functions in known.imports.items():
            with root.add_instance(interface) as instance:
                for name, function in functions.items():
                    raw = name.encode()
                    error = ffi.wasmtime_component_linker_instance_add_func(
                        instance.ptr(),
                        ctypes.create_string_buffer(raw),
                        len(raw),
                        _arrive,
                        _ENTRIES.index((function, _METHODS[name])),
                        _NO_FINALIZER,
                    )
                    assert not error, f"{interface}: {name} is defined twice"
