# SPDX-License-Identifier: Apache-2.0
"""Profiling answers as release 0.1 gave them. Frozen: ledgers hold such answers.

No applet makes one any more, and no new question takes one (`messages`). These had REQUEST, PROOF
and the days, without a format; the proof opened exact scores as amounts
(`protocols.proofs.amounts`).

Errors: MessageRefused
"""

from collections.abc import Sequence
from dataclasses import dataclass

from applets.common.questions import decode_answer
from applets.profiling.messages import (
    FORMAT_ENTRY,
    PROFILING,
    ProfilingAnswer,
    ProfilingRequest,
)
from protocols.amounts import Amount, Sum, Total


@dataclass(frozen=True, slots=True)
class ProfilingAnswerVersion1(ProfilingAnswer):
    """What was asked for, opened as amounts."""

    format = None


def amounts_version_1(
    request: ProfilingRequest, starts: Sequence[int], slot_seconds: int
) -> tuple[Amount, ...]:
    """Return what was proved; raise `ProfilesMalformed` where the slots do not fit."""
    return tuple(
        amount
        for number in request.numbers(starts, slot_seconds)
        for amount in (_sums(number) if isinstance(number, Total) else [number])
    )


def decode_any_answer(data: bytes) -> ProfilingAnswer:
    """Return the answer in `data`, of this version or the first; raise `MessageRefused`."""
    _, entries = decode_answer(data, PROFILING)
    if entries and entries[0].obis == FORMAT_ENTRY:
        return ProfilingAnswer.decode(data)
    return ProfilingAnswerVersion1.decode(data)


def _sums(total: Total) -> list[Sum]:
    return [one.amount for one in total.metered if isinstance(one.amount, Sum)]
