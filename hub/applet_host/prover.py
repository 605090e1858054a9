# SPDX-License-Identifier: Apache-2.0
"""A proof as a task in bytes, made here or in a process of its own.

    task     CBOR [kind, ...]: all that a proof follows from, the seed of its randomness included
    outcome  CBOR [values, proof, openings of what is handed on], or [] where the statement cannot
             be proved; without the openings of release 0.2 and before

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
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Final, NamedTuple, TypeAlias

from protocols.amounts import decode_amounts, decode_numbers
from protocols.canonical.stored import decode_row, encode_row
from protocols.carried import CarriedState
from protocols.metrology import CertifiedDay, CertifiedPeriod
from protocols.proofs import (
    FalseStatement,
    NumbersContext,
    ProofRefused,
    SlotOpening,
    Source,
    StatementContext,
    VectorOpening,
    open_amounts,
    open_numbers,
    open_numbers_on,
)
from protocols.proofs.carrying import Openings, carried_quantities, openings_of
from protocols.proofs.group import decode_scalar, encode_scalar

MOST_MEMORY: Final = 200 << 20
"""Bytes of data that the process may have."""
MOST_SECONDS: Final = 60
"""Of processor time."""
_NICE: Final = 10
_SCALAR: Final = 32


class Told(NamedTuple):
    """Values, and what proves them."""

    values: tuple[int, ...]
    proof: bytes
    kept: Openings = MappingProxyType({})
    """What opens what they hand on, by name."""


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


def carrying_task(
    about: NumbersContext,
    sources: Sequence[ProvedDays],
    amounts: bytes,
    seed: bytes,
    state: CarriedState,
    openings: Openings,
) -> bytes:
    """Return the task of proving numbers that go on from a state, which the openings open."""
    carried = state.encode(), encode_openings(openings)
    return _task("carrying", [*about.registers], about, sources, amounts, seed, *carried)


def encode_openings(openings: Openings) -> list[list[Any]]:
    """Return openings as a row holds them."""
    return [[name, value, encode_scalar(scalar)] for name, (value, scalar) in openings.items()]


def decode_openings(rows: Sequence[Sequence[Any]]) -> dict[str, tuple[int, int]]:
    """Return what `encode_openings` wrote."""
    return {name: (value, decode_scalar(scalar)) for name, value, scalar in rows}


def _task(
    kind: str,
    registers: bytes | list[bytes],
    about: StatementContext | NumbersContext,
    sources: Sequence[ProvedDays],
    amounts: bytes,
    seed: bytes,
    *more: object,
) -> bytes:
    context = [
        about.meter, registers, about.begin, about.end, about.slot_minutes,
        about.parameters, about.recipient, about.purpose, about.nonce,
    ]  # fmt: skip
    return encode_row([kind, context, [_packed(*one) for one in sources], amounts, seed, *more])


def _packed(days: Sequence[bytes], opening: SlotOpening | VectorOpening) -> list[Any]:
    is_vector = isinstance(opening, VectorOpening)
    blindings = b"".join(map(encode_scalar, opening.blindings))
    return [[*days], is_vector, [*opening.uses], blindings]


def work_off(task: bytes) -> bytes:
    """Return the outcome of a task of ours."""
    kind, *parts = decode_row(task)
    try:
        told = KINDS[kind](*parts)
    except (FalseStatement, ProofRefused, ValueError):
        # Beyond 63 bits, or beyond what blocks, limits and peaks are proved up to.
        return encode_row([])
    return encode_row([list(told.values), told.proof, encode_openings(told.kept)])


def outcome_of(data: bytes) -> Told | None:
    """Return what an outcome tells; None where the statement cannot be proved."""
    match decode_row(data):
        case [list(values), bytes(proof), *kept] if len(kept) < 2:
            return Told(tuple(values), proof, decode_openings(*kept or [[]]))
        case _:
            return None


def _amounts(context: Sequence[Any], sources: Sequence[Any], amounts: bytes, seed: bytes) -> Told:
    [source] = map(_source, sources)
    return Told(*open_amounts(StatementContext(*context), source, decode_amounts(amounts), seed))


def _numbers(context: Sequence[Any], sources: Sequence[Any], amounts: bytes, seed: bytes) -> Told:
    meter, registers, *rest = context
    about = NumbersContext(meter, tuple(registers), *rest)
    return Told(*open_numbers(about, [*map(_source, sources)], decode_numbers(amounts), seed))


def _carrying(
    context: Sequence[Any],
    sources: Sequence[Any],
    amounts: bytes,
    seed: bytes,
    state: bytes,
    openings: Sequence[Any],
) -> Told:
    meter, registers, *rest = context
    before, numbers = CarriedState.decode(state), decode_numbers(amounts)
    about = replace(NumbersContext(meter, tuple(registers), *rest), state=before.digest)
    carried = carried_quantities(before, numbers, decode_openings(openings))
    stated, proof = open_numbers_on(about, [*map(_source, sources)], numbers, seed, carried)
    return Told(stated.values, proof, openings_of(stated.kept))


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


KINDS: Final[Mapping[str, Callable[..., Told]]] = {
    "amounts": _amounts,
    "numbers": _numbers,
    "carrying": _carrying,
}


def main() -> None:
    """Work off one task between the standard streams, within the limits."""
    os.nice(_NICE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core file would hold uses
    resource.setrlimit(resource.RLIMIT_CPU, (MOST_SECONDS, MOST_SECONDS))
    resource.setrlimit(resource.RLIMIT_DATA, (MOST_MEMORY, MOST_MEMORY))
    sys.stdout.buffer.write(work_off(sys.stdin.buffer.read()))


if __name__ == "__main__":
    main()
