# SPDX-License-Identifier: Apache-2.0
"""The group secp256k1 (SEC 2, version 2, clause 2.4.1), by way of libsecp256k1.

This is the only module that talks to the library. It hands out two values:

    Point        one element of the group, the point at infinity included
    PointVector  many elements in one C array, never the point at infinity

and does sums of n points in one call of the library (0.2 µs a point), which is what makes a
month of commitments cheap to verify: equal weights are added up before anything is multiplied,
and many different weights go through buckets (Pippenger 1976), bit by bit.

Scalars are integers modulo the group's order; `encode_scalar` and `decode_scalar` move them over
the wire as 32 bytes, big-endian, reduced. Points travel as 33 or 65 bytes (SEC 1, version 2,
clause 2.3.3; 65 bytes cost twenty times less to read). The point at infinity has no encoding: no
honest message contains it.

The library takes an illegal argument for a bug of its caller and may end the process, so every
argument is checked here before the call. Multiplication of the generator (`multiply_generator`)
takes constant time in the library; everything else does not.
"""

import sys
from array import array
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import chain, compress, islice, pairwise, repeat
from operator import ne
from typing import Any, Final, Self, overload

from btclib_secp256k1 import ffi, lib
from btclib_secp256k1.context import ctx

from protocols.proofs._digits import best_width, cut_digits
from protocols.proofs.errors import Malformed

ORDER: Final = 0xFFFFFFFF_FFFFFFFF_FFFFFFFF_FFFFFFFE_BAAEDCE6_AF48A03B_BFD25E8C_D0364141
"""The number of points, a prime."""

SCALAR_SIZE: Final = 32
COMPRESSED_SIZE: Final = 33
UNCOMPRESSED_SIZE: Final = 65
POINT_SIZES: Final = (COMPRESSED_SIZE, UNCOMPRESSED_SIZE)

_FLAGS: Final = {COMPRESSED_SIZE: 258, UNCOMPRESSED_SIZE: 2}  # SECP256K1_EC_(UN)COMPRESSED
_CELL: Final = 64  # sizeof(secp256k1_pubkey)
_CELL_POINTER: Final = ffi.typeof("secp256k1_pubkey *")
_POINTER_ARRAY: Final = ffi.typeof("secp256k1_pubkey *[]")

_Term = tuple[int, int]  # a factor in [1, order / 2] and the address of a point

if ffi.sizeof("secp256k1_pubkey") != _CELL or ffi.sizeof("void *") != 8:
    raise ImportError("protocols.proofs.group needs a 64-bit libsecp256k1")

_parse: Final = lib.secp256k1_ec_pubkey_parse
_serialize: Final = lib.secp256k1_ec_pubkey_serialize
_combine: Final = lib.secp256k1_ec_pubkey_combine
_create: Final = lib.secp256k1_ec_pubkey_create
_multiply: Final = lib.secp256k1_ec_pubkey_tweak_mul
_negate: Final = lib.secp256k1_ec_pubkey_negate
_compare: Final = lib.secp256k1_ec_pubkey_cmp


def encode_scalar(scalar: int) -> bytes:
    """Return the 32 bytes of `scalar`, which is reduced modulo the order first."""
    return (scalar % ORDER).to_bytes(SCALAR_SIZE, "big")


def decode_scalar(data: bytes) -> int:
    """Return the scalar of exactly 32 bytes; raise `Malformed` if it is not below the order."""
    if len(data) != SCALAR_SIZE:
        raise Malformed(f"a scalar has {SCALAR_SIZE} bytes, not {len(data)}")
    scalar = int.from_bytes(data, "big")
    if scalar >= ORDER:
        raise Malformed("the scalar is not reduced modulo the group order")
    return scalar


