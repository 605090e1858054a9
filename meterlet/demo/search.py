# SPDX-License-Identifier: Apache-2.0
"""Looks for readings where none may be: in other processes' memory, in files, in logs.

A home's uses are looked for as runs of six neighbours, and its registers, in the forms that
programs give to numbers: integers of 16, 32 and 64 bits and floats in either byte order, CBOR,
decimal text, SML, and the limbs that the protocol packs seven slots into (as bytes, and as
CPython's own digits of 30 bits). Runs too plain to be told from chance (all small, or alike) are
left out. A list of separately kept small Python integers is not recognised.

Memory is read through /proc/PID/mem, which a process may do to its children.
"""

import re
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import Final

RUN: Final = 6
PLAIN: Final = 16
"""Uses below are too plain to be told from chance."""
DENSE: Final = 100
"""Of more slots, only every third run is looked for: whoever holds nine in a row holds one."""
LIMB_SLOTS: Final = 7
SLOT_BITS: Final = 36
LEAST: Final = 8
"""Bytes of the shortest needle."""
CHUNK: Final = 1 << 24
TABLE_BITS: Final = 24
FACTOR: Final = 0x9E3779B97F4A7C15
"""2^64 over the golden ratio: Fibonacci hashing (Knuth, volume 3, 6.4)."""
_MAP: Final = re.compile(r"([0-9a-f]+)-([0-9a-f]+) rw\S* \S+ \S+ \S+\s*(.*)")


class SearchImpossible(Exception):
    """Memory cannot be read, or the package that makes the search quick is not installed."""


@dataclass(slots=True)
class Needles:
    """What to look for, found by eight bytes of it, as unlike each other as there are."""

    by_anchor: dict[bytes, list[tuple[bytes, int, str]]] = field(default_factory=dict)
    """Needles, where in them the anchor is, and what they stand for."""
    longest: int = LEAST

    def add(self, home: str, uses: Sequence[int], start_register: int) -> None:
        """Look for a home's uses, and for the registers that they make."""
        step = 1 if len(uses) <= DENSE else RUN // 2
        for at in range(0, len(uses) - RUN + 1, step):
            run = uses[at : at + RUN]
            if min(run) >= PLAIN and len(set(run)) >= RUN - 1:
                self._add_all(f"{home}: uses of slots {at} to {at + RUN - 1}", _forms(run))
        registers = list(accumulate(uses, initial=start_register))
        for at in range(0, len(registers) - 2, step):
            pair = registers[at : at + 3]
            if len(set(pair)) == 3 and pair[0] > 0xFFFF:
                self._add_all(f"{home}: registers of slots {at} to {at + 1}", _forms(pair))
                self._add_all(f"{home}: the register of slot {at}", [_sml(pair[0])])
        for at in range(0, len(uses) - LIMB_SLOTS + 1, LIMB_SLOTS):
            limb = sum(wh << SLOT_BITS * k for k, wh in enumerate(uses[at : at + LIMB_SLOTS]))
            if sum(wh > 0 for wh in uses[at : at + LIMB_SLOTS]) >= RUN:
                self._add_all(f"{home}: the limb of slot {at}", _limb_forms(limb))

    def find(self, chunks: Iterable[bytes]) -> set[str]:
        """Return what was found in overlapping chunks; raise `SearchImpossible` without numpy."""
        try:
            import numpy as np
        except ImportError:
            raise SearchImpossible("the search needs numpy") from None
        table = np.zeros(1 << TABLE_BITS, dtype=bool)
        shift = np.uint64(64 - TABLE_BITS)
        anchors = np.frombuffer(b"".join(self.by_anchor), dtype="<u8") * np.uint64(FACTOR)
        table[anchors >> shift] = True
        found: set[str] = set()
        for chunk in chunks:
            for offset in range(LEAST):
                count = (len(chunk) - offset) // LEAST
                if count < 1:
                    continue
                words = np.frombuffer(chunk, dtype="<u8", count=count, offset=offset)
                hits = np.flatnonzero(table[(words * np.uint64(FACTOR)) >> shift])
                for hit in hits.tolist():
                    place = offset + LEAST * hit
                    anchor = chunk[place : place + LEAST]
                    for needle, inside, name in self.by_anchor.get(anchor, ()):
                        if place >= inside and chunk.startswith(needle, place - inside):
                            found.add(name)
        return found

    def find_in_files(self, paths: Iterable[Path]) -> set[str]:
        """Return what was found in files."""
        return self.find(path.read_bytes() for path in paths if path.is_file())

    def find_in_process(self, pid: int) -> set[str]:
        """Return what was found in a process's memory."""
        return self.find(read_memory(pid, self.longest))

    def _add_all(self, name: str, forms: Iterable[bytes]) -> None:
        for form in forms:
            if len(form) >= LEAST:
                places = range(len(form) - LEAST + 1)
                inside = max(places, key=lambda at: len(set(form[at : at + LEAST])))
                anchor = form[inside : inside + LEAST]
                self.by_anchor.setdefault(anchor, []).append((form, inside, name))
                self.longest = max(self.longest, len(form))


def read_memory(pid: int, overlap: int) -> Iterator[bytes]:
    """Yield what a process may write to of its own memory, in chunks that overlap.

    Raises `SearchImpossible` where the system does not let us.
    """
    with ExitStack() as stack:
        try:
            maps = Path(f"/proc/{pid}/maps").read_text().splitlines()
            memory = stack.enter_context(Path(f"/proc/{pid}/mem").open("rb", buffering=0))
        except OSError as error:
            raise SearchImpossible(f"the memory of process {pid}: {error.strerror}") from None
        for line in maps:
            match = _MAP.match(line)
            if match is None or match[3].startswith(("[vvar", "[vsyscall", "/dev/")):
                continue
            start, end = int(match[1], 16), int(match[2], 16)
            for at in range(start, end, CHUNK):
                try:
                    memory.seek(at)
                    yield memory.read(min(CHUNK + overlap, end - at))
                except (OSError, ValueError, OverflowError):
                    break  # a part that the system keeps to itself, or that is gone


def _forms(numbers: Sequence[int]) -> Iterator[bytes]:
    for code in "HIQ":
        if max(numbers) < 1 << 8 * struct.calcsize(code):
            for order in "<>":
                yield struct.pack(f"{order}{len(numbers)}{code}", *numbers)
    for scale in (1, 1000):
        for order in "<>":
            yield struct.pack(f"{order}{len(numbers)}d", *(number / scale for number in numbers))
    yield b"".join(map(_cbor, numbers))
    for between in (",", ", ", " ", "\n", ";", "\t"):
        yield between.join(map(str, numbers)).encode()


def _cbor(number: int) -> bytes:
    if number < 24:
        return bytes([number])
    size = next(size for size in (1, 2, 4, 8) if number < 1 << 8 * size)
    return bytes([0x18 + size.bit_length() - 1]) + number.to_bytes(size, "big")


def _sml(register: int) -> bytes:
    """Return unit, scaler and value as the emulated meter's telegrams have them."""
    value = 10 * register
    size = (value.bit_length() + 8) // 8
    return b"\x62\x1e\x52\xff" + bytes([0x51 + size]) + value.to_bytes(size, "big")


def _limb_forms(limb: int) -> Iterator[bytes]:
    pack: Callable[[int], bytes] = struct.Struct("<I").pack
    digits = range(0, limb.bit_length(), 30)
    yield limb.to_bytes(32, "big").lstrip(b"\0")
    yield limb.to_bytes(32, "little").rstrip(b"\0")
    yield b"".join(pack(limb >> at & (1 << 30) - 1) for at in digits)
