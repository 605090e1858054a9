# SPDX-License-Identifier: Apache-2.0
"""The operator's side of a round: announce it, let the concentrator run it, verify, store.

    keys -> roster, signed -> collect -> batch -> open, check against the certifiers -> store

Members tell their keys once for many rounds (`mdms.rosters`). Before the next round only those are
asked for them who are new, or did not go through with the last one.

A round with prices opens one number, which is stored likewise; asked for again, it is not run
again, since hubs count what they help to open. A sum that does not open exactly what the certifiers
have signed is not stored; then the hubs are asked about the masks of their pairs, and the one who
spoiled it is named (`dispute`). The round ends at the concentrator in any case, which forgets the
contributions.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from time import perf_counter
from typing import Final

from applets.aggregation.messages import called_for
from protocols.aggregation.collector import Batch
from protocols.aggregation.decryption import RegionSum, decrypt_sum
from protocols.aggregation.dispute import Culprit
from protocols.aggregation.errors import (
    AggregationError,
    MalformedMessage,
    RoundRefused,
    SumRefused,
)
from protocols.aggregation.members import MemberKeys, MeterCertificate, RosterMember
from protocols.aggregation.paillier import PaillierPrivateKey
from protocols.aggregation.revocations import require_standing
from protocols.aggregation.round import Round, RoundTerms
from utility_server.errors import CannotVerify, UtilityError, VerificationFailed
from utility_server.grid.concentrator.errors import ConcentratorRefused
from utility_server.grid.mdms.aggregates import Aggregate, AggregateSpan
from utility_server.grid.mdms.decryptor import decryptor_of
from utility_server.grid.mdms.dispute_inquiry import DisputeInquiry
from utility_server.grid.mdms.group_value import GroupValue, GroupValueSpan
from utility_server.grid.mdms.opening import Opener
from utility_server.grid.mdms.rosters import ROSTER_SECONDS, KeptRoster
from utility_server.grid.mdms.workspace import Mdms
from utility_server.grid.rpc import Connection

ROUND_SECONDS: Final = 3600
NONCE_SIZE: Final = 32

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Absence:
    """A meter that is not in the sum, and why."""

    meter: bytes
    step: str
    why: str


@dataclass(slots=True)
class RoundOutcome:
    """What a round came to."""

    aggregate: Aggregate | None = None
    """The sum, verified; None where it did not open."""
    group_value: GroupValue | None = None
    """The number of a round with prices, verified."""
    is_known: bool = False
    """Whether it was stored already, and no hub was asked."""
    meters: tuple[bytes, ...] = ()
    """Whose use it is the sum of."""
    incomplete: dict[bytes, int] = field(default_factory=dict)
    """Those of them who lack readings, and of how many slots: no group counts them."""
    roster: int = 0
    absent: list[Absence] = field(default_factory=list)
    """Who did not answer: drop-outs."""
    refused: list[Absence] = field(default_factory=list)
    """Whose messages were not taken."""
    culprits: list[Culprit] = field(default_factory=list)
    """Who spoiled the sum, and how."""
    silent: list[bytes] = field(default_factory=list)
    """Meters that would not say, or were not let say, what would name a culprit."""
    void: str = ""
    """Why nothing was opened, where a home was named and then did not go on."""
    sent: int = 0
    received: int = 0
    timings: dict[str, float] = field(default_factory=dict)


@dataclass(slots=True)
class RoundRunner:
    """Runs one round over a line to the concentrator."""

    workspace: Mdms
    connection: Connection
    collector: bytes
    """The public key of the concentrator at its other end."""
    say: Say = lambda line: None
    trustee: Connection | None = None
    """To the holder of the key's other share, where it is split."""
    is_again: bool = False
    """Whether a round with prices is run although its number is known."""
    opener: Opener | None = None
    """Opens batches elsewhere, where the key is whole; None: here."""
    roster_seconds: int = ROSTER_SECONDS
    """For how long members' keys are used; 0 for one round."""
    outcome: RoundOutcome = field(default_factory=RoundOutcome)
    _is_disputed: bool = False

    def run(self, terms: RoundTerms) -> RoundOutcome:
        """Return what the round of these terms came to; the sum is stored if it verifies.

        Raises `CannotVerify` where too few take part, `VerificationFailed` where the concentrator
        hands out no batch, `ConcentratorError` where it gives up, `StoreError` where a sum of this
        time is stored already.
        """
        # What cannot be stored must not be asked for: a sum that is opened stays opened.
        if terms.weighting is None:
            self.workspace.store.require_free(span_of(terms))
        elif self._is_known(terms):
            return self.outcome
        kept, members = self._roster(terms)
        # No two rounds with the same keys may have one digest.
        until = max(self.workspace.now() + ROUND_SECONDS, kept.until + 1)
        kept = replace(kept, until=until, absent=frozenset())
        self.workspace.rosters.keep(kept)
        try:
            announced = Round.announce(
                terms,
                kept.nonce,
                until,
                self.collector,
                members,
                self.workspace.signing.private_bytes_raw(),
            )
        except AggregationError as error:
            raise CannotVerify(f"region {terms.region}: no round: {error}") from None
        self.outcome.roster = len(members)
        self.say(f"round {announced.digest.hex()[:16]}: {len(members)} homes announced")
        try:
            self._collect_and_open(announced)
            self._keep(kept)
        finally:
            list(self.connection.ask("end", announced.digest))
            self.outcome.sent, self.outcome.received = (
                self.connection.sent,
                self.connection.received,
            )
        return self.outcome

    def _is_known(self, terms: RoundTerms) -> bool:
        """Take the number of a round with prices from the store, if it is to be had there."""
        known = self.workspace.store.find_group_value(GroupValueSpan.of(terms))
        if known is None or self.is_again:
            return False
        self.say(f"region {terms.region}: known already; no hub is asked")
        self.outcome.group_value, self.outcome.is_known = known, True
        return True

    def _roster(self, terms: RoundTerms) -> tuple[KeptRoster, tuple[RosterMember, ...]]:
        """Return the keys for a round, and its members; asks those whose keys are not known."""
        started = perf_counter()
        known = self.workspace.members.of_region(terms.region)
        weighted, now = terms.weighting is not None, self.workspace.now()
        kept = self.workspace.rosters.find(terms.region, weighted=weighted)
        members = None
        if kept is not None and kept.made <= now < kept.made + self.roster_seconds:
            members = self._members_again(terms, known, kept)
        if kept is None or members is None:
            nonce = self.workspace.randomness(NONCE_SIZE)
            kept = KeptRoster(terms.region, weighted, nonce, now, 0, {})
            kind = ("worth",) if weighted else ()
            members = self._ask_for_keys(terms, known, nonce, "keys", *kind)
        for absence in self.outcome.absent + self.outcome.refused:
            self.say(f"meter {absence.meter.hex()}: {absence.step}: {absence.why}")
        self.outcome.timings["keys"] = perf_counter() - started
        kept = replace(kept, keys={meter: member.keys for meter, member in members.items()})
        return kept, tuple(members.values())

    def _members_again(
        self, terms: RoundTerms, known: dict[bytes, MeterCertificate], kept: KeptRoster
    ) -> dict[bytes, RosterMember] | None:
        """Return the members by keys that are kept; None where the concentrator cannot do that."""
        members, unknown = {}, []
        for meter in known:
            if meter in kept.keys and meter not in kept.absent:
                data = kept.keys[meter].encode()
                member = self._member(known, meter, kept.nonce, data, terms.bounds)
                if member is not None:
                    members[meter] = member
            else:
                unknown.append(meter)
        if unknown:
            kind = "worth" if kept.weighted else ""
            try:
                members |= self._ask_for_keys(terms, known, kept.nonce, "join", kind, *unknown)
            except ConcentratorRefused as refused:
                # A concentrator of before asks whole regions only.
                self.say(f"all homes are asked for keys: {refused.reason}")
                self.outcome.absent.clear()
                self.outcome.refused.clear()
                return None
        return members

    def _ask_for_keys(
        self,
        terms: RoundTerms,
        known: dict[bytes, MeterCertificate],
        nonce: bytes,
        request: str,
        *items: bytes | str,
    ) -> dict[bytes, RosterMember]:
        members = {}
        call = nonce + self.workspace.signing.sign(called_for(nonce))
        for name, answer in self.connection.ask(request, terms.region, call, *items):
            match name, answer:
                case "keys", (bytes(meter), bytes(data)):
                    member = self._member(known, meter, nonce, data, terms.bounds)
                    if member is not None:
                        members[meter] = member
                case "absent", (bytes(meter), str(step), str(why)):
                    self.outcome.absent.append(Absence(meter, step, why))
        return members

    def _keep(self, kept: KeptRoster) -> None:
        """Keep the keys for the next round, but not if a secret of theirs may be known."""
        if self._is_disputed:
            self.workspace.rosters.forget(kept.region, weighted=kept.weighted)
            return
        left = self.outcome.absent + self.outcome.refused
        absent = frozenset(absence.meter for absence in left)
        self.workspace.rosters.keep(replace(kept, absent=absent & kept.keys.keys()))

    def _member(
        self,
        known: dict[bytes, MeterCertificate],
        meter: bytes,
        nonce: bytes,
        data: bytes,
        bounds: tuple[int, int],
    ) -> RosterMember | None:
        try:
            keys = MemberKeys.decode(data)
            if meter not in known or keys.meter != meter or keys.nonce != nonce:
                raise RoundRefused("not the keys of a meter that the MDMS knows")
            member = RosterMember(known[meter], keys)
            member.verify(self.workspace.authorities)
            require_standing(member.certificate, *bounds, self.workspace.revocations)
        except (MalformedMessage, RoundRefused) as error:
            self.outcome.refused.append(Absence(meter, "tell keys", str(error)))
            return None
        return member

    def _collect_and_open(self, announced: Round) -> None:
        started = perf_counter()
        try:
            batch = self._collect(announced)
        except ConcentratorRefused as refused:
            if refused.kind != "void":
                raise
            self.outcome.void = refused.reason
            self.say(f"nothing is opened: {refused.reason}")
            return
        finally:
            self.outcome.timings["collection"] = perf_counter() - started
        started = perf_counter()
        self._open(announced, batch)
        self.outcome.timings["opening"] = perf_counter() - started

    def _collect(self, announced: Round) -> bytes:
        batch = None
        for name, items in self.connection.ask("collect", announced.encode()):
            match name, items:
                case "batch", (bytes(data),):
                    batch = data
                case "absent" | "refused", (bytes(meter), str(step), str(why)):
                    absences = self.outcome.absent if name == "absent" else self.outcome.refused
                    absences.append(Absence(meter, step, why))
                    self.say(f"meter {meter.hex()}: {step}: {why}")
        if batch is None:
            raise VerificationFailed("batch", "the concentrator has sent none")
        return batch

    def _open(self, announced: Round, data: bytes) -> None:
        try:
            batch = Batch.decode(data)
        except MalformedMessage as error:
            raise VerificationFailed("batch", str(error)) from None
        if (opened := self._opened_elsewhere(announced, data)) is not None:
            self._store(announced, opened)
            return
        decryptor = decryptor_of(self.workspace, self.connection, self.trustee, announced)
        try:
            self._store(announced, decrypt_sum(announced, batch, decryptor))
        except SumRefused as refused:
            self._is_disputed = True
            self.say(f"the sum is refused: {refused}")
            inquiry = DisputeInquiry(self.connection, announced, batch, decryptor)
            opened = inquiry.run(refused)
            self.outcome.culprits += inquiry.culprits
            self.outcome.silent += inquiry.silent
            for culprit in inquiry.culprits:
                self.say(f"culprit: {culprit}")
            if inquiry.obstacle:
                self.say(f"no home can be named: {inquiry.obstacle}")
            if opened is not None:
                self._store(announced, opened)

    def _opened_elsewhere(self, announced: Round, batch: bytes) -> RegionSum | None:
        if self.opener is None or not isinstance(self.workspace.paillier, PaillierPrivateKey):
            return None
        try:
            return self.opener(announced, batch)
        except (AggregationError, UtilityError) as error:
            # It may be repeated, and here it is known what to do about a sum that is wrong.
            self.say(f"opened here once more: {error}")
            return None

    def _store(self, announced: Round, opened: RegionSum) -> None:
        terms = announced.terms
        self.outcome.meters, self.outcome.incomplete = opened.meters, opened.incomplete
        if terms.weighting is not None:
            left = (absence.meter for absence in self.outcome.absent + self.outcome.refused)
            meters = (*left, *(member.meter for member in announced.members))
            self.outcome.group_value = GroupValue.of(announced, opened, meters)
            self.workspace.store.put_group_value(self.outcome.group_value)
            return
        aggregate = Aggregate(
            span_of(terms),
            terms.zone,
            opened.values,
            len(opened.meters),
            opened.missing_slots,
            terms.value_bits,
            announced.digest,
        )
        self.workspace.store.add(aggregate)
        self.outcome.aggregate = aggregate


def span_of(terms: RoundTerms) -> AggregateSpan:
    """Return of which region, resolution and time the sum of these terms is."""
    begin, end = terms.bounds
    return AggregateSpan(terms.region, terms.resolution_minutes, begin, end)
