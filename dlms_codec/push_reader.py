# SPDX-License-Identifier: Apache-2.0
"""Reads pushes, and remembers their shapes: a meter sends the same one for years.

The first pushes of a shape are decoded value by value. From them comes a pattern that fixes all
that their meaning hangs on: tags, lengths, codes, scalers, units. What may differ are numbers, and
octets and texts of the same length. A push that fits a pattern byte for byte is read by it at once,
with the same outcome.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import repeat
from operator import call
from struct import Struct
from typing import Any, Final, TypeAlias

from dlms_codec._make import twin
from dlms_codec.apdus.notifications import DataNotification
from dlms_codec.axdr import encode_data, encode_length
from dlms_codec.data import Array, Data, Structure, VisibleString
from dlms_codec.datetimes import DateTime
from dlms_codec.numbers import Float32, Float64, SizedInt
from dlms_codec.obis import Obis
from dlms_codec.options import DEFAULT_LIMITS, Limits, Quirk
from dlms_codec.profiles import PROFILES, Profile
from dlms_codec.push import (
    CLOCK_GROUPS,
    Meaning,
    Push,
    PushValue,
    is_code,
    object_of,
    scaler_unit,
    values_of,
)

SHAPES_OF_A_LENGTH: Final = 4
LENGTHS: Final = 64
"""How many shapes are remembered; bounds what a stranger can fill."""
LONGEST: Final = 4096
"""Longer pushes are not remembered."""

_CODES: Final = {(1, True): "b", (2, True): "h", (4, True): "i", (8, True): "q",
                 (1, False): "B", (2, False): "H", (4, False): "I", (8, False): "Q"}  # fmt: skip
_new_int = int.__new__
_new_bytes = bytes.__new__
_new_tuple = tuple.__new__
_PushTwin: Final = twin(Push)


_Maker: TypeAlias = Callable[[Any, Any], Any]
"""Makes a value of its kind and its bytes or number."""


def _constant(value: Data, _raw: object) -> Data:
    return value


def _call(kind: Callable[[bytes], Data], raw: bytes) -> Data:
    return kind(raw)


@dataclass(frozen=True, slots=True)
class _Shape:
    """A pattern, how the bytes that may differ are taken out, and what they become."""

    fits: Callable[[bytes], object]
    unpack: Callable[[bytes], tuple[Any, ...]]
    meanings: tuple[Meaning, ...]
    makers: tuple[_Maker, ...]
    kinds: tuple[Any, ...]
    has_time: bool
    clocks: tuple[int, ...]
    """Which values are clocks, should their octets be a time."""
    profile: str | None


class PushReader:
    """Reads pushes; shapes that it has seen are read faster."""

    def __init__(
        self,
        *,
        limits: Limits = DEFAULT_LIMITS,
        quirks: Quirk = Quirk.ALL,
        profiles: Sequence[Profile] = PROFILES,
    ) -> None:
        self._limits = limits
        self._quirks = quirks
        self._profiles = tuple(profiles)
        self._shapes: dict[int, tuple[_Shape, ...]] = {}
        self._seen: set[int] = set()  # lengths that came once

    def read(self, apdu: bytes) -> Push:
        """Return the push that an APDU is; raise `MalformedDlms` if it is none."""
        for shape in self._shapes.get(len(apdu), ()):
            if shape.fits(apdu) is not None:
                return self._by_shape(apdu, shape)
        return self._by_value(apdu)

    def _by_shape(self, apdu: bytes, shape: _Shape) -> Push:
        raw = shape.unpack(apdu)
        # In the C of `map`: this is where the time goes.
        made = map(call, shape.makers, shape.kinds, raw[1:])
        values = tuple(map(_new_tuple, repeat(PushValue), zip(shape.meanings, made, strict=True)))
        if shape.has_time:
            time: DateTime | None = _new_bytes(DateTime, raw[0])
        else:
            time = _first_time(values, shape.clocks)
        push: Any = _PushTwin()
        push.wire = apdu
        push.time = time
        push.values = values
        push.profile = shape.profile
        push.limits = self._limits
        push.quirks = self._quirks
        push.__class__ = Push
        made_push: Push = push
        return made_push

    def _by_value(self, apdu: bytes) -> Push:
        notification = DataNotification.decode(apdu, limits=self._limits, quirks=self._quirks)
        body = notification.body
        sent = values_of(body)
        values, profile = sent, None
        for candidate in self._profiles:
            completed = candidate.complete(body, sent, notification.quirks)
            if completed is not None:
                values, profile = completed, candidate.name
                break
        time = notification.time or _first_time(values, clocks(values))
        if (
            len(apdu) <= LONGEST
            and isinstance(body, Array | Structure)
            and Quirk.BARE_DESCRIPTORS not in notification.quirks  # tried where all else fails
        ):
            self._learn(apdu, notification, values, profile)
        return Push(apdu, time, values, profile, self._limits, self._quirks)

    def _learn(
        self,
        apdu: bytes,
        notification: DataNotification,
        values: Sequence[PushValue],
        profile: str | None,
    ) -> None:
        """Remember the shape of a push, if one of its length came before: learning takes longer."""
        length = len(apdu)
        if length not in self._seen:
            if len(self._seen) >= LENGTHS:
                self._seen.clear()
            self._seen.add(length)
            return
        read = frozenset[Obis]().union(*(each.reads for each in self._profiles))
        shape = _Learner(notification, values, profile, read).shape()
        if shape is None:
            return
        if length not in self._shapes and len(self._shapes) >= LENGTHS:
            self._shapes.pop(next(iter(self._shapes)), None)  # the one that was learned first
        known = self._shapes.get(length, ())
        self._shapes[length] = (shape, *known[: SHAPES_OF_A_LENGTH - 1])


class _Learner:
    """Makes a shape of a push that was decoded."""

    def __init__(
        self,
        notification: DataNotification,
        values: Sequence[PushValue],
        profile: str | None,
        read: frozenset[Obis],
    ) -> None:
        """`read` are the codes whose values a profile looks at."""
        self._notification = notification
        self._read = {id(entry.value) for entry in values if entry.meaning.obis in read}
        self._values = values
        self._profile = profile
        self._wanted = {id(entry.value): place for place, entry in enumerate(values)}
        self._pattern: list[bytes] = []
        self._format = [">"]
        self._order: list[tuple[int, _Maker, Any]] = []

    def shape(self) -> _Shape | None:
        """Return the shape; None if a value stands in it twice, or not where it was found."""
        if len(self._wanted) != len(self._values):
            return None  # the same object at two places: nothing tells which is which
        time = self._notification.time
        self._fixed(b"\x0f")
        self._pattern.append(b".{4}")
        self._skip(4)
        if time is None:
            self._fixed(b"\0")
            self._format.append("0s")
        else:
            tagged = Quirk.TAGGED_TIME in self._notification.quirks
            self._fixed(b"\x09\x0c" if tagged else b"\x0c")
            self._pattern.append(b".{12}")
            self._format.append("12s")
        self._tree(self._notification.body, first=True)
        places = [place for place, _, _ in self._order]
        if places != list(range(len(self._values))):
            return None
        pattern = re.compile(b"".join(self._pattern), re.DOTALL)
        taken = Struct("".join(self._format))
        return _Shape(
            pattern.fullmatch,
            taken.unpack,
            tuple(entry.meaning for entry in self._values),
            tuple(make for _, make, _ in self._order),
            tuple(kind for _, _, kind in self._order),
            time is not None,
            tuple(clocks(self._values)),
            self._profile,
        )

    def _fixed(self, raw: bytes) -> None:
        self._pattern.append(re.escape(raw))
        self._skip(len(raw))

    def _skip(self, size: int) -> None:
        if size:
            self._format.append(f"{size}x")

    def _tree(self, value: Data, *, first: bool) -> None:
        """Add a value; what is wanted of it may differ, unless the meaning hangs on it."""
        place = self._wanted.get(id(value))
        if isinstance(value, Array | Structure) and place is None and not _is_fixed(value):
            self._fixed(bytes([value.tag]) + encode_length(len(value), value.width))
            beside = _beside_codes(value)
            for number, item in enumerate(value):
                if number in beside and id(item) not in self._wanted:
                    self._fixed(encode_data(item))  # class or attribute of a descriptor
                else:
                    self._tree(item, first=first and number == 0)
            return
        wire = encode_data(value)
        size, make, kind, code = self._openness(value, first=first)
        if not size or id(value) in self._read:
            self._fixed(wire)
            if place is not None:
                self._format.append("0s")
                self._order.append((place, _constant, value))
            return
        self._fixed(wire[: len(wire) - size])
        self._pattern.append(b".{%d}" % size)
        if place is None:
            self._skip(size)
        else:
            self._format.append(code)
            self._order.append((place, make, kind))

    def _openness(self, value: Data, *, first: bool) -> tuple[int, _Maker, Any, str]:
        """Return how many of a value's last bytes may differ, and what becomes of them."""
        if isinstance(value, SizedInt):
            return value.size, _new_int, type(value), _CODES[value.size, value.signed]
        if isinstance(value, Float32 | Float64):
            return value.size, _call, type(value), f"{value.size}s"
        # Six octets may be a code, and what comes first may be the version of a list.
        if (
            isinstance(value, bytes)
            and type(value) in (bytes, VisibleString)
            and len(value) != 6
            and (len(value) == 12 or not first)
            and not getattr(value, "width", 0)
        ):
            return len(value), _new_bytes, type(value), f"{len(value)}s"
        return 0, _constant, value, ""


