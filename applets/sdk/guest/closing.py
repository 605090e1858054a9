# SPDX-License-Identifier: Apache-2.0
"""What applets may import, loaded before the snapshot; and the doors that are shut after it.

Shutting them is a courtesy: it turns `import os` into a clear error. What makes them safe is
that the component imports no system interface, so whatever lies behind them is a trap.
"""

import builtins
import importlib.resources
import io
import sys
import time
import warnings
import zoneinfo
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Final, NoReturn, TextIO, cast

LIBRARY: Final = (
    "__future__ _strptime abc array base64 binascii bisect calendar collections collections.abc"
    " contextlib copy csv dataclasses datetime decimal enum errno fractions functools graphlib"
    " hashlib heapq hmac importlib io itertools json keyword math numbers operator pprint re"
    " reprlib string struct textwrap tomllib traceback types typing unicodedata warnings weakref"
    " zlib zoneinfo"
)
"""Loaded at build time; all an applet can import beside the SDK, `sml_codec` and its own."""

SHUT: Final = (
    "_ctypes _io _random _signal _socket _thread _threading_local ctypes genericpath marshal os"
    " os.path pathlib posix posixpath random secrets select signal site socket stat statistics"
    " subprocess sysconfig tempfile threading time tokenize tracemalloc zipimport"
)
"""Taken out of reach although something loaded them."""


_shut: list[object] = []
"""Keeps alive what is shut: to free it would write to megabytes of the shared snapshot."""


_clockless = ModuleType("time", "What `datetime` looks up here to write itself; no clock.")
_clockless.strftime = time.strftime  # type: ignore[attr-defined]
_clockless.struct_time = time.struct_time  # type: ignore[attr-defined]


class _Refuser:
    """The last finder: says no in words."""

    def find_spec(
        self, name: str, _path: Sequence[str] | None = None, _target: ModuleType | None = None
    ) -> ModuleSpec | None:
        raise ModuleNotFoundError(f"an applet cannot import {name!r}", name=name)


def _no_files(*_: object, **__: object) -> NoReturn:
    raise PermissionError("an applet has no files; keep what must last in platform.store")


def load_library() -> None:
    """Load what applets may import, time zones included; called when the snapshot is made."""
    for name in LIBRARY.split():
        __import__(name)
    zones = {
        name: (importlib.resources.files("tzdata") / "zoneinfo" / name).read_bytes()
        for name in zoneinfo.available_timezones()
    }

    def load_zone(key: str) -> io.BytesIO:
        try:
            return io.BytesIO(zones[key])
        except KeyError:
            raise zoneinfo.ZoneInfoNotFoundError(f"No time zone found with key {key}") from None

    zoneinfo.reset_tzpath(())
    zoneinfo._common.load_tzdata = load_zone  # type: ignore[assignment]
    zoneinfo.ZoneInfo("Europe/Berlin")
    zoneinfo.ZoneInfo.clear_cache()


def close(stream: io.TextIOBase) -> None:
    """Leave the applet its library and nothing else; called when an instance starts."""
    warnings.simplefilter("ignore")  # to show one, its line is looked up in a file
    builtins.open = _no_files
    io.open = _no_files
    sys.stdout = sys.stderr = cast("TextIO", stream)
    for name in ("stdin", "__stdin__", "__stdout__", "__stderr__"):
        setattr(sys, name, None)
    _shut.extend(sys.modules.pop(name, None) for name in SHUT.split())
    sys.modules["time"] = _clockless
    _shut.append(sys.path_importer_cache)
    sys.path_importer_cache = {}
    sys.path.clear()
    sys.path_hooks.clear()
    sys.meta_path[:] = [_Refuser()]
