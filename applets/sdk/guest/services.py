# SPDX-License-Identifier: Apache-2.0
"""The contract's imports as the platform that an applet is handed, made of the platform's rows.

Bytes cross as text, a character each; refusals are raised.
"""

import importlib
import io
import struct
from collections.abc import Callable
from inspect import signature
from typing import Any, Final

from componentize_py_types import Err  # type: ignore[import-not-found]
from wit_world.imports import log, types  # type: ignore[import-not-found]  # noqa: F401

from applets.sdk.guest.version1 import open_linear
from protocols.platform.errors import Refusal, Refused
from protocols.platform.services import Platform
from protocols.platform.table import (
    IMPORTS,
    Leaf,
    Leaves,
    PlatformCall,
    PlatformInterface,
    pack,
    reader,
    unpack,
    writer,
)

_REFUSALS: Final = tuple(Refusal)


def text_of(data: bytes) -> str:
    """Return bytes as the runtime hands them out: a character each."""
    return str(data, "latin-1")


def bytes_of(text: str) -> bytes:
    """Return what `text_of` was given."""
    return text.encode("latin-1")


def printable(text: str) -> str:
    """Return text that is UTF-8; lone surrogates, which are not, are spelled out."""
    return text.encode(errors="backslashreplace").decode()


def _packed(values: tuple[int, ...]) -> str:
    try:
        return text_of(pack(values))
    except struct.error:
        raise Refused(Refusal.MALFORMED, "not all are 64-bit integers") from None


OUTWARD: Final[Leaves] = {
    Leaf.STRING: printable, Leaf.BYTES: text_of, Leaf.PACKED: _packed,
}  # fmt: skip
"""What crosses for a leaf."""
INWARD: Final[Leaves] = {
    Leaf.BYTES: bytes_of,
    Leaf.PACKED: lambda packed: unpack(bytes_of(packed)),
    Leaf.OPTION: lambda value: None if value is None else bytes_of(value),
    Leaf.LIST: lambda values: list(map(bytes_of, values)),
    Leaf.TUPLE: lambda values: tuple(map(bytes_of, values)),
}
"""What a leaf that has crossed is in Python."""


def _asking(call: PlatformCall, method: Callable[..., Any], ask: Callable[..., Any]) -> Any:
    writers = [writer(leaf, OUTWARD) for leaf in call.parameters.values()]
    read, bind = reader(call.result, INWARD), signature(method).bind

    def asked(self: object, *arguments: Any, **named: Any) -> Any:
        if named or len(arguments) != len(writers):
            arguments = bind(self, *arguments, **named).args[1:]
        try:
            return read(
                ask(*(write(value) for write, value in zip(writers, arguments, strict=True)))
            )
        except Err as error:
            raise Refused(_REFUSALS[error.value.value]) from None

    return asked


def _service(interface: PlatformInterface) -> Any:
    imports = importlib.import_module(f"wit_world.imports.{interface.name}")
    methods = {
        call.method: _asking(
            call, getattr(interface.service, call.method), getattr(imports, call.method)
        )
        for call in interface.calls.values()
    }
    return type(interface.service.__name__, (interface.service,), methods)()


PLATFORM: Final = Platform(**{interface.name: _service(interface) for interface in IMPORTS})
"""The platform that the hub stands behind."""
type(PLATFORM.statements).open_linear = open_linear  # type: ignore[attr-defined]  # for 0.1


def say(reason: str) -> None:
    """Tell the hub why a command is refused: a trace of the card shows the last line of the log."""
    log.write(printable(" ".join(reason.split())))


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
