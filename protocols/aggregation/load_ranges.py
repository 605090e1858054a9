# SPDX-License-Identifier: Apache-2.0
"""Proof that every value of a certified load fits its bits; an option of a round.

Public:  A = Σ v[l]·G[l] + r·G, signed by the certifier; how values lie in limbs (`packing`).
Secret:  v, r, and the values x[t], so many of them in a limb.
Claim:   v[l] = Σ 2^(slot_bits·k)·x[l,k] with 0 <= x[l,k] < 2^value_bits.
Proof:   Bulletproofs over the bits of all values (`protocols.proofs.ranges`), but against A itself
         and not a commitment a value: bit b of value k in limb l has the weight
         z^(2+l)·2^(slot_bits·k + b); once z is drawn, the prover commits to P = Σ z^(2+l)·v[l]
         and proves that P is this linear form of A (`protocols.proofs.vector`). A and the bits are
         fixed before z, so limbs that differ from their bits agree for a few z only.

So even a certifier that lies cannot put anything into a sum but numbers of so many bits: no slot
runs over, none is negative. Size: 2 kB for a month of quarter-hours, logarithmic in it.
"""

from collections.abc import Sequence

from protocols.aggregation.errors import PackingRefused
from protocols.aggregation.loads import GENERATORS, CertifiedLoad
from protocols.aggregation.packing import Layout
from protocols.aggregation.round import RoundTerms
from protocols.proofs import FalseStatement, Point, PointVector, Transcript, VectorOpening, commit
from protocols.proofs._checks import SessionCheck
from protocols.proofs.batch import Check
from protocols.proofs.channel import Incoming, Outgoing
from protocols.proofs.folding import inner_product, powers
from protocols.proofs.group import ORDER
from protocols.proofs.nonces import Nonces
from protocols.proofs.ranges import receive_weighed_bits, send_weighed_bits
from protocols.proofs.vector import VectorCommitment, VectorPart, receive_forms, send_forms


def prove_ranges(
    terms: RoundTerms, load: CertifiedLoad, limbs: Sequence[int], blinding: int, seed: bytes
) -> bytes:
    """Return the proof; `limbs` and `blinding` open the load, `seed` is 32 random bytes.

    Raises `FalseStatement` if they do not, or a value does not fit its bits.
    """
    layout, count = terms.layout, terms.value_count()
    try:
        values = layout.values_of(limbs, count)
    except PackingRefused as error:
        raise FalseStatement(str(error)) from None
    if any(value >> layout.value_bits for value in values):
        raise FalseStatement("a value does not fit its bits")
    channel, nonces = Outgoing(_transcript(terms, load)), Nonces(seed)
    commitment = _commitment(load, len(limbs))

    def weigh(z: int) -> tuple[list[int], int]:
        form = powers(z, len(limbs) + 2)[2:]
        value = inner_product(form, limbs)
        [own] = nonces.draw(channel.transcript, [value], 1)
        channel.send_point("form", commit(value, own))
        opening = VectorOpening(tuple(limbs), (blinding,))
        send_forms(channel, commitment, opening, [form], [(value, own)], nonces)
        return _bit_weights(layout, count, form), own

    bits = [value >> b & 1 for value in values for b in range(layout.value_bits)]
    send_weighed_bits(channel, bits, [*values, blinding], weigh, nonces)
    return channel.data()


def ranges_check(terms: RoundTerms, load: CertifiedLoad, proof: bytes, name: str) -> SessionCheck:
    """Return what remains to be checked of a proof (`protocols.proofs.verify_all`).

    Raises `Malformed` if it is none.
    """
    layout, count = terms.layout, terms.value_count()
    channel, limbs = Incoming(_transcript(terms, load), proof), layout.limb_count(count)
    checks: list[Check] = []

    def weigh(z: int) -> tuple[list[int], list[tuple[Point, int]]]:
        form = powers(z, limbs + 2)[2:]
        output = channel.receive_point("form")
        commitment = _commitment(load, limbs)
        checks.append(receive_forms(channel, "the limbs' form", commitment, [form], [output]))
        return _bit_weights(layout, count, form), [(output, 1)]

    size = count * layout.value_bits
    checks.append(receive_weighed_bits(channel, "the bits of the values", size, weigh))
    channel.finish()
    merge = channel.transcript.challenge("merge")
    return SessionCheck(name, channel.transcript.digest(), tuple(checks), merge)


def _transcript(terms: RoundTerms, load: CertifiedLoad) -> Transcript:
    transcript = Transcript("aggregation ranges", 1)
    transcript.append("load", load.message)
    transcript.append_integers(
        "layout", [terms.value_count(), terms.layout.value_bits, terms.group_bits]
    )
    return transcript


def _commitment(load: CertifiedLoad, limbs: int) -> VectorCommitment:
    return VectorCommitment((VectorPart(GENERATORS, limbs),), PointVector([load.commitment]))


def _bit_weights(layout: Layout, count: int, form: Sequence[int]) -> list[int]:
    """Return form[l]·2^(slot_bits·k + b) for each bit b of each value, the k-th of limb l."""
    weights = []
    for place in range(count):
        limb, slot = divmod(place, layout.slots)
        first = form[limb] << layout.slot_bits * slot
        weights += [(first << b) % ORDER for b in range(layout.value_bits)]
    return weights
