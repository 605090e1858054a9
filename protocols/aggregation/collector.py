# SPDX-License-Identifier: Apache-2.0
"""A concentrator's part in a round: it multiplies ciphertexts, lists whose, relays the rest.

It holds no key but the one that it signs that list with, which the round names.

    CONTRIBUTING --close--> AGREEING --every contributor--> OPENING --every contributor--> COMPLETE

What a member sends is taken or refused by itself; refusals are counted by kind, and the round
goes on. Contributions are kept until the round is over, as evidence should the sum not open.
"""

import enum
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import ClassVar, TypeVar

from protocols.aggregation.errors import (
    ContributionRefused,
    Fault,
    MalformedMessage,
    RoundRefused,
)
from protocols.aggregation.load_ranges import ranges_check
from protocols.aggregation.loads import CertifiedLoad
from protocols.aggregation.messages import (
    Contribution,
    Contributors,
    MemberMessage,
    Opening,
    SumAgreement,
)
from protocols.aggregation.round import Round
from protocols.aggregation.wire import WireMessage, written
from protocols.canonical.cbor import CborError, decode_array, encode_array
from protocols.proofs import ProofError, ProofRefused, verify_all

MessageT = TypeVar("MessageT", Contribution, SumAgreement, Opening)


class RoundPhase(enum.Enum):
    """What a round waits for."""

    CONTRIBUTING = "contributions"
    AGREEING = "agreements"
    OPENING = "openings"
    COMPLETE = "nothing more"


def _byte_strings(data: bytes) -> list[bytes]:
    try:
        items = decode_array(data)
    except CborError as error:
        raise MalformedMessage(f"not a batch: {error}") from None
    strings = [item for item in items if isinstance(item, bytes)]
    if len(strings) != len(items):
        raise MalformedMessage("not a batch: an item is no byte string")
    return strings


def _write_all(messages: Sequence[WireMessage]) -> bytes:
    return encode_array([message.encode() for message in messages])


@dataclass(frozen=True, slots=True)
class Batch(WireMessage):
    """What a concentrator hands to the operator: a product, and all it takes to open it."""

    LABEL: ClassVar[str] = "meterlet aggregation batch 1"

    contributors: Contributors = field(metadata=written(Contributors.encode, Contributors.decode))
    products: bytes
    """The products of the contributors' ciphertexts, place by place."""
    loads: tuple[CertifiedLoad, ...] = field(
        metadata=written(
            _write_all, lambda data: tuple(map(CertifiedLoad.decode, _byte_strings(data)))
        )
    )
    range_proofs: tuple[bytes, ...] = field(
        metadata=written(encode_array, lambda data: tuple(_byte_strings(data)))
    )
    """Of each load; empty in rounds that do not ask for them."""
    openings: tuple[Opening, ...] = field(
        metadata=written(_write_all, lambda data: tuple(map(Opening.decode, _byte_strings(data))))
    )