class Point:
    """An element of the group; immutable. `+`, `-`, unary `-` and `* int` do what they say.

    `*` takes variable time: with secret factors use `multiply_generator` or the tables of
    `protocols.proofs.pedersen`.
    """

    __slots__ = ("_cell",)

    def __init__(self, cell: Any = None) -> None:
        # Private: `cell` is a `secp256k1_pubkey *` that this module filled, None is infinity.
        self._cell = cell

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the point of 33 or 65 bytes; raise `Malformed` if it is none, or hybrid."""
        if len(data) not in POINT_SIZES:
            raise Malformed(f"a point has 33 or 65 bytes, not {len(data)}")
        if len(data) == UNCOMPRESSED_SIZE and data[0] != 4:
            raise Malformed("the point's first byte is not 04")
        cell = ffi.new(_CELL_POINTER)
        if not _parse(ctx, cell, bytes(data), len(data)):
            raise Malformed("the bytes are not a point of secp256k1")
        return cls(cell)

    @property
    def is_infinity(self) -> bool:
        """Whether this is the neutral element."""
        return self._cell is None

    def encode(self, size: int = COMPRESSED_SIZE) -> bytes:
        """Return the point's 33 or 65 bytes; raise `Malformed` for the point at infinity."""
        if self._cell is None:
            raise Malformed("the point at infinity has no encoding")
        output = ffi.new("unsigned char[]", _checked_size(size))
        _serialize(ctx, output, ffi.new("size_t *", size), self._cell, _FLAGS[size])
        return bytes(ffi.buffer(output))

    def __add__(self, other: "Point") -> "Point":
        return sum_points((self, other))

    def __sub__(self, other: "Point") -> "Point":
        return sum_points((self, -other))

    def __neg__(self) -> "Point":
        if self._cell is None:
            return self
        cell = ffi.new(_CELL_POINTER, self._cell[0])
        _negate(ctx, cell)
        return Point(cell)

    def __mul__(self, factor: int) -> "Point":
        factor %= ORDER
        if self._cell is None or factor == 0:
            return INFINITY
        # Small factors of either sign are fast: -3 would otherwise have 256 bits.
        if negative := factor > ORDER // 2:
            factor = ORDER - factor
        cell = ffi.new(_CELL_POINTER, self._cell[0])
        _multiply(ctx, cell, factor.to_bytes(SCALAR_SIZE, "big"))
        if negative:
            _negate(ctx, cell)
        return Point(cell)

    __rmul__ = __mul__

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Point):
            return NotImplemented
        if self._cell is None or other._cell is None:
            return self._cell is other._cell
        return bool(_compare(ctx, self._cell, other._cell) == 0)

    def __hash__(self) -> int:
        return hash(b"" if self._cell is None else self.encode())

    def __repr__(self) -> str:
        return "Point(infinity)" if self._cell is None else f"Point({self.encode().hex()})"


