# SPDX-License-Identifier: Apache-2.0
"""Linear forms of vector commitments: one point a day instead of one a slot.

Public:  generators g[i], one for each day of the month and slot; P = Σ days V_d; forms L_j
         (weights for each slot); outputs Y_j.
Secret:  uses x[i] and r with P = <x, g> + r·G; y_j and s_j with Y_j = y_j·H + s_j·G.
Claim:   y_j = L_j(x) for each j. (Modulo the order; callers bound weights and uses.)
Proof:   with challenges γ, c, e, and L = Σ γ^j·L_j, y = Σ γ^j·y_j, Y, s likewise,

           prover                                                       verifier
           A = <ρ, g> + σ·G,  T = L(ρ)·H + τ·G       A, T ->
                                                     <- c
           z = c·x + ρ,  φ = c·r + σ
           ℓ = L(z),     ζ = c·s + τ                 φ, ℓ, ζ ->
                                                     <- e
           folds z (`protocols.proofs.folding`)      rounds, z' ->

         The verifier checks ℓ·H + ζ·G = c·Y + T, and that the folded z opens
         A + c·P − φ·G + ℓ·e·K = <z, g> + L(z)·e·K.

Knowledge-sound while discrete logarithms are hard; perfect honest-verifier zero-knowledge, since
z, φ, ℓ and ζ are masked (Attema and Cramer, CRYPTO 2020, compressed Σ-protocols). Size for n
slots: 3 points, 4 scalars, 2·⌈log2 n⌉ points: 986 bytes for a month of quarter-hours.

An output is opened by telling y_j and s_j.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, Self

from protocols.proofs.batch import Equation
from protocols.proofs.channel import Incoming, Outgoing
from protocols.proofs.errors import FalseStatement
from protocols.proofs.folding import (
    Folded,
    inner_product,
    powers,
    send_linear_argument,
    spread,
)
from protocols.proofs.generators import generators, hash_to_point
from protocols.proofs.group import (
    ORDER,
    Point,
    PointVector,
    multiply_generator,
    sum_columns,
)
from protocols.proofs.nonces import Nonces
from protocols.proofs.pedersen import commit

_UNIT_LABEL: Final = b"inner product unit"


@dataclass(frozen=True, slots=True)
class VectorPart:
    """The generators of one day: which label, and how many slots."""

    label: bytes
    size: int

    @classmethod
    def of_day(cls, day_of_month: int, size: int) -> Self:
        """Return the generators of a day of the month: the same in every month."""
        return cls(b"vector day %02d" % day_of_month, size)

    @property
    def generators(self) -> PointVector:
        """The points."""
        return generators(self.label, self.size)


@dataclass(frozen=True, slots=True)
class VectorCommitment:
    """The commitments of some days, and over which generators they are."""

    parts: tuple[VectorPart, ...]
    points: PointVector

    def __post_init__(self) -> None:
        if len(self.parts) != len(self.points):
            raise ValueError(f"{len(self.points)} commitments for {len(self.parts)} days")

    @property
    def stretches(self) -> tuple[slice, ...]:
        """Which days can be proved together: none of a stretch have the same generators.

        Two days over the same generators would only be bound to their sum. A stretch is a month
        or less, and months of one proof share their generators where it is verified.
        """
        starts, labels = [0], set[bytes]()
        for place, part in enumerate(self.parts):
            if part.label in labels:
                starts.append(place)
                labels = set()
            labels.add(part.label)
        return tuple(map(slice, starts, [*starts[1:], len(self.parts)]))

    def require_one_stretch(self) -> None:
        """Raise `ValueError` for days of which two have the same generators."""
        if len(self.stretches) > 1:
            raise ValueError("two days have the same generators: prove each month by itself")

    @property
    def size(self) -> int:
        """The number of slots."""
        return sum(part.size for part in self.parts)


@dataclass(frozen=True, slots=True)
class VectorOpening:
    """What the prover knows: the uses of all slots, and the days' blindings."""

    uses: tuple[int, ...] = field(repr=False)
    blindings: tuple[int, ...] = field(repr=False)

    @property
    def blinding(self) -> int:
        """Of the sum of the days' commitments."""
        return sum(self.blindings) % ORDER


def commit_vector(part: VectorPart, uses: Sequence[int], blinding: int) -> Point:
    """Return Σ uses[i]·g[i] + blinding·G for uses in [0, 2^32).

    Uses are looked up in tables, four bits at a time, and added up in one call: as in
    `protocols.proofs.pedersen`, cache lines are what is not constant.
    """
    if len(uses) != part.size:
        raise ValueError(f"{len(uses)} uses for {part.size} slots")
    if uses and (min(uses) < 0 or max(uses) >= 1 << 32):
        raise ValueError("a use is not in [0, 2^32)")
    places = 4 if max(uses, default=0) < 1 << 16 else 8
    rows = [
        _table(part, place).select(
            [16 * slot + (use >> 4 * place & 15) for slot, use in enumerate(uses)]
        )
        for place in range(places)
    ]
    return PointVector.join(rows).sum() + multiply_generator(blinding)