@lru_cache(maxsize=16)
def shared_reader(limits: Limits, quirks: Quirk, thread: int) -> PushReader:
    """Return the reader that the calls of one thread share, with the known profiles.

    `thread` is that of the caller: what a reader remembers is not locked.
    """
    return PushReader(limits=limits, quirks=quirks)


def _beside_codes(items: Array | Structure) -> set[int]:
    """Return where numbers stand next to what may be a code."""
    codes = [place for place, item in enumerate(items) if is_code(item)]
    beside = {place + step for place in codes for step in (-1, 1)}
    return {p for p in beside if 0 <= p < len(items) and isinstance(items[p], SizedInt)}


def _is_fixed(value: Data) -> bool:
    """Whether the meaning of other values hangs on a value: scaler and unit, an object's name."""
    return scaler_unit(value) is not None or object_of(value) is not None


def clocks(values: Sequence[PushValue]) -> list[int]:
    """Return which values are clocks by their codes."""
    return [
        place
        for place, entry in enumerate(values)
        if (obis := entry.meaning.obis) is not None and tuple(obis.code[2:5]) == CLOCK_GROUPS
    ]


def _first_time(values: Sequence[PushValue], places: Sequence[int]) -> DateTime | None:
    return next((time for place in places if (time := values[place].time) is not None), None)