class PointVector(Sequence[Point]):
    """Points other than infinity, side by side in C memory; immutable.

    Slices and joins share the memory of what they were made from. The addresses of the points
    are kept as one array of pointers, the shape in which the library adds them up.
    """

    __slots__ = ("_addresses", "_owners")

    def __init__(self, points: Iterable[Point] = ()) -> None:
        cells = [point._cell for point in points]
        if None in cells:
            raise Malformed("a point vector cannot hold the point at infinity")
        memory = ffi.new("secp256k1_pubkey[]", max(len(cells), 1))
        for index, cell in enumerate(cells):
            memory[index] = cell[0]
        self._owners: tuple[Any, ...] = (memory,)
        self._addresses = _addresses_of(memory, len(cells))

    @classmethod
    def _of(cls, owners: tuple[Any, ...], addresses: "array[int]") -> Self:
        vector = cls.__new__(cls)
        vector._owners, vector._addresses = owners, addresses
        return vector

    @classmethod
    def decode(cls, data: bytes, size: int = COMPRESSED_SIZE) -> Self:
        """Return the points of `size` bytes each that fill `data` exactly.

        Raises `Malformed`, naming the first one that is not a point in its only encoding.
        """
        count, rest = divmod(len(data), _checked_size(size))
        if rest:
            raise Malformed(f"{len(data)} bytes are not a whole number of {size}-byte points")
        if size == UNCOMPRESSED_SIZE and data[::size] != b"\4" * count:
            raise Malformed("the first byte of a point is not 04")  # 06 and 07 are hybrid forms
        memory = ffi.new("secp256k1_pubkey[]", max(count, 1))
        addresses = _addresses_of(memory, count)
        encodings = ffi.from_buffer(f"unsigned char[][{size}]", data)
        good = map(_parse, repeat(ctx), _pointers(addresses), encodings, repeat(size))
        # The loop runs inside `sum`, without a step of the interpreter for each point.
        if sum(good) != count:
            raise Malformed(f"point {_first_bad(data, size)} is not on secp256k1")
        return cls._of((memory,), addresses)

    @classmethod
    def join(cls, vectors: Iterable["PointVector"]) -> Self:
        """Return the points of all `vectors`, one after the other, without copying them."""
        parts = list(vectors)
        addresses = array("Q")
        for part in parts:
            addresses.extend(part._addresses)
        owners = dict.fromkeys(chain.from_iterable(part._owners for part in parts))
        return cls._of(tuple(owners), addresses)

    def encode(self, size: int = COMPRESSED_SIZE) -> bytes:
        """Return the concatenated encodings of `size` (33 or 65) bytes each."""
        data = bytearray(_checked_size(size) * len(self))
        length = ffi.new("size_t *", size)
        output = ffi.from_buffer(f"unsigned char[][{size}]", data)
        calls = map(
            _serialize, repeat(ctx), output, repeat(length), _pointers(self._addresses),
            repeat(_FLAGS[size]),
        )  # fmt: skip
        if sum(calls) != len(self):
            raise AssertionError("libsecp256k1 could not serialize its own point")
        return bytes(data)

    def select(self, indexes: Iterable[int]) -> "PointVector":
        """Return the points at `indexes`, in that order, without copying them."""
        chosen = array("Q", map(self._addresses.__getitem__, indexes))
        return PointVector._of(self._owners, chosen)

    def scaled(self, factor: int) -> "PointVector":
        """Return factor · self[i] for each point; takes variable time.

        Raises `ValueError` for a multiple of the order, which would give infinity.
        """
        if factor % ORDER == 0:
            raise ValueError("a multiple of the order scales every point to infinity")
        memory = ffi.new("secp256k1_pubkey[]", max(len(self), 1))
        for index, pointer in enumerate(_pointers(self._addresses)):
            memory[index] = pointer[0]
        addresses = _addresses_of(memory, len(self))
        scalar = (factor % ORDER).to_bytes(SCALAR_SIZE, "big")
        if sum(map(_multiply, repeat(ctx), _pointers(addresses), repeat(scalar))) != len(self):
            raise AssertionError("libsecp256k1 refused a reduced scalar")
        return PointVector._of((memory,), addresses)

    def __len__(self) -> int:
        return len(self._addresses)

    @overload
    def __getitem__(self, index: int) -> Point: ...
    @overload
    def __getitem__(self, index: slice) -> "PointVector": ...
    def __getitem__(self, index: int | slice) -> "Point | PointVector":
        if isinstance(index, slice):
            return PointVector._of(self._owners, self._addresses[index])
        source = ffi.cast(_CELL_POINTER, self._addresses[index])
        return Point(ffi.new(_CELL_POINTER, source[0]))

    def __iter__(self) -> Iterator[Point]:
        return (self[index] for index in range(len(self)))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, PointVector):
            return NotImplemented
        return len(self) == len(other) and self.encode(65) == other.encode(65)

    def __hash__(self) -> int:
        return hash(self.encode(65))

    def __repr__(self) -> str:
        return f"PointVector({len(self)} points)"

    def sum(self) -> Point:
        """Return the sum of all points, in one call of the library."""
        return _sum(self._addresses)

    def weighted_sum(self, weights: Sequence[int]) -> Point:
        """Return Σ weights[i] · self[i] for public integer weights of either sign.

        Takes variable time. Raises `ValueError` unless there is one weight for each point.
        """
        if len(weights) != len(self):
            raise ValueError(f"{len(weights)} weights for {len(self)} points")
        groups: dict[int, array[int]] = {}
        for begin, end in _runs(weights):
            part, held = self._addresses[begin:end], groups.get(weights[begin])
            if held is None:
                groups[weights[begin]] = part
            else:
                held.extend(part)
        return _weigh(groups)


