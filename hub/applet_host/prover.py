# SPDX-License-Identifier: Apache-2.0
"""A proof as a task in bytes, made here or in a process of its own.

    task     CBOR [kind, ...]: all that a proof follows from, the seed of its randomness included
    outcome  CBOR [values, proof], or [] where the statement cannot be proved

Each kind of task is a function in `KINDS`. The process (`python -m hub.applet_host.prover`) reads
one task from its standard input, writes the outcome to its standard output, and ends. It has no
file, no key and no line to anybody, gives way to whoever else wants the processor, and is ended by
the system where it takes more time or memory than it may. Uses and blindings reach it through the
pipe alone.
"""

import os
import resource
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias

from protocols.amounts import decode_amounts, decode_numbers
from protocols.canonical.stored import decode_row, encode_row
from protocols.metrology import CertifiedDay, CertifiedPeriod
from protocols.proofs import (
    FalseStatement,
    NumbersContext,
    SlotOpening,
    Source,
    StatementContext,
    VectorOpening,
    open_amounts,
    open_numbers,
)
from protocols.proofs.group import decode_scalar, encode_scalar

MOST_MEMORY: Final = 200 << 20
"""Bytes of data that the process may have."""
MOST_SECONDS: Final = 60
"""Of processor time."""
_NICE: Final = 10
_SCALAR: Final = 32

Told = tuple[tuple[int, ...], bytes]
"""Values, and what proves them."""


ProvedDays: TypeAlias = tuple[Sequence[bytes], SlotOpening | VectorOpening]
"""A register's certified days, encoded, and what opens them."""


def amounts_task(
    about: StatementContext, sources: Sequence[ProvedDays], amounts: bytes, seed: bytes
) -> bytes:
    """Return the task of proving amounts over the days of one register."""
    return _task("amounts", about.register, about, sources, amounts, seed)


def numbers_task(
    about: NumbersContext, sources: Sequence[ProvedDays], amounts: bytes, seed: bytes
) -> bytes:
    """Return the task of proving numbers of several registers, with the days of each."""
    return _task("numbers", [*about.registers], about, sources, amounts, seed)


def _task(
    kind: str,
    registers: bytes | list[bytes],
    about: StatementContext | NumbersContext,
    sources: Sequence[ProvedDays],
    amounts: bytes,
    seed: bytes,
) -> bytes:
    context = [
        about.meter, registers, about.begin, about.end, about.slot_minutes,
        about.parameters, about.recipient, about.purpose, about.nonce,
    ]  # fmt: skip
    return encode_row([kind, context, [_packed(*one) for one in sources], amounts, seed])


def _packed(days: Sequence[bytes], opening: SlotOpening | VectorOpening) -> list[Any]:
    is_vector = isinstance(opening, VectorOpening)
    blindings = b"".join(map(encode_scalar, opening.blindings))
    return [[*days], is_vector, [*opening.uses], blindings]


def work_off(task: bytes) -> bytes:
    """Return the outcome of a task of ours."""
    kind, *parts = decode_row(task)
    try:
        values, proof = KINDS[kind](*parts)
    except (FalseStatement, ValueError):
        # Beyond 63 bits, or beyond what blocks, limits and peaks are proved up to.
        return encode_row([])
    return encode_row([list(values), proof])


def outcome_of(data: bytes) -> Told | None:
    """Return what an outcome tells; None where the statement cannot be proved."""
    match decode_row(data):
        case [list(values), bytes(proof)]:
            return tuple(values), proof
        case _:
            return None


def _amounts(context: Sequence[Any], sources: Sequence[Any], amounts: bytes, seed: bytes) -> Told:
    [source] = map(_source, sources)
    return open_amounts(StatementContext(*context), source, decode_amounts(amounts), seed)


def _numbers(context: Sequence[Any], sources: Sequence[Any], amounts: bytes, seed: bytes) -> Told:
    meter, registers, *rest = context
    about = NumbersContext(meter, tuple(registers), *rest)
    return open_numbers(about, [*map(_source, sources)], decode_numbers(amounts), seed)


def _source(packed: Sequence[Any]) -> Source:
    days, is_vector, uses, blindings = packed
    scalars = tuple(
        decode_scalar(blindings[at : at + _SCALAR]) for at in range(0, len(blindings), _SCALAR)
    )
    opening: SlotOpening | VectorOpening = SlotOpening(tuple(uses), scalars)
    if is_vector:
        opening = VectorOpening(tuple(uses), scalars)
    period = CertifiedPeriod(tuple(map(CertifiedDay.decode, days)))
    return period.source(opening, needs_slots=not is_vector)


KINDS: Final[Mapping[str, Callable[..., Told]]] = {"amounts": _amounts, "numbers": _numbers}


def main() -> None:
    """Work off one task between the standard streams, within the limits."""
    os.nice(_NICE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core file would hold uses
    resource.setrlimit(resource.RLIMIT_CPU, (MOST_SECONDS, MOST_SECONDS))
    resource.setrlimit(resource.RLIMIT_DATA, (MOST_MEMORY, MOST_MEMORY))
    sys.stdout.buffer.write(work_off(sys.stdin.buffer.read()))


if __name__ == "__main__":
    main()
