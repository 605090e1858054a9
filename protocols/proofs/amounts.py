# SPDX-License-Identifier: Apache-2.0
"""Amounts that charges come to, opened, and why they are right.

Public:  the context; the certified days with their commitments C[t]; the amounts' description
         (`protocols.amounts`); the values.
Secret:  uses x[t] and blindings r[t], with C[t] = x[t]·H + r[t]·G where days are committed to slot
         by slot.
Claim:   for each amount, in order, that its value is
           Sum      Σ w[t]·x[t]
           Tiered   Σ over buckets f(Σ w[t]·x[t]), f(0) = 0, of slope price[i] in block i
           Peaks    Σ over groups, or over the N highest, of max(floor, the use of each window), the
                    use times a rate and rounded down, where there is one
           Excess   Σ w[t]·x[t] + Σ over limits L of Σ v[t]·max(0, x[t] − L)
           Count    of several windows, how many use more than a limit
           Best     the place of the largest of several Σ w[t]·x[t] (of equal ones, any)
           Reading  x[t] of one slot
Proof:   one session (`protocols.proofs.session`): forms and windows of the certified slots,
         `tiers` for each bucket, a maximum for each peak (of a few windows a one-of-several proof
         and ranges, of many `protocols.proofs.many_ranges`), one proof for all slots and limits of
         an excess (`protocols.proofs.excess`), the same over windows for a count, and openings.

A sum over commitments slot by slot needs no more than its opening: with s = Σ w[t]·r[t] anyone
checks Σ w[t]·C[t] = value·H + s·G. That is binding while nobody knows log_G(H), and shows nothing
of x but the value (Jawurek, Johns and Kerschbaum, PETS 2011; Rial and Danezis, WPES 2011). The
group tells the value modulo its order n only; the certifier signs no use above `LARGEST_USE_WH`,
and a session keeps Σ |w[t]| times that, and the value, far below n/2: no multiple of n can be
hidden in between.

A proof holds for its context alone: meter, register, period, slot length, parameters, recipient,
purpose and nonce are in its transcript, and so are the days and the amounts. Its challenges bind it
to them, or where there is none, the digest at its end (`protocols.proofs.channel`).

Nothing is told but the values: not what lies in each block or above each limit, nor when a peak
was. A single peak is opened before its ranges, so that these need no more bits than it has, or
whole bytes; the bits of a sum of peaks are fixed. The best is told with ranges of its differences
to the others, and not by how much it is.
"""

from collections.abc import Sequence
from typing import Final

from protocols.amounts import (
    Amount,
    Best,
    Count,
    Excess,
    Group,
    Peaks,
    Reading,
    Sum,
    Tiered,
    encode_amounts,
)
from protocols.proofs._checks import SessionCheck
from protocols.proofs._metered import (
    PEAK_BITS,
    best_of,
    blocks_of,
    candidates_of,
    count_of,
    excess_of,
    peaks_of,
    uses_of,
)
from protocols.proofs.batch import verify_all
from protocols.proofs.compare import require_at_most
from protocols.proofs.context import StatementContext
from protocols.proofs.errors import FalseStatement, ProofRefused
from protocols.proofs.many_ranges import FEW_ITEMS
from protocols.proofs.quantity import Quantity, Source
from protocols.proofs.session import Prover, Session, Verifier

PROTOCOL: Final = "opened amounts"
VERSION: Final = 1


def open_amounts(
    context: StatementContext, source: Source, amounts: Sequence[Amount], seed: bytes
) -> tuple[tuple[int, ...], bytes]:
    """Return the amounts' values and the proof; `seed` is 32 random bytes.

    Raises `FalseStatement` where a value is beyond 63 bits or a use beyond what blocks and peaks
    are proved up to, `ValueError` for a description that does not fit the slots.
    """
    prover = Prover(context.transcript(PROTOCOL, VERSION), seed)
    try:
        values = state_amounts(prover, source, amounts)
    except ProofRefused as refused:  # what no verifier would take
        raise FalseStatement(str(refused)) from None
    return values, prover.finish()


def amounts_check(
    context: StatementContext,
    source: Source,
    amounts: Sequence[Amount],
    proof: bytes,
    name: str,
    *,
    accept_unbound: bool = False,
) -> tuple[tuple[int, ...], SessionCheck]:
    """Return the values a proof opens and what remains to be checked, for `verify_all`.

    `accept_unbound` takes stored proofs of sums and readings alone, which version 0.1 bound to no
    context. Raises `Malformed` or `ProofRefused` where a proof cannot hold, `ValueError` as
    `open_amounts`.
    """
    verifier = Verifier(context.transcript(PROTOCOL, VERSION), proof)
    values = state_amounts(verifier, source, amounts)
    return values, verifier.finish(name, accept_unbound=accept_unbound)


def verify_amounts(
    context: StatementContext,
    source: Source,
    amounts: Sequence[Amount],
    proof: bytes,
    name: str,
    *,
    accept_unbound: bool = False,
) -> tuple[tuple[int, ...], SessionCheck]:
    """Return as `amounts_check`, all checked; raise as it does, and `ProofRefused`."""
    values, check = amounts_check(
        context, source, amounts, proof, name, accept_unbound=accept_unbound
    )
    verify_all([check])
    return values, check


def state_amounts(session: Session, source: Source, amounts: Sequence[Amount]) -> tuple[int, ...]:
    """Return the amounts' values; the statement itself, the same for prover and verifier."""
    if any(form.end > source.size for amount in amounts for form in amount.forms):
        raise ValueError(f"an amount is of slots beyond the {source.size} there are")
    session.transcript.append("amounts", encode_amounts(amounts))
    values = []
    for number, amount in enumerate(amounts, start=1):
        label = f"amount {number}"
        match amount:
            case Sum():
                [total] = session.forms(label, source, [amount.form.spread(source.size)])
                values.append(session.open(label, total))
            case Tiered():
                values.append(session.open(label, blocks_of(session, label, source, amount)))
            case Peaks(groups=(group,), rate=(1, 1)):
                values.append(_peak(session, label, source, group))
            case Peaks():
                values.append(session.open(label, peaks_of(session, label, source, amount)))
            case Excess():
                values.append(session.open(label, excess_of(session, label, source, amount)))
            case Count():
                values.append(session.open(label, count_of(session, label, source, amount)))
            case Best():
                values.append(best_of(session, label, source, amount))
            case Reading():
                values.append(session.open(label, *uses_of(session, label, source, amount.forms)))
    return tuple(values)


def _peak(session: Session, label: str, source: Source, group: Group) -> int:
    """Return the peak, opened: the same as `largest`, with ranges as narrow as its bits allow."""
    items = candidates_of(session, label, source, group)
    told: list[int] = []

    def width(chosen: Quantity) -> int:
        told.append(peak := session.open(label, chosen))
        if not group.floor <= peak < 1 << PEAK_BITS:
            raise ProofRefused(f"{label}: the peak is below its floor, or beyond {PEAK_BITS} bits")
        return max(peak.bit_length(), 1)

    if len(items) > FEW_ITEMS:
        session.largest(label, items, width)
        return told[0]
    chosen = session.choose(
        label, items, lambda: max(range(len(items)), key=lambda place: items[place].value)
    )
    bits = width(chosen)
    for item in items[:-1]:
        require_at_most(session, label, item, chosen, bits)
    return told[0]