class Collector:
    """One round at the concentrator."""

    def __init__(self, announced: Round, signing_seed: bytes) -> None:
        self.round, self._signing_seed = announced, signing_seed
        self.digest = announced.digest
        self.phase = RoundPhase.CONTRIBUTING
        self.refused: Counter[Fault] = Counter()
        """How many messages were not taken, and why."""
        self._contributions: dict[int, Contribution] = {}
        self._product: list[int] = []
        self._contributors: Contributors | None = None
        self._agreements: dict[int, SumAgreement] = {}
        self._openings: dict[int, Opening] = {}

    def contribute(self, data: bytes) -> bytes:
        """Take a contribution and return its meter; raise `ContributionRefused` otherwise."""
        with self._counted():
            contribution = self._member_message(Contribution, data, self._contributions)
            meter = self.round.members[contribution.index].meter
            if self.phase is not RoundPhase.CONTRIBUTING:
                raise ContributionRefused(Fault.LATE, meter)
            ciphertexts = require_contribution(self.round, self.digest, contribution)
            if self._product:
                self._product = self.round.terms.key.multiply(self._product, ciphertexts)
            else:
                self._product = ciphertexts
            self._contributions[contribution.index] = contribution
            return meter

    def close(self) -> Contributors:
        """End the contributing and return who has; raise `RoundRefused` if nobody has."""
        if self._contributors is None:
            if not self._contributions:
                raise RoundRefused("nobody has contributed")
            self._contributors = self.sign(Contributors.of(self.digest, self._contributions))
            self.phase = RoundPhase.AGREEING
        return self._contributors

    def sign(self, listed: Contributors) -> Contributors:
        """Return a list as households take it."""
        return listed.signed(self._signing_seed)

    def agree(self, data: bytes) -> bytes:
        """Take an agreement and return its meter; raise `ContributionRefused` otherwise."""
        with self._counted():
            agreement = self._member_message(SumAgreement, data, self._agreements)
            meter = self._contributor(agreement.index, agreement.contributors)
            self._agreements[agreement.index] = agreement
            if len(self._agreements) == len(self._contributions):
                self.phase = RoundPhase.OPENING
            return meter

    @property
    def agreements(self) -> tuple[bytes, ...]:
        """All contributors' signatures, in order; `RoundRefused` while there are not all."""
        if len(self._agreements) < len(self._contributions) or not self._agreements:
            raise RoundRefused("not every contributor has agreed")
        return tuple(self._agreements[index].signature for index in sorted(self._agreements))

    def open(self, data: bytes) -> bytes:
        """Take an opening and return its meter; raise `ContributionRefused` otherwise."""
        with self._counted():
            opening = self._member_message(Opening, data, self._openings)
            meter = self._contributor(opening.index, opening.contributors)
            self._openings[opening.index] = opening
            if len(self._openings) == len(self._contributions):
                self.phase = RoundPhase.COMPLETE
            return meter

    @property
    def awaited(self) -> tuple[bytes, ...]:
        """The meters that the phase still waits for, in order."""
        members = range(len(self.round.members))
        due = members if self.phase is RoundPhase.CONTRIBUTING else self._contributions
        done: dict[RoundPhase, dict[int, object]] = {
            RoundPhase.CONTRIBUTING: {**self._contributions},
            RoundPhase.AGREEING: {**self._agreements},
            RoundPhase.OPENING: {**self._openings},
            RoundPhase.COMPLETE: {**self._openings},
        }
        left = sorted(set(due) - set(done[self.phase]))
        return tuple(self.round.members[index].meter for index in left)

    def batch(self) -> Batch:
        """Return what opens the sum; raise `RoundRefused` while an opening is missing."""
        if self.phase is not RoundPhase.COMPLETE:
            raise RoundRefused(f"the round waits for {self.phase.value}")
        contributors = self.close()
        return Batch(
            contributors,
            self.round.terms.key.encode_ciphertexts(self._product),
            tuple(self._contributions[index].load for index in contributors.indexes),
            tuple(self._contributions[index].range_proof for index in contributors.indexes),
            tuple(self._openings[index] for index in contributors.indexes),
        )

    def evidence(self) -> tuple[Contribution, ...]:
        """Return the contributions, as they were signed."""
        return tuple(self._contributions[index] for index in self.close().indexes)

    @contextmanager
    def _counted(self) -> Iterator[None]:
        try:
            yield
        except ContributionRefused as refused:
            self.refused[refused.fault] += 1
            raise

    def _contributor(self, index: int, contributors: bytes) -> bytes:
        meter = self.round.members[index].meter
        if index not in self._contributions:
            raise ContributionRefused(Fault.UNKNOWN_METER, meter, "no contributor")
        if self._contributors is None or contributors != self._contributors.digest:
            raise ContributionRefused(Fault.OTHER_SET, meter)
        return meter

    def _member_message(
        self, kind: type[MessageT], data: bytes, known: dict[int, MessageT]
    ) -> MessageT:
        try:
            message = kind.decode(data)
        except MalformedMessage as error:
            raise ContributionRefused(Fault.MALFORMED, None, str(error)) from None
        meter = require_member(self.round, self.digest, message)
        if message.index in known:
            raise ContributionRefused(Fault.REPEATED, meter)
        return message


def require_member(announced: Round, digest: bytes, message: MemberMessage) -> bytes:
    """Return the meter whose message of this round it is; raise `ContributionRefused` if none."""
    if message.round != digest:
        raise ContributionRefused(Fault.OTHER_ROUND)
    if message.index >= len(announced.members):
        raise ContributionRefused(Fault.UNKNOWN_METER)
    member = announced.members[message.index]
    if not message.is_by(member.keys.signing):
        raise ContributionRefused(Fault.BAD_SIGNATURE, member.meter)
    return member.meter


def require_contribution(announced: Round, digest: bytes, contribution: Contribution) -> list[int]:
    """Return a member's ciphertexts; raise `ContributionRefused` for what is wrong."""
    member, key = announced.members[contribution.index], announced.terms.key
    if contribution.key_id != key.key_id:
        raise ContributionRefused(Fault.OTHER_KEY, member.meter)
    require_load(announced, digest, contribution.index, contribution.load)
    ciphertexts = key.decode_ciphertexts(contribution.ciphertexts)
    if len(ciphertexts) != announced.terms.ciphertext_count():
        raise ContributionRefused(Fault.WRONG_COUNT, member.meter, f"{len(ciphertexts)}")
    fault = key.fault_of(ciphertexts)
    if fault is not None:
        raise ContributionRefused(fault, member.meter)
    try:
        require_ranges(announced, [contribution.load], [contribution.range_proof])
    except ProofError as error:
        raise ContributionRefused(Fault.BAD_RANGE, member.meter, str(error)) from None
    return ciphertexts


def require_ranges(
    announced: Round, loads: Sequence[CertifiedLoad], proofs: Sequence[bytes]
) -> None:
    """Return if each load's values are proved to fit; raise `ProofError` and name those not.

    In rounds that do not ask for proofs, there must be none.
    """
    if not announced.terms.are_ranges_proved:
        if any(proofs):
            raise ProofRefused("a proof of ranges that nobody asked for")
        return
    verify_all(
        [
            ranges_check(announced.terms, load, proof, f"meter {load.meter.hex()}")
            for load, proof in zip(loads, proofs, strict=True)
        ]
    )


def require_load(announced: Round, digest: bytes, index: int, load: CertifiedLoad) -> None:
    """Return if the load is the member's for this round; raise `ContributionRefused` if not."""
    member = announced.members[index]
    if load.meter != member.meter:
        raise ContributionRefused(Fault.UNKNOWN_METER, member.meter, "another meter's load")
    if load.round != digest:
        raise ContributionRefused(Fault.OTHER_ROUND, member.meter)
    certifier = member.certificate.certifier
    if not (load.is_by(certifier) and load.slot_coverage.is_by(certifier)):
        raise ContributionRefused(Fault.BAD_LOAD, member.meter)