def send_forms(
    channel: Outgoing,
    commitment: VectorCommitment,
    opening: VectorOpening,
    forms: Sequence[Sequence[int]],
    outputs: Sequence[tuple[int, int]],
    nonces: Nonces,
) -> None:
    """Send the proof that each output (y, s) is its form of the opening.

    The transcript has taken in commitment, forms and outputs. Raises `FalseStatement` if an
    output is not what it should be, `ValueError` for days of more than one stretch.
    """
    commitment.require_one_stretch()
    for form, (value, _) in zip(forms, outputs, strict=True):
        if (inner_product(form, opening.uses) - value) % ORDER:
            raise FalseStatement("an output is not the linear form of the uses")
    mixing = channel.challenge("forms")
    form = _mix_forms(forms, mixing)
    output_blinding = _mix([blinding for _, blinding in outputs], mixing)
    secrets = [*opening.uses, opening.blinding, output_blinding]
    *masks, sigma, tau = nonces.draw(channel.transcript, secrets, len(opening.uses) + 2)
    g = PointVector.join(part.generators for part in commitment.parts)
    channel.send_point("A", g.weighted_sum(masks) + multiply_generator(sigma))
    channel.send_point("T", commit(inner_product(form, masks), tau))
    c = channel.challenge("c")
    z = [(c * x + mask) % ORDER for x, mask in zip(opening.uses, masks, strict=True)]
    channel.send_scalar("phi", c * opening.blinding + sigma)
    channel.send_scalar("ell", inner_product(form, z))
    channel.send_scalar("zeta", c * output_blinding + tau)
    unit = _unit() * channel.challenge("e")
    channel.send_scalar("z", send_linear_argument(channel, unit, g, z, form))


def receive_forms(
    channel: Incoming,
    name: str,
    commitment: VectorCommitment,
    forms: Sequence[Sequence[int]],
    outputs: Sequence[Point],
) -> "FormsCheck":
    """Receive the proof that each output commits to its form; what remains is to check it."""
    commitment.require_one_stretch()
    mixing = channel.challenge("forms")
    a, t = channel.receive_point("A"), channel.receive_point("T")
    c = channel.challenge("c")
    phi = channel.receive_scalar("phi")
    ell = channel.receive_scalar("ell")
    zeta = channel.receive_scalar("zeta")
    e = channel.challenge("e")
    folded = Folded.receive(channel, commitment.size)
    z = channel.receive_scalar("z")
    merge = channel.own_challenge()
    return FormsCheck(
        name, channel.transcript.digest(), commitment, tuple(map(tuple, forms)), tuple(outputs),
        (a, t), (phi, ell, zeta, z), (mixing, c, e, merge), folded,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class FormsCheck:
    """The two equations of a received proof, merged with a challenge of their own."""

    name: str
    digest: bytes
    commitment: VectorCommitment
    forms: tuple[tuple[int, ...], ...]
    outputs: tuple[Point, ...]
    first: tuple[Point, Point]
    scalars: tuple[int, int, int, int]
    challenges: tuple[int, int, int, int]
    folded: Folded

    def add_to(self, equation: Equation, weight: int) -> None:
        """Add both equations, times `weight`."""
        (a, t), (phi, ell, zeta, z) = self.first, self.scalars
        mixing, c, e, merge = self.challenges
        # ℓ·H + ζ·G − c·Y − T, times the merging challenge.
        own = weight * merge % ORDER
        equation.add_commitment(own * ell, own * zeta)
        equation.add_point(t, -own)
        for power, output in zip(powers(mixing, len(self.outputs)), self.outputs, strict=True):
            equation.add_point(output, -own * c % ORDER * power)
        # A + c·P − φ·G + ℓ·e·K, folded, − z'·(<s, g> + L(s)·e·K).
        whole, rounds = self.folded.weights()
        whole = whole * weight % ORDER
        equation.add_point(a, whole)
        equation.add_points(
            self.commitment.points, [whole * c % ORDER] * len(self.commitment.parts)
        )
        equation.add_commitment(0, -whole * phi)
        equation.add_points(self.folded.rounds, [weight * factor for factor in rounds])
        spread_out = spread(self.folded.challenges, self.commitment.size, -weight * z, low=True)
        form = inner_product(_mix_forms(self.forms, mixing), spread_out)
        equation.add_generators(_UNIT_LABEL, [(whole * ell + form) * e % ORDER])
        start = 0
        for part in self.commitment.parts:
            equation.add_generators(part.label, spread_out[start : start + part.size])
            start += part.size


def _unit() -> Point:
    return generators(_UNIT_LABEL, 1)[0]


def _mix(scalars: Sequence[int], mixing: int) -> int:
    return inner_product(scalars, powers(mixing, len(scalars)))


def _mix_forms(forms: Sequence[Sequence[int]], mixing: int) -> Sequence[int]:
    if len(forms) == 1:
        return forms[0]  # small weights stay small
    factors = powers(mixing, len(forms))
    return [inner_product(column, factors) for column in zip(*forms, strict=True)]


@lru_cache(maxsize=512)
def _table(part: VectorPart, place: int) -> PointVector:
    """Return digit·16^place·g for each generator g and digit, one generator after the other.

    As in `protocols.proofs.pedersen`, offsets that cancel between places keep infinity out.
    """
    step = part.generators if place == 0 else part.generators.scaled(1 << 4 * place)
    offset = hash_to_point(b"vector table offset")
    columns = [PointVector([-offset if place % 2 else offset] * part.size)]
    for _ in range(15):
        columns.append(sum_columns([columns[-1], step]))
    table = PointVector.join(columns)
    order = [digit * part.size + slot for slot in range(part.size) for digit in range(16)]
    return table.select(order)