def sum_points(points: Iterable[Point]) -> Point:
    """Return the sum of `points`, infinity if there are none."""
    cells = [point._cell for point in points if point._cell is not None]
    return _sum(array("Q", map(_address, cells)))  # `cells` keeps the memory alive


def weighted_sum(terms: Iterable[tuple[int, Point]]) -> Point:
    """Return Σ weight · point; points at infinity are allowed. Takes variable time."""
    kept = [(weight, point._cell) for weight, point in terms if point._cell is not None]
    groups: defaultdict[int, array[int]] = defaultdict(lambda: array("Q"))
    for weight, cell in kept:
        groups[weight].append(_address(cell))
    return _weigh(groups)


def multiply_generator(scalar: int) -> Point:
    """Return scalar · G in constant time, but for whether the scalar is 0."""
    scalar %= ORDER
    if scalar == 0:
        return INFINITY
    cell = ffi.new(_CELL_POINTER)
    if not _create(ctx, cell, scalar.to_bytes(SCALAR_SIZE, "big")):
        raise AssertionError("libsecp256k1 refused a reduced scalar")
    return Point(cell)


def multiply_generator_many(scalars: Sequence[int]) -> PointVector:
    """Return scalar · G for each of `scalars`, in constant time; raise `ValueError` at a 0."""
    if not all(0 < scalar < ORDER for scalar in scalars):
        raise ValueError("a scalar is not in [1, order)")
    data = b"".join(scalar.to_bytes(SCALAR_SIZE, "big") for scalar in scalars)
    memory = ffi.new("secp256k1_pubkey[]", max(len(scalars), 1))
    addresses = _addresses_of(memory, len(scalars))
    encodings = ffi.from_buffer("unsigned char[][32]", data)
    if sum(map(_create, repeat(ctx), _pointers(addresses), encodings)) != len(scalars):
        raise AssertionError("libsecp256k1 refused a reduced scalar")
    return PointVector._of((memory,), addresses)


def sum_columns(vectors: Sequence[PointVector]) -> PointVector:
    """Return the vector whose points are the sums of the points at the same place.

    Raises `ValueError` unless all are equally long, `Malformed` if a sum is infinity.
    """
    count, height = len(vectors[0]), len(vectors)
    if any(len(vector) != count for vector in vectors):
        raise ValueError("the vectors differ in length")
    columns = array("Q", bytes(8 * count * height))
    for row, vector in enumerate(vectors):
        columns[row::height] = vector._addresses
    memory = ffi.new("secp256k1_pubkey[]", max(count, 1))
    addresses = _addresses_of(memory, count)
    pointers = ffi.from_buffer(f"secp256k1_pubkey *[][{height}]", columns)
    calls = map(_combine, repeat(ctx), _pointers(addresses), pointers, repeat(height))
    if sum(calls) != count:
        raise Malformed("a sum of points is the point at infinity")
    return PointVector._of((memory,), addresses)


# --- Addresses of points in C memory. ---------------------------------------------------------


def _address(cell: Any) -> int:
    return int(ffi.cast("uintptr_t", cell))


def _addresses_of(memory: Any, count: int) -> "array[int]":
    offsets, ones = _lanes(count)
    # One addition of long integers adds the start to all: no address carries into the next.
    lanes = offsets + _address(memory) * ones
    return array("Q", lanes.to_bytes(8 * count, sys.byteorder))


@lru_cache(maxsize=32)
def _lanes(count: int) -> tuple[int, int]:
    """Return 0, 64, 128, ... and 1, 1, 1, ... in words of 64 bits, as long integers."""
    offsets = array("Q", range(0, count * _CELL, _CELL))
    ones = array("Q", repeat(1, count))
    return (
        int.from_bytes(offsets.tobytes(), sys.byteorder),
        int.from_bytes(ones.tobytes(), sys.byteorder),
    )


def _pointers(addresses: "array[int]") -> Any:
    return ffi.from_buffer(_POINTER_ARRAY, addresses)


