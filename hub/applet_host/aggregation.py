# SPDX-License-Identifier: Apache-2.0
"""What the platform does for an applet that takes part in sums over many households.

The applet relays; it decides nothing. Here are checked: that the operator has announced the round,
that an authority vouches for every member, that as many as manifest and consent say have readings,
that no two sums of one time can be subtracted (`protocols.aggregation.rules`), that a round is
contributed to once, agreed to for one set of contributors, and opened with all their signatures.

Nothing is released before the opening; that is when the disclosure log says so. Of this home's own
use it tells no bit: the recipient learns a sum over the group, of each slot or, in a round with
prices, of what the whole period was worth; each needs a consent of its own kind. What an applet was
told stays on record even if its command fails: by whether it fails, it could tell a bit at a time.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Final

from hub.applet_host.aggregation_record import Participation, RoundRecord, members_digest
from hub.applet_host.certified_days import incomplete
from hub.applet_host.command import CommandStack
from hub.applet_host.cost import cost_of_contribution, cost_of_days, cost_of_round
from hub.applet_host.custody import CustodyGate
from hub.certifier import Certification
from hub.disclosure import AggregateRequest, Disclosure, LogTampered, ReleaseRefused, Weights
from hub.machine.manifest import AGGREGATE, WEIGHTED, Manifest, StatementGrant
from hub.machine.meter import WorkMeter
from hub.metering import MeteredRegister, PeriodIncomplete
from protocols.aggregation.errors import (
    AggregationError,
    MalformedMessage,
    PackingRefused,
    RoundRefused,
)
from protocols.aggregation.household import RoundHousehold
from protocols.aggregation.members import MemberSecret
from protocols.aggregation.messages import Contribution, Contributors, PairPoints
from protocols.aggregation.paillier import Encryptor, PaillierPublicKey
from protocols.aggregation.revocations import RevocationList
from protocols.aggregation.rosters import Roster, named_contributors, named_round
from protocols.aggregation.round import Round, RoundTerms
from protocols.aggregation.rules import ReleasedSum, Rules
from protocols.platform.errors import Refusal, Refused
from sml_codec import Obis

NONCE_SIZE: Final = 32
SIGNATURE_SIZE: Final = 64
SHORTEST_DAY: Final = 23 * 3600


@dataclass(frozen=True, slots=True)
class HubAggregation:
    """`protocols.platform.services.Aggregation` of one applet."""

    applet: bytes
    package: bytes
    """The digest of the bundle it was installed from."""
    manifest: Manifest
    registers: Mapping[str, MeteredRegister]
    """Those that the manifest names, the main one first (`granted_registers`)."""
    disclosure: Disclosure
    record: RoundRecord
    secret: bytes = field(repr=False)
    """Of 32 bytes, from which the keys of all rounds are derived."""
    authorities: Callable[[], tuple[bytes, ...]] = field(repr=False)
    """Returns the Ed25519 keys of those who say which meters there are."""
    now: Callable[[], int] = field(repr=False)
    stack: CommandStack
    """Of the applets at work: says whether a step stays on record, and has the record."""
    meter: WorkMeter
    randomness: Callable[[int], bytes] = field(default=os.urandom, repr=False)
    revocations: Callable[[], tuple[RevocationList, ...]] = field(default=tuple, repr=False)
    """Returns the authorities' lists of meters that count no more."""

    def tell_keys(self, nonce: bytes) -> bytes:
        """Return the keys for the round of this nonce, signed by the certifier."""
        if len(nonce) != NONCE_SIZE:
            raise Refused(Refusal.MALFORMED, f"a nonce has {NONCE_SIZE} bytes")
        self.meter.charge(cost_of_round(len(nonce)))
        return self._main.certifier.certify_keys(MemberSecret(self.secret, nonce)).encode()

    def contribute(self, operator: bytes, announced: bytes) -> bytes:
        """Return the contribution; the same one however often a round is asked for.

        A round may name the roster of an earlier one: not found if the hub does not have it.
        """
        self.stack.require_record()
        self.meter.charge(cost_of_round(len(announced)))
        with _told():
            announced = self._whole(announced)
            round_ = Round.decode(announced)
            if not round_.is_by(operator):
                raise RoundRefused("the operator has not announced this round")
            self.record.forget(self.now())
            known = self.record.find(round_.digest, self.applet)
            if known is not None:
                return known.contribution
            grant = self._require_terms(round_)
            with self._noted(round_, len(round_.members)):
                # Every member anew, whichever way the roster came: one may have been revoked.
                self._rules(grant).require_round(round_, self.now())
                self._require_unshown(round_)
            household = self._household(round_)
            self._require_consent(round_, len(round_.members))
            terms = round_.terms
            key_bits = terms.key.modulus.bit_length()
            self.meter.charge(cost_of_contribution(terms.value_count(), key_bits))
            days = self._days(round_)
            certifier = self._register(round_).certifier
            limbs, load = certifier.certify_load(round_, days)
            blinding = certifier.open_load(round_, days)
            crypt = _encryptor(round_.terms.key, round_.terms.exponent_bits)
            contribution = household.contribute(
                limbs, load, crypt, self.randomness, blinding
            ).encode()
            made = Participation(round_.digest, self.applet, announced, contribution, None, False)
            roster = Roster.of(round_)
            self._take(lambda: self.record.add(made, round_.valid_until, roster))
            return contribution

    def agree(self, contributors: bytes) -> bytes:
        """Return the agreement; refused for any other contributors than the first time."""
        # An applet that takes it back could agree to a second set.
        self.stack.require_record()
        with _told():
            listed, known, round_ = self._step(contributors)
            with self._noted(round_, len(listed.indexes)):
                if known.contributors not in (None, listed.digest):
                    raise RoundRefused("a sum over other contributors was agreed to")
                released = self._require_set(round_, listed)
            if known.contributors is None:
                # Now it is known who has readings; a group that is too small is not agreed to.
                self._require_consent(round_, len(released.complete))
            contribution = Contribution.decode(known.contribution).digest
            agreement = self._household(round_).agree(listed, contribution)
            self._take(lambda: self.record.agree(round_.digest, listed.digest, contributors))
            return agreement.encode()

    def open_sum(self, contributors: bytes, agreements: bytes) -> bytes:
        """Return what opens the sum that was agreed to; it is on record from then on.

        The contributors may be named by the digest of the list that was agreed to.
        """
        self.stack.require_record()
        with _told():
            listed, known, round_ = self._step(self._agreed(contributors))
            if len(agreements) % SIGNATURE_SIZE:
                raise MalformedMessage("agreements are signatures of 64 bytes")
            with self._noted(round_, len(listed.indexes)):
                if known.contributors != listed.digest:
                    raise RoundRefused("a sum over these was not agreed to")
                released = self._require_set(round_, listed)
            signatures = [
                agreements[at : at + SIGNATURE_SIZE]
                for at in range(0, len(agreements), SIGNATURE_SIZE)
            ]
            blinding = self._register(round_).certifier.open_load(round_, self._days(round_))
            opening = self._household(round_).open(listed, signatures, blinding)
            if not known.is_open:
                request = self._require_consent(round_, len(released.complete))
                request = replace(request, members=members_digest(released))
                self._take(lambda: self.disclosure.record_aggregate(request))
                self._take(lambda: self.record.release(round_.digest, released))
            return opening.encode()

    def show_points(self, contributors: bytes) -> bytes:
        """Return commitments to the masks of our pairs, of a sum that was opened."""
        with _told():
            listed, round_ = self._opened(contributors)
            return self._household(round_).pair_points(listed).encode()

    def show_key(self, contributors: bytes, points: bytes) -> bytes:
        """Return the secret of the pair with whom signed wrong points.

        It is one of the keys of the round's nonce: they are good for no other round from then on.
        """
        # An applet that takes it back could go on with keys whose secret is out.
        self.stack.require_record()
        with _told():
            listed, round_ = self._opened(contributors)
            theirs = PairPoints.decode(points)
            shown = self._household(round_).pair_key(listed, theirs).encode()
            self._take(lambda: self.record.show(round_.nonce, round_.digest))
            return shown

    def _whole(self, announced: bytes) -> bytes:
        """Return the announcement of a round that names its roster; any other as it is."""
        named = named_round(announced)
        if named is None:
            return announced
        roster = self.record.roster(self.applet, named.roster)
        if roster is None:
            raise Refused(Refusal.NOT_FOUND, "no round of before had that roster")
        whole = named.announcement(roster)
        self.meter.charge(cost_of_round(len(whole)))
        return whole

    def _agreed(self, contributors: bytes) -> bytes:
        """Return the list that is named, if it was agreed to; any other list as it is."""
        named = named_contributors(contributors)
        if named is None:
            return contributors
        known = self.record.find(named.round, self.applet)
        if known is None or known.listed is None or known.contributors != named.contributors:
            raise Refused(Refusal.NOT_FOUND, "no such list was agreed to")
        return known.listed

    def _require_unshown(self, round_: Round) -> None:
        """Return unless a secret of the round's keys was shown in another round."""
        if self.record.was_shown_elsewhere(round_.nonce, round_.digest):
            raise RoundRefused("a secret of these keys was shown in a dispute: they are used up")

    def _require_terms(self, round_: Round) -> StatementGrant:
        """Return the manifest's grant for such a round; raise `Refused` if there is none."""
        terms, (begin, end) = round_.terms, round_.terms.bounds
        if terms.zone != self._register(round_).zone:
            raise Refused(Refusal.NOT_FOUND, "days of another zone")
        register = str(Obis(terms.register))
        kind = AGGREGATE if terms.weighting is None else WEIGHTED
        for grant in self.manifest.statements:
            if grant.kind == kind and register in grant.registers:
                if end - begin < grant.minimum_days * SHORTEST_DAY:
                    raise Refused(Refusal.NOT_GRANTED, "shorter than the manifest says")
                return grant
        raise Refused(Refusal.NOT_GRANTED, "the manifest names no such sum")

    @property
    def _main(self) -> MeteredRegister:
        return next(iter(self.registers.values()))

    def _register(self, round_: Round) -> MeteredRegister:
        name = str(Obis(round_.terms.register))
        if name not in self.registers:
            raise Refused(Refusal.NOT_FOUND, "another register")
        return self.registers[name]

    def _rules(self, grant: StatementGrant) -> Rules:
        authorities = self.authorities()
        if not authorities:
            raise RoundRefused("no authority is known to say which meters there are")
        return Rules(authorities, grant.smallest_group, revocations=self.revocations())

    def _require_set(self, round_: Round, listed: Contributors) -> ReleasedSum:
        begin, end = round_.terms.bounds
        rules = self._rules(self._require_terms(round_))
        opened = self.record.releases(begin, end)
        self._require_all_of(begin, end, opened)
        return rules.require_set(round_, listed, opened)

    def _require_all_of(self, begin: int, end: int, opened: Sequence[ReleasedSum]) -> None:
        """Return if every opened sum in the log is among these; raise `LogTampered` otherwise."""
        logged = [
            entry
            for entry in self.disclosure.log.entries("aggregate")
            if entry.facts["begin"] < end and entry.facts["end"] > begin
        ]
        known = {members_digest(each) for each in opened}
        # Entries of release 0.1 do not say over whom.
        named = {entry.facts["members"] for entry in logged if "members" in entry.facts}
        if len(logged) > len(opened) or not named <= known:
            raise LogTampered("the record of opened sums is not what the disclosure log says")

    def _step(self, contributors: bytes) -> tuple[Contributors, Participation, Round]:
        listed = Contributors.decode(contributors)
        known = self.record.find(listed.round, self.applet)
        if known is None:
            raise Refused(Refusal.NOT_FOUND, "no contribution to that round")
        self.meter.charge(cost_of_round(len(known.announced)))
        round_ = Round.decode(known.announced)
        if self.now() >= round_.valid_until:
            raise RoundRefused("the round is over")
        # Before anything is put on record: a stranger's list neither counts nor fills the log.
        if not listed.is_by(round_.collector):
            raise RoundRefused("the list is not signed by who collects the round")
        self._require_unshown(round_)
        return listed, known, round_

    def _opened(self, contributors: bytes) -> tuple[Contributors, Round]:
        listed, known, round_ = self._step(contributors)
        if not known.is_open or known.contributors != listed.digest:
            raise RoundRefused("the sum over these was not opened")
        return listed, round_

    def _household(self, round_: Round) -> RoundHousehold:
        index = round_.index_of(self._main.certifier.series.meter)
        return RoundHousehold(round_, index, MemberSecret(self.secret, round_.nonce))

    def _days(self, round_: Round) -> list[Certification]:
        register = self._register(round_)
        CustodyGate(self.applet, self.package, self.manifest, self.disclosure, self.stack).require(
            [register], round_.terms.period
        )
        self.meter.charge(cost_of_days(register.certified_count(round_.terms.period)))
        try:
            return register.certifications(round_.terms.period)
        except PeriodIncomplete:
            raise incomplete([register], round_.terms.period) from None

    @contextmanager
    def _noted(self, round_: Round, group: int) -> Iterator[None]:
        """Have it recorded for the resident if a rule refuses a round."""
        try:
            yield
        except RoundRefused as error:
            refused = ReleaseRefused("round", str(error))
            request = self._request(round_, group)
            self.disclosure.record_refusal(request, refused)
            self.stack.note(self.disclosure.facts_of(request), refused)
            raise

    def _take(self, put_on_record: Callable[[], object]) -> None:
        put_on_record()
        self.stack.record.permitted.append(put_on_record)

    def _require_consent(self, round_: Round, group: int) -> AggregateRequest:
        request = self._request(round_, group)
        try:
            self.disclosure.require_aggregate(request)
        except ReleaseRefused as refused:
            raise self.stack.refuse(self.disclosure.facts_of(request), refused) from None
        return request

    def _request(self, round_: Round, group: int) -> AggregateRequest:
        terms, (begin, end) = round_.terms, round_.terms.bounds
        return AggregateRequest(
            applet=self.applet,
            package=self.package,
            recipient=self.manifest.recipient,
            purpose=self.manifest.purpose,
            round=round_.digest,
            region=terms.region,
            begin=begin,
            end=end,
            days=sum(1 for _ in terms.period.days(terms.zone)),
            resolution_minutes=terms.resolution_minutes,
            values=terms.value_count(),
            group=group,
            weights=_weights(terms),
        )


def _weights(terms: RoundTerms) -> Weights | None:
    """Return what is told the resident of a round's prices."""
    weighting = terms.weighting
    if weighting is None:
        return None
    bits = weighting.bits(terms.value_bits)
    return Weights(
        weighting.name, weighting.index, weighting.currency, bits, weighting.encode()
    )  # fmt: skip


@contextmanager
def _told() -> Iterator[None]:
    """Tell the applet of a round's errors as the contract has them."""
    try:
        yield
    except MalformedMessage as error:
        raise Refused(Refusal.MALFORMED, str(error)) from None
    except PackingRefused as error:
        raise Refused(Refusal.TOO_MUCH, str(error)) from None
    except AggregationError as error:
        raise Refused(Refusal.NOT_GRANTED, str(error)) from None


@lru_cache(maxsize=2)
def _encryptor(key: PaillierPublicKey, exponent_bits: int) -> Encryptor:
    """Return the tables of a key; 17 MB for one of 2048 bits with the long exponent."""
    return Encryptor(key, exponent_bits)
