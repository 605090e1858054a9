# SPDX-License-Identifier: Apache-2.0
"""The contract's imports as the SDK's platform: values unpacked, refusals raised."""

import io
import struct
from collections.abc import Callable, Sequence
from typing import TypeVar

from componentize_py_types import Err  # type: ignore[import-not-found]
from wit_world.imports import (  # type: ignore[import-not-found]
    aggregation,
    calendar,
    clock,
    log,
    outputs,
    peers,
    readings,
    signatures,
    statements,
    store,
    transactions,
    types,  # noqa: F401  (the runtime looks it up by name)
)

from applets.sdk import (
    Grid,
    Opened,
    OpenedAmounts,
    Platform,
    Refusal,
    Refused,
    Slots,
    Transactions,
    Use,
)

ValueT = TypeVar("ValueT")

_REFUSALS = tuple(Refusal)


def _asked(call: Callable[..., ValueT], *arguments: object) -> ValueT:
    try:
        return call(*arguments)
    except Err as error:
        raise Refused(_REFUSALS[error.value.value]) from None


def text_of(data: bytes) -> str:
    """Return bytes as the runtime hands them out: a character each."""
    return str(data, "latin-1")


def bytes_of(text: str) -> bytes:
    """Return what `text_of` was given."""
    return text.encode("latin-1")


def pack(values: Sequence[int]) -> str:
    """Return 64-bit integers as the contract packs them."""
    try:
        return text_of(struct.pack(f"<{len(values)}q", *values))
    except struct.error:
        raise Refused(Refusal.MALFORMED, "not all are 64-bit integers") from None


def unpack(packed: str) -> tuple[int, ...]:
    """Return what `pack` packed."""
    return struct.unpack(f"<{len(packed) // 8}q", bytes_of(packed))


def printable(text: str) -> str:
    """Return text that is UTF-8; lone surrogates, which are not, are spelled out."""
    return text.encode(errors="backslashreplace").decode()


class _Statements:
    def open_linear(
        self, register: str, begin: int, end: int, weights: Sequence[int], context: bytes
    ) -> Opened:
        opened = _asked(
            statements.open_linear, register, begin, end, pack(weights), text_of(context)
        )
        return Opened(
            opened.value,
            bytes_of(opened.opening),
            tuple(map(bytes_of, opened.certified_days)),
            bytes_of(opened.digest),
        )

    def open_amounts(
        self, register: str, begin: int, end: int, amounts: bytes, context: bytes
    ) -> OpenedAmounts:
        opened = _asked(
            statements.open_amounts, register, begin, end, text_of(amounts), text_of(context)
        )
        return OpenedAmounts(
            unpack(opened.values),
            bytes_of(opened.proof),
            tuple(map(bytes_of, opened.certified_days)),
        )


class _Aggregation:
    def tell_keys(self, nonce: bytes) -> bytes:
        return bytes_of(_asked(aggregation.tell_keys, text_of(nonce)))

    def contribute(self, operator: bytes, announced: bytes) -> bytes:
        return bytes_of(_asked(aggregation.contribute, text_of(operator), text_of(announced)))

    def agree(self, contributors: bytes) -> bytes:
        return bytes_of(_asked(aggregation.agree, text_of(contributors)))

    def open_sum(self, contributors: bytes, agreements: bytes) -> bytes:
        return bytes_of(_asked(aggregation.open_sum, text_of(contributors), text_of(agreements)))

    def show_points(self, contributors: bytes) -> bytes:
        return bytes_of(_asked(aggregation.show_points, text_of(contributors)))

    def show_key(self, contributors: bytes, points: bytes) -> bytes:
        return bytes_of(_asked(aggregation.show_key, text_of(contributors), text_of(points)))


class _Calendar:
    def grid(self) -> Grid:
        grid = calendar.grid()
        return Grid(grid.zone, grid.slot_minutes)

    def slots(self, register: str, begin: int, end: int) -> Slots:
        slots = _asked(calendar.slots, register, begin, end)
        return Slots(unpack(slots.starts), bytes_of(slots.states))


class _Store:
    def get(self, key: bytes) -> bytes | None:
        value = store.get(text_of(key))
        return None if value is None else bytes_of(value)

    def put(self, key: bytes, value: bytes) -> None:
        _asked(store.put, text_of(key), text_of(value))

    def delete(self, key: bytes) -> None:
        store.delete(text_of(key))

    def keys(self) -> list[bytes]:
        return list(map(bytes_of, store.keys()))


class _Clock:
    def now(self) -> int:
        now: int = clock.now()
        return now


class _Signatures:
    def verify_ed25519(self, public_key: bytes, message: bytes, signature: bytes) -> bool:
        verified: bool = signatures.verify_ed25519(
            text_of(public_key), text_of(message), text_of(signature)
        )
        return verified


class _Log:
    def write(self, text: str) -> None:
        log.write(printable(text))


class _Readings:
    def read(self, register: str, begin: int, end: int) -> Use:
        use = _asked(readings.read, register, begin, end)
        return Use(unpack(use.starts), unpack(use.watt_hours), bytes_of(use.states))


class _Outputs:
    def set(self, name: str, value: bytes) -> None:
        _asked(outputs.set, name, text_of(value))


class _Transactions(Transactions):
    def begin(self) -> None:
        _asked(transactions.begin)

    def commit(self) -> None:
        _asked(transactions.commit)

    def abort(self) -> None:
        _asked(transactions.abort)


class _Peers:
    def call(self, aid: bytes, service: int, request: bytes) -> bytes:
        return bytes_of(_asked(peers.call, text_of(aid), service, text_of(request)))


def platform() -> Platform:
    """Return the platform that the hub stands behind."""
    return Platform(
        _Statements(),
        _Calendar(),
        _Store(),
        _Clock(),
        _Signatures(),
        _Log(),
        _Readings(),
        _Outputs(),
        _Transactions(),
        _Peers(),
        _Aggregation(),
    )


class _PrintStream(io.TextIOBase):
    """Sends whole lines to the log, so that `print` works."""

    def __init__(self) -> None:
        self._begun = ""

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        *lines, self._begun = (self._begun + text).split("\n")
        for line in lines:
            log.write(printable(line))
        return len(text)


def print_stream() -> io.TextIOBase:
    """Return what `sys.stdout` is inside."""
    return _PrintStream()
