# SPDX-License-Identifier: Apache-2.0
"""The sealed metrology part: it turns a day's readings into a `CertifiedDay`.

Everyone trusts the certifier for measuring and signing, and nobody for anything else: it knows
one register, no prices and no recipients.

Each slot's commitment is signed when the slot ends, and chained to the one before
(`certify_slots`); the day's signature binds them. Where a whole day comes at once, both happen at
once.

Blindings are not stored. They are derived from the day's blinding secret, the register, the slot or
day and what it says, so that even a day that were certified twice with different uses would have
unrelated blindings: the difference of two commitments never gives away the difference of uses.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import partial
from itertools import pairwise

from hub.certifier.errors import CorrectionRefused, OutOfOrder, ReadingsRefused
from hub.certifier.facts import MeterFact, events_of, meters_of, steps_at
from hub.certifier.inheritance import InheritedChain
from hub.certifier.keys import CertifierKeys
from hub.certifier.slots import DayUse, MeterChange, slot_uses
from hub.certifier.version1 import content_of_version_1
from hub.readings import Reading
from protocols.aggregation.loads import CertifiedLoad, SlotCoverage, commit_limbs
from protocols.aggregation.members import MemberKeys, MemberSecret
from protocols.aggregation.round import Round, values_at_resolution
from protocols.metrology import (
    NO_DAY,
    CertifiedDay,
    CertifiedSlot,
    Correction,
    CorrectionReason,
    DayContent,
    DayContentVersion1,
    DayGrid,
    DayRefused,
    MeterEvent,
    Series,
    SlotContent,
    SlotState,
    chain_slots,
    steps_of,
)
from protocols.proofs import (
    Point,
    PointVector,
    SlotOpening,
    VectorOpening,
    VectorPart,
    commit,
    commit_many,
    commit_vector,
    derive_blindings,
)
from protocols.proofs.group import ORDER, encode_scalar

_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Certification:
    """A certified day, for everyone, and the uses it commits to, which stay in the hub."""

    day: CertifiedDay
    use: DayUse = field(repr=False)
    signed: tuple[CertifiedSlot, ...] = field(default=(), repr=False)
    """The slots that were signed with the day: those that had not been signed before."""


@dataclass(frozen=True, slots=True)
class SignedSlots:
    """How far the slots of a day that is not over are signed."""

    count: int = 0
    digest: bytes = b""
    """Of the last one."""


@dataclass(frozen=True, slots=True)
class _Standing:
    """Where the chain stands when a day begins."""

    counter: int
    previous: bytes
    mounted: bytes
    step_wh: int


@dataclass(frozen=True, slots=True, eq=False)
class Certifier:
    """Certifies the days of one register, one after the other."""

    series: Series
    keys: CertifierKeys = field(repr=False)
    inherited: InheritedChain | None = field(default=None, repr=False)
    """How the chain goes on after a former custody."""

    def certify(
        self,
        day: date,
        readings: Sequence[Reading],
        previous: Certification | None,
        facts: tuple[MeterFact, ...] = (),
        before: SignedSlots = SignedSlots(),
    ) -> Certification:
        """Return the day, signed and chained to `previous`, the day before (None: the first).

        `readings` are in order of time, from the last one before the day to the first one after
        it: without that one, the time after the last reading is certified as missing for good.
        `facts` are what happened to the meter, of this day and of others; `before` are the slots
        of this day that are signed already.
        Raises `OutOfOrder` unless `day` follows `previous` and the key has begun by then,
        `ReadingsRefused` as `slot_uses` and where the readings are not those of the slots that are
        signed already.
        """
        if day < self.keys.begins:
            raise OutOfOrder(f"{day}: the certifier's key signs from {self.keys.begins} on")
        grid = DayGrid(day, self.series.zone, self.series.slot_minutes)
        standing, start_wh = self._standing(grid, previous)
        use = slot_uses(grid, readings, start_wh=start_wh)
        return self._sign(use, standing, facts, before)

    def certify_slots(
        self,
        day: date,
        readings: Sequence[Reading],
        previous: Certification | None,
        facts: tuple[MeterFact, ...] = (),
        before: SignedSlots = SignedSlots(),
    ) -> tuple[CertifiedSlot, ...]:
        """Return the slots of a day that is not over which have ended, signed; without `before`.

        A slot has ended when there is a reading at or after its end: what the slot used is then
        known for good. Raises as `certify` does.
        """
        grid = DayGrid(day, self.series.zone, self.series.slot_minutes)
        standing, start_wh = self._standing(grid, previous)
        ended = 0
        if readings and readings[-1].time >= grid.begin:
            ended = (min(readings[-1].time, grid.end) - grid.begin) // grid.slot_seconds
        if ended <= before.count:
            return ()
        use = slot_uses(grid, readings, start_wh=start_wh)
        meters_of(facts, use)  # refuses a register that starts over by itself
        steps = steps_of(len(grid), standing.step_wh, steps_at(facts, grid))
        _, signed = self._sign_slots(use, steps, standing.previous, before, ended)
        return signed

    def slots_of(self, first: Certification, steps: Sequence[int], count: int) -> list[SlotContent]:
        """Return what was signed of the first slots of a day, as it was first certified."""
        return self._chain(first.use, steps, first.day.content.previous, count)[1]

    def slots(
        self,
        day: date,
        readings: Sequence[Reading],
        previous: Certification | None,
        facts: tuple[MeterFact, ...],
        count: int,
    ) -> list[SlotContent]:
        """Return what was signed of a day's first slots; raise as `certify` does."""
        grid = DayGrid(day, self.series.zone, self.series.slot_minutes)
        standing, start_wh = self._standing(grid, previous)
        use = slot_uses(grid, readings, start_wh=start_wh)
        steps = steps_of(len(grid), standing.step_wh, steps_at(facts, grid))
        return self._chain(use, steps, standing.previous, count)[1]

    def restate(self, old: Certification) -> Certification:
        """Return a stored day of version 1 in version 2, bound to its digest.

        It is for new questions, which are answered over version 2 alone, and has the place in the
        chain that the old one has. The key in force now signs it. Its slots are in its chain of
        slots, but were not signed when they ended. Raises `DayRefused` unless this certifier's
        key has signed the day, and `ReadingsRefused` if the uses are not those that it commits
        to: so nothing that the hub stores can change what was certified. A corrected day is signed
        with the key in force, too.
        """
        content, use = old.day.content, old.use
        if not isinstance(content, DayContentVersion1):
            return self._signed_now(old)
        old.day.verify(self.keys.public_key)
        derive = partial(self._derive, use.grid.day)
        again = content_of_version_1(
            self.series, use, content.counter, content.previous, derive, content.scheme,
            content.point_size,
        )  # fmt: skip
        if again != content:
            raise ReadingsRefused(f"{use.grid.day}: the stored uses are not the certified ones")
        standing = _Standing(content.counter, content.previous, content.meter, 1)
        size = len(use.grid)
        points, slots = self._chain(use, (1,) * size, content.previous, size)
        return self._sign_day(use, standing, (), points, slots[-1].digest, old.day.digest)

    def _signed_now(self, done: Certification) -> Certification:
        """Return a day of version 2; one that was corrected is signed with the key in force.

        Who has the key that was in force then, and is no more, can correct nothing by that.
        """
        day, keys = done.day, self.keys
        if not day.revision or day.announcements == keys.announcements:
            return done
        day.verify(keys.public_key)
        again = CertifiedDay.sign(day.content, keys.signing_key, announcements=keys.announcements)
        return Certification(again, done.use)

    def correct(
        self, days: Sequence[tuple[Certification, DayUse]], reason: CorrectionReason
    ) -> list[Certification]:
        """Return the next revisions of days in a row, each with the use that is known now.

        The key in force now signs them. The register at the first day's begin stays what was
        certified, and each day goes on from the one before. Whether it stays so at the last day's
        end is for the caller to say, who knows what follows. Raises `DayRefused` unless this
        certifier has signed the days, `ReadingsRefused` if the stored uses are not those that they
        commit to, `CorrectionRefused` where the registers of a day's ends or of a meter exchange
        would not be those that were certified.
        """
        first, use = days[0]
        if use.start_wh != first.use.start_wh:
            raise CorrectionRefused(
                f"{use.grid.day}: the register at its begin would not be the one that was certified"
            )
        for (_, before), (_, after) in pairwise(days):
            if before.end_wh != after.start_wh or before.grid.end != after.grid.begin:
                raise CorrectionRefused(f"{after.grid.day}: it does not follow the day before")
        return [self._corrected(self.restate(old), use, reason) for old, use in days]

    def _corrected(
        self, old: Certification, use: DayUse, reason: CorrectionReason
    ) -> Certification:
        content = old.day.content
        assert isinstance(content, DayContent)
        day, known = use.grid.day, old.use
        old.day.verify(self.keys.public_key)
        whole, _ = self._day_blindings(known)
        part = VectorPart.of_day(day.day, len(known.grid))
        if commit_vector(part, known.uses, whole) != content.vector or known.states != (
            content.states
        ):
            raise ReadingsRefused(f"{day}: the stored uses are not the certified ones")
        if use.grid != known.grid or use.changes != known.changes:
            raise CorrectionRefused(f"{day}: a meter was exchanged, what it showed stays as it was")
        earlier = () if content.correction is None else content.correction.earlier
        correction = Correction(
            reason,
            (*earlier, old.day.digest),
            tuple(
                revision if was == now else len(earlier) + 1
                for revision, was, now in zip(
                    old.day.revisions,
                    zip(known.uses, known.states, strict=True),
                    zip(use.uses, use.states, strict=True),
                    strict=True,
                )
            ),
        )
        standing = _Standing(content.counter, content.previous, content.mounted, content.step_wh)
        points, slots = self._chain(use, content.steps, content.previous, len(use.grid))
        return self._sign_day(
            use, standing, content.events, points, slots[-1].digest, content.restated,
            correction=correction,
        )  # fmt: skip

    def _standing(
        self, grid: DayGrid, previous: Certification | None
    ) -> tuple[_Standing, int | None]:
        """Return where the chain stands before a day, and the register at its begin."""
        inherited = self.inherited
        if previous is None and inherited is not None:
            if grid.day != inherited.day:
                raise OutOfOrder(f"{grid.day}: the custody begins with {inherited.day}")
            counter, step_wh = inherited.counter, inherited.step_wh
            standing = _Standing(counter, inherited.previous, inherited.mounted, step_wh)
            return standing, inherited.start_wh
        if previous is None:
            return _Standing(1, NO_DAY, self.series.meter, 1), None
        day, content = grid.day, previous.day.content
        if (content.meter, content.register) != (self.series.meter, self.series.register):
            raise OutOfOrder(f"{day}: the day before is of another register")
        if content.grid.end != grid.begin:
            raise OutOfOrder(f"{day}: the day after {previous.day.day} is due")
        try:
            # Who verifies days takes this digest for that of a day that this certifier has signed
            # (`protocols.metrology.certified_day`): so it signs on no other.
            previous.day.verify(self.keys.public_key)
        except DayRefused as refused:
            raise OutOfOrder(
                f"{day}: this certifier has not signed the day before: {refused}"
            ) from None
        mounted, step_wh = content.meter, 1
        if isinstance(content, DayContent):
            mounted, step_wh = content.mounted_at_end, content.step_at_end
        standing = _Standing(content.counter + 1, previous.day.link, mounted, step_wh)
        return standing, previous.use.end_wh

    def inheritance(
        self,
        custody: bytes,
        previous: Certification,
        readings: Sequence[Reading],
        signed: int,
    ) -> InheritedChain:
        """Return how the chain goes on after `previous`, the last day of a custody.

        `signed` is how many slots of the next day are signed already, with these readings.
        """
        day = previous.day.day + _DAY
        grid = DayGrid(day, self.series.zone, self.series.slot_minutes)
        standing, _ = self._standing(grid, previous)
        start_wh = previous.use.end_wh
        blindings: list[int] = []
        if signed:
            blindings = self._slot_blindings(slot_uses(grid, readings, start_wh=start_wh))[:signed]
        return InheritedChain(
            custody=custody,
            day=day,
            counter=standing.counter,
            previous=standing.previous,
            mounted=standing.mounted,
            step_wh=standing.step_wh,
            start_wh=start_wh,
            blinding=self._register_blinding(previous.day.day, grid.begin, start_wh),
            slots=tuple(blindings),
        )

    def opening(
        self, certifications: Sequence[Certification], *, needs_slots: bool
    ) -> SlotOpening | VectorOpening:
        """Return what the hub's prover has to know of these days, of version 2.

        It knows the uses anyway. Blindings keep the uses from others: with them nobody could
        prove anything untrue, but whoever has them can try out uses against the commitments.
        """
        uses = tuple(use for done in certifications for use in done.use.uses)
        if not needs_slots:
            return VectorOpening(
                uses, tuple(self._day_blindings(done.use)[0] for done in certifications)
            )
        slots = [self._slot_blindings(done.use) for done in certifications]
        return SlotOpening(uses, tuple(blinding for day in slots for blinding in day))

    def unattributed(self, certifications: Sequence[Certification]) -> tuple[int, int]:
        """Return the unattributed energy of days of version 2, and the sum of its blindings.

        Its prover knows them.
        """
        total = sum(done.use.unattributed_wh for done in certifications)
        return total, sum(self._day_blindings(done.use)[1] for done in certifications) % ORDER

    def with_slots(self, done: Certification) -> CertifiedDay:
        """Return a day of version 2 with the commitments to its slots."""
        return done.day.with_slots(self.slot_points(done.use))

    def slot_points(self, use: DayUse) -> PointVector:
        """Return the commitments to a day's slots."""
        return commit_many(use.uses, self._slot_blindings(use))

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

    def _sign(
        self, use: DayUse, standing: _Standing, facts: tuple[MeterFact, ...], before: SignedSlots
    ) -> Certification:
        registers = {change: self._exchange_points(use.grid.day, change) for change in use.changes}
        events = events_of(facts, use, standing.mounted, registers)
        steps = steps_of(len(use.grid), standing.step_wh, events)
        points, signed = self._sign_slots(use, steps, standing.previous, before, len(use.grid))
        last = signed[-1].content.digest if signed else before.digest
        return self._sign_day(use, standing, events, points, last, signed=signed)

    def _sign_slots(
        self, use: DayUse, steps: Sequence[int], previous: bytes, before: SignedSlots, ended: int
    ) -> tuple[PointVector, tuple[CertifiedSlot, ...]]:
        """Return the commitments to the slots that have ended, and signed those not signed yet."""
        points, slots = self._chain(use, steps, previous, ended)
        if before.count and slots[before.count - 1].digest != before.digest:
            raise ReadingsRefused(
                f"{use.grid.day}: the readings are not those that its slots were certified with"
            )
        key = self.keys.signing_key
        return points, tuple(CertifiedSlot.sign(slot, key) for slot in slots[before.count :])

    def _chain(
        self, use: DayUse, steps: Sequence[int], previous: bytes, count: int
    ) -> tuple[PointVector, list[SlotContent]]:
        """Return the commitments to a day's first slots, and these in their chain."""
        points = commit_many(use.uses[:count], self._slot_blindings(use)[:count])
        series = self.series
        return points, chain_slots(
            series.meter, series.register, use.grid, use.states, steps, points, previous
        )

    def _sign_day(
        self,
        use: DayUse,
        standing: _Standing,
        events: tuple[MeterEvent, ...],
        points: PointVector,
        slots: bytes,
        restated: bytes = b"",
        signed: tuple[CertifiedSlot, ...] = (),
        correction: Correction | None = None,
    ) -> Certification:
        # The register at midnight is the day's that ends, so that both days have the same point.
        start = self._register_blinding(use.grid.day - _DAY, use.grid.begin, use.start_wh)
        end = self._register_blinding(use.grid.day, use.grid.end, use.end_wh)
        whole, gap = self._day_blindings(use)
        rise = end - start
        for change in use.changes:
            old, new = self._exchange_blindings(use.grid.day, change)
            rise += old - new
        content = DayContent(
            meter=self.series.meter,
            register=self.series.register,
            grid=use.grid,
            counter=standing.counter,
            previous=standing.previous,
            states=use.states,
            vector=commit_vector(
                VectorPart.of_day(use.grid.day.day, len(use.grid)), use.uses, whole
            ),
            slots=slots,
            start=commit(use.start_wh, start),
            end=commit(use.end_wh, end),
            unattributed=commit(use.unattributed_wh, gap),
            opening=(sum(self._slot_blindings(use)) + gap - rise) % ORDER,
            mounted=standing.mounted,
            step_wh=standing.step_wh,
            events=events,
            restated=restated,
            correction=correction,
        )
        keys = self.keys
        day = CertifiedDay.sign(content, keys.signing_key, announcements=keys.announcements)
        # A fault here would be a lie that everyone believes.
        day.with_slots(points).verify(keys.public_key)
        return Certification(day, use, signed)

    def _slot_blindings(self, use: DayUse) -> list[int]:
        """Return a blinding for each slot."""
        # With the secret of the day before: on the day on which a key changes, slots are signed
        # already, and what they say is said once.
        before = use.grid.day - _DAY
        slots = list(zip(use.grid.boundaries()[:-1], use.uses, use.states, strict=True))
        kept: tuple[int, ...] = ()
        if self.inherited is not None and self.inherited.day == use.grid.day:
            kept = self.inherited.slots  # they were signed with a secret that is gone
        return [
            *kept,
            *(
                self._derive(before, b"slot 2", b"%d:%d:%d" % slot, 1)[0]
                for slot in slots[len(kept) :]
            ),
        ]

    def _day_blindings(self, use: DayUse) -> list[int]:
        """Return a blinding for all slots at once, and one for the unattributed energy."""
        said = hashlib.sha256(use.encode()).digest()
        return self._derive(use.grid.day, b"day 2", said, 2)

    def _exchange_blindings(self, day: date, change: MeterChange) -> list[int]:
        said = b"%d:%d:%d" % (change.time, change.end_wh, change.start_wh)
        return self._derive(day, b"exchange 2", said, 2)

    def _exchange_points(self, day: date, change: MeterChange) -> tuple[Point, Point]:
        old, new = self._exchange_blindings(day, change)
        return commit(change.end_wh, old), commit(change.start_wh, new)

    def _register_blinding(self, ending: date, time: int, register_wh: int) -> int:
        inherited = self.inherited
        if inherited is not None and inherited.day == ending + _DAY:
            return inherited.blinding  # the day before is of a secret that is gone
        [blinding] = self._derive(ending, b"register", b"%d:%d" % (time, register_wh), 1)
        return blinding

    def _derive(self, day: date, kind: bytes, item: bytes, count: int) -> list[int]:
        parts = (kind, self.series.meter, self.series.register, item)
        context = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
        return derive_blindings(self.keys.blinding_secret_for(day), context, count)