def _checked_size(size: int) -> int:
    if size not in POINT_SIZES:
        raise ValueError(f"a point has 33 or 65 bytes, not {size}")
    return size


def _first_bad(data: bytes, size: int) -> int:
    cell = ffi.new(_CELL_POINTER)
    starts = range(0, len(data), size)
    bad = (not _parse(ctx, cell, data[start : start + size], size) for start in starts)
    return next(compress(range(len(starts)), bad))


# --- Sums. Every address handed to these must belong to memory the caller keeps alive. ---------


def _sum(addresses: "array[int]") -> Point:
    if not addresses:
        return INFINITY
    cell = ffi.new(_CELL_POINTER)
    # 0 means that the sum is infinity: the points themselves are valid by construction.
    return Point(cell) if _combine(ctx, cell, _pointers(addresses), len(addresses)) else INFINITY


def _runs(weights: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Return where runs of equal weights begin and end: bands of hours are few and long."""
    changes = map(ne, weights, islice(weights, 1, None))
    inner = compress(range(1, len(weights)), changes)
    return pairwise(chain([0], inner, [len(weights)] if weights else []))


def _weigh(groups: Mapping[int, "array[int]"]) -> Point:
    """Return Σ weight · (the sum of the points at these addresses)."""
    terms: list[_Term] = []
    alive: list[Point] = []  # owns the memory of the terms that are not the caller's
    for weight, addresses in groups.items():
        factor = weight % ORDER
        # A negative weight is small again after the sign has moved to the point.
        if negative := factor > ORDER // 2:
            factor = ORDER - factor
        if factor == 0:
            continue
        if len(addresses) == 1 and not negative:
            terms.append((factor, addresses[0]))
            continue
        point = _sum(addresses)
        if not point.is_infinity:
            alive.append(-point if negative else point)
            terms.append((factor, _address(alive[-1]._cell)))
    bits = max(terms, default=(0, 0))[0].bit_length()
    width = best_width(len(terms), bits)
    if width == 0:
        return sum_points(_multiplied(address, factor) for factor, address in terms)
    return _bucket_sum(terms, bits, width)


def _multiplied(address: int, factor: int) -> Point:
    cell = ffi.new(_CELL_POINTER, ffi.cast(_CELL_POINTER, address)[0])
    _multiply(ctx, cell, factor.to_bytes(SCALAR_SIZE, "big"))
    return Point(cell)


def _bucket_sum(terms: Sequence[_Term], bits: int, width: int) -> Point:
    """Return Σ factor · point by the bucket method, with digits of `width` bits.

    For each digit position the points of equal digits are added up first; then, for each bit,
    the sums whose digit has that bit. What is left is one point a bit, joined by doubling.
    """
    addresses = [address for _, address in terms]
    total = INFINITY
    for digits in cut_digits([factor for factor, _ in terms], bits, width):
        for plane in _bit_planes(digits, addresses, width):
            total = sum_points((total, total, plane))
    return total


def _bit_planes(digits: bytes, addresses: Sequence[int], width: int) -> Iterator[Point]:
    """Yield, for each bit from the highest, the sum of the points whose digit has it."""
    buckets: list[list[int]] = [[] for _ in range(1 << width)]
    for digit, address in zip(digits, addresses, strict=True):
        buckets[digit].append(address)
    memory = ffi.new("secp256k1_pubkey[]", 1 << width)
    cells = _addresses_of(memory, 1 << width)
    sums = [0] * (1 << width)
    for digit, (held, pointer) in enumerate(zip(buckets, _pointers(cells), strict=True)):
        if digit and held and _combine(ctx, pointer, _pointers(array("Q", held)), len(held)):
            sums[digit] = cells[digit]
    for bit in reversed(range(width)):
        yield _sum(array("Q", [s for digit, s in enumerate(sums) if s and digit >> bit & 1]))


INFINITY: Final = Point()
GENERATOR: Final = multiply_generator(1)
"""G, the standard generator (SEC 2, version 2, clause 2.4.1)."""
