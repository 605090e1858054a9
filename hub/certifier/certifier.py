# SPDX-License-Identifier: Apache-2.0
"""The sealed metrology part: it turns a day's readings into a `CertifiedDay`.

Everyone trusts the certifier for measuring and signing, and nobody for anything else: it knows
one register, no prices and no recipients.

Blindings are not stored. They are derived from the day's blinding secret, the register, the day and
what the day says, so that even a day that were certified twice with different uses would have
unrelated blindings: the difference of two commitments never gives away the difference of uses.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta

from hub.certifier.errors import OutOfOrder
from hub.certifier.keys import CertifierKeys
from hub.certifier.slots import DayUse, slot_uses
from hub.readings import Reading
from protocols.aggregation.loads import CertifiedLoad, SlotCoverage, commit_limbs
from protocols.aggregation.members import MemberKeys, MemberSecret
from protocols.aggregation.round import Round, values_at_resolution
from protocols.metrology import (
    NO_DAY,
    CertifiedDay,
    CommitmentScheme,
    DayContent,
    DayGrid,
    Series,
    SlotState,
)
from protocols.proofs import (
    PointVector,
    SlotOpening,
    VectorOpening,
    VectorPart,
    commit,
    commit_many,
    commit_vector,
    derive_blindings,
)
from protocols.proofs.group import COMPRESSED_SIZE, ORDER, encode_scalar

_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Certification:
    """A certified day, for everyone, and the uses it commits to, which stay in the hub."""

    day: CertifiedDay
    use: DayUse = field(repr=False)


@dataclass(frozen=True, slots=True, eq=False)
class Certifier:
    """Certifies the days of one register, one after the other."""

    series: Series
    keys: CertifierKeys = field(repr=False)
    point_size: int = COMPRESSED_SIZE
    scheme: CommitmentScheme = CommitmentScheme.SLOTS

    def certify(
        self, day: date, readings: Sequence[Reading], previous: Certification | None
    ) -> Certification:
        """Return the day, signed and chained to `previous`, the day before (None: the first).

        `readings` are in order of time, from the last one before the day to the first one after
        it: without that one, the time after the last reading is certified as missing for good.
        Raises `OutOfOrder` unless `day` follows `previous` and the key has begun by then,
        `ReadingsRefused` as `slot_uses`.
        """
        if day < self.keys.begins:
            raise OutOfOrder(f"{day}: the certifier's key signs from {self.keys.begins} on")
        grid = DayGrid(day, self.series.zone, self.series.slot_minutes)
        if previous is None:
            return self._sign(slot_uses(grid, readings), 1, NO_DAY)
        content = previous.day.content
        if (content.meter, content.register) != (self.series.meter, self.series.register):
            raise OutOfOrder(f"{day}: the day before is of another register")
        if content.grid.end != grid.begin:
            raise OutOfOrder(f"{day}: the day after {previous.day.day} is due")
        use = slot_uses(grid, readings, start_wh=previous.use.end_wh)
        return self._sign(use, content.counter + 1, previous.day.digest)

    def opening(self, certifications: Sequence[Certification]) -> SlotOpening | VectorOpening:
        """Return what the hub's prover has to know of these days.

        It knows the uses anyway. Blindings keep the uses from others: with them nobody could
        prove anything untrue, but whoever has them can try out uses against the commitments.
        """
        uses = tuple(use for done in certifications for use in done.use.uses)
        if {done.day.content.scheme for done in certifications} == {CommitmentScheme.VECTOR}:
            blindings = [self._vector_blindings(done.use)[0] for done in certifications]
            return VectorOpening(uses, sum(blindings) % ORDER)
        slots = [self._slot_blindings(done.use)[:-1] for done in certifications]
        return SlotOpening(uses, tuple(blinding for day in slots for blinding in day))

    def unattributed(self, certifications: Sequence[Certification]) -> tuple[int, int]:
        """Return the days' unattributed energy and the sum of its blindings, for the prover."""
        blindings = (
            self._vector_blindings(done.use)
            if done.day.content.scheme is CommitmentScheme.VECTOR
            else self._slot_blindings(done.use)
            for done in certifications
        )
        total = sum(done.use.unattributed_wh for done in certifications)
        return total, sum(blinding[-1] for blinding in blindings) % ORDER

    def certify_keys(self, secret: MemberSecret) -> MemberKeys:
        """Return the hub's keys for one round of aggregation, signed."""
        return MemberKeys.issue(secret.nonce, self.series.meter, secret, self.keys.signing_seed)

    def certify_load(
        self, announced: Round, certifications: Sequence[Certification]
    ) -> tuple[list[int], CertifiedLoad]:
        """Return what these days contribute to a round, as limbs, and the signed commitment.

        In a round with prices that is what the uses are worth at them, as one number. Raises
        `PackingRefused` if a value is larger than the round has room for, `RoundRefused` if the
        days' slots do not make its values.
        """
        limbs, digest = self._limbs(announced, certifications), announced.digest
        days = hashlib.sha256(b"".join(done.day.digest for done in certifications)).digest()
        missing = sum(done.use.states.count(SlotState.MISSING) for done in certifications)
        commitment = commit_limbs(limbs, self._load_blinding(certifications, digest, limbs))
        covered = SlotCoverage(digest, self.series.meter, missing)
        return limbs, CertifiedLoad.certify(covered, days, commitment, self.keys.signing_seed)

    def open_load(self, announced: Round, certifications: Sequence[Certification]) -> int:
        """Return the blinding of `certify_load`'s commitment; the hub shows it masked only."""
        limbs = self._limbs(announced, certifications)
        return self._load_blinding(certifications, announced.digest, limbs)

    def _limbs(self, announced: Round, certifications: Sequence[Certification]) -> list[int]:
        terms = announced.terms
        values = values_at_resolution(
            tuple(tuple(done.use.uses) for done in certifications),
            self.series.slot_minutes,
            terms.resolution_minutes,
        )
        return terms.layout.limbs_of(terms.contributed(values))

    def _load_blinding(
        self, certifications: Sequence[Certification], round_digest: bytes, limbs: Sequence[int]
    ) -> int:
        # Of the days, not of the moment: a new key between two steps of a round changes nothing.
        first = certifications[0].use.grid.day
        said = hashlib.sha256(b"".join(map(encode_scalar, limbs))).digest()
        [blinding] = self._derive(first, b"load", round_digest + said, 1)
        return blinding

    def _sign(self, use: DayUse, counter: int, previous: bytes) -> Certification:
        # The register at midnight is the day's that ends, so that both days have the same point.
        start = self._register_blinding(use.grid.day - _DAY, use.grid.begin, use.start_wh)
        end = self._register_blinding(use.grid.day, use.grid.end, use.end_wh)
        if self.scheme is CommitmentScheme.VECTOR:
            whole, gap = self._vector_blindings(use)
            part = VectorPart.of_day(use.grid.day.day, len(use.grid))
            commitments, opening = PointVector([commit_vector(part, use.uses, whole)]), 0
        else:
            *slots, gap = self._slot_blindings(use)
            commitments = commit_many(use.uses, slots)
            opening = (sum(slots) + gap - (end - start)) % ORDER
        content = DayContent(
            meter=self.series.meter,
            register=self.series.register,
            grid=use.grid,
            counter=counter,
            previous=previous,
            states=use.states,
            commitments=commitments,
            start=commit(use.start_wh, start),
            end=commit(use.end_wh, end),
            unattributed=commit(use.unattributed_wh, gap),
            opening=opening,
            point_size=self.point_size,
            scheme=self.scheme,
        )
        day = CertifiedDay.sign(content, self.keys.signing_key, self.keys.announcements)
        day.verify(self.keys.public_key)  # a fault here would be a lie that everyone believes
        return Certification(day, use)

    def _slot_blindings(self, use: DayUse) -> list[int]:
        """Return a blinding for each slot, and one for the unattributed energy."""
        said = hashlib.sha256(use.encode()).digest()
        return self._derive(use.grid.day, b"slots", said, len(use.uses) + 1)

    def _vector_blindings(self, use: DayUse) -> list[int]:
        """Return a blinding for the day, and one for the unattributed energy."""
        said = hashlib.sha256(use.encode()).digest()
        return self._derive(use.grid.day, b"vector", said, 2)

    def _register_blinding(self, ending: date, time: int, register_wh: int) -> int:
        [blinding] = self._derive(ending, b"register", b"%d:%d" % (time, register_wh), 1)
        return blinding

    def _derive(self, day: date, kind: bytes, item: bytes, count: int) -> list[int]:
        parts = (kind, self.series.meter, self.series.register, item)
        context = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
        return derive_blindings(self.keys.blinding_secret_for(day), context, count)
