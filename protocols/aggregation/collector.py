# SPDX-License-Identifier: Apache-2.0
"""A concentrator's part in a round: it holds no key, multiplies ciphertexts, relays the rest.

    CONTRIBUTING --close--> AGREEING --every contributor--> OPENING --every contributor--> COMPLETE

What a member sends is taken or refused by itself; refusals are counted by kind, and the round
goes on. Contributions are kept until the round is over, as evidence should the sum not open.
"""

import enum
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self, TypeVar

from gmpy2 import mpz  # type: ignore[import-untyped]  # gmpy2 ships no types

from protocols.aggregation._wire import decode_message, encode_message
from protocols.aggregation.errors import (
    ContributionRefused,
    Fault,
    MalformedMessage,
    RoundRefused,
)
from protocols.aggregation.load_ranges import ranges_check
from protocols.aggregation.loads import CertifiedLoad
from protocols.aggregation.messages import (
    Agreement,
    Contribution,
    Contributors,
    MemberMessage,
    Opening,
)
from protocols.aggregation.paillier import PaillierPublicKey
from protocols.aggregation.round import Round
from protocols.canonical.cbor import CborError, decode_array, encode_array
from protocols.proofs import ProofError, ProofRefused, verify_all

MessageT = TypeVar("MessageT", Contribution, Agreement, Opening)


class Phase(enum.Enum):
    """What a round waits for."""

    CONTRIBUTING = "contributions"
    AGREEING = "agreements"
    OPENING = "openings"
    COMPLETE = "nothing more"


@dataclass(frozen=True, slots=True)
class Batch:
    """What a concentrator hands to the operator: a product, and all it takes to open it."""

    LABEL: ClassVar[str] = "meterlet aggregation batch 1"

    contributors: Contributors
    products: bytes
    """The products of the contributors' ciphertexts, place by place."""
    loads: tuple[CertifiedLoad, ...]
    range_proofs: tuple[bytes, ...]
    """Of each load; empty in rounds that do not ask for them."""
    openings: tuple[Opening, ...]

    def encode(self) -> bytes:
        """Return the batch."""
        return encode_message(
            self.LABEL,
            self.contributors.encode(),
            self.products,
            encode_array([load.encode() for load in self.loads]),
            encode_array(self.range_proofs),
            encode_array([opening.encode() for opening in self.openings]),
        )

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the batch; raise `MalformedMessage` if it is none."""
        match decode_message(data, cls.LABEL):
            case [
                bytes(contributors), bytes(products), bytes(loads), bytes(proofs), bytes(openings),
            ]:  # fmt: skip
                return cls(
                    Contributors.decode(contributors),
                    products,
                    tuple(map(CertifiedLoad.decode, _byte_strings(loads))),
                    tuple(_byte_strings(proofs)),
                    tuple(map(Opening.decode, _byte_strings(openings))),
                )
            case _:
                raise MalformedMessage("not a batch")


class Collector:
    """One round at the concentrator."""

    def __init__(self, announced: Round) -> None:
        self.round = announced
        self.digest = announced.digest
        self.phase = Phase.CONTRIBUTING
        self.refused: Counter[Fault] = Counter()
        """How many messages were not taken, and why."""
        self._count = announced.terms.layout.plaintext_count(announced.terms.value_count())
        self._contributions: dict[int, Contribution] = {}
        self._product: list[int] = []
        self._contributors: Contributors | None = None
        self._agreements: dict[int, Agreement] = {}
        self._openings: dict[int, Opening] = {}

    def contribute(self, data: bytes) -> bytes:
        """Take a contribution and return its meter; raise `ContributionRefused` otherwise."""
        with _Counted(self.refused):
            contribution = self._member_message(Contribution, data, self._contributions)
            meter = self.round.members[contribution.index].meter
            if self.phase is not Phase.CONTRIBUTING:
                raise ContributionRefused(Fault.LATE, meter)
            ciphertexts = require_contribution(self.round, self.digest, contribution, self._count)
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
            indexes = tuple(sorted(self._contributions))
            digests = tuple(self._contributions[index].digest for index in indexes)
            self._contributors = Contributors(self.digest, indexes, digests)
            self.phase = Phase.AGREEING
        return self._contributors

    def agree(self, data: bytes) -> bytes:
        """Take an agreement and return its meter; raise `ContributionRefused` otherwise."""
        with _Counted(self.refused):
            agreement = self._member_message(Agreement, data, self._agreements)
            meter = self._contributor(agreement.index, agreement.contributors)
            self._agreements[agreement.index] = agreement
            if len(self._agreements) == len(self._contributions):
                self.phase = Phase.OPENING
            return meter

    @property
    def agreements(self) -> tuple[bytes, ...]:
        """All contributors' signatures, in order; `RoundRefused` while there are not all."""
        if len(self._agreements) < len(self._contributions) or not self._agreements:
            raise RoundRefused("not every contributor has agreed")
        return tuple(self._agreements[index].signature for index in sorted(self._agreements))

    def open(self, data: bytes) -> bytes:
        """Take an opening and return its meter; raise `ContributionRefused` otherwise."""
        with _Counted(self.refused):
            opening = self._member_message(Opening, data, self._openings)
            meter = self._contributor(opening.index, opening.contributors)
            self._openings[opening.index] = opening
            if len(self._openings) == len(self._contributions):
                self.phase = Phase.COMPLETE
            return meter

    @property
    def awaited(self) -> tuple[bytes, ...]:
        """The meters that the phase still waits for, in order."""
        members = range(len(self.round.members))
        due = members if self.phase is Phase.CONTRIBUTING else self._contributions
        done: dict[Phase, dict[int, object]] = {
            Phase.CONTRIBUTING: {**self._contributions},
            Phase.AGREEING: {**self._agreements},
            Phase.OPENING: {**self._openings},
            Phase.COMPLETE: {**self._openings},
        }
        left = sorted(set(due) - set(done[self.phase]))
        return tuple(self.round.members[index].meter for index in left)

    def batch(self) -> Batch:
        """Return what opens the sum; raise `RoundRefused` while an opening is missing."""
        if self.phase is not Phase.COMPLETE:
            raise RoundRefused(f"the round waits for {self.phase.value}")
        contributors = self.close()
        size = self.round.terms.key.ciphertext_size
        return Batch(
            contributors,
            b"".join(int(product).to_bytes(size, "big") for product in self._product),
            tuple(self._contributions[index].load for index in contributors.indexes),
            tuple(self._contributions[index].range_proof for index in contributors.indexes),
            tuple(self._openings[index] for index in contributors.indexes),
        )

    def evidence(self) -> tuple[Contribution, ...]:
        """Return the contributions, as they were signed."""
        return tuple(self._contributions[index] for index in self.close().indexes)

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


def require_contribution(
    announced: Round, digest: bytes, contribution: Contribution, count: int
) -> list[int]:
    """Return a member's `count` ciphertexts; raise `ContributionRefused` for what is wrong."""
    member, key = announced.members[contribution.index], announced.terms.key
    if contribution.key_id != key.key_id:
        raise ContributionRefused(Fault.OTHER_KEY, member.meter)
    require_load(announced, digest, contribution.index, contribution.load)
    ciphertexts = ciphertexts_of(key, contribution.ciphertexts)
    if len(ciphertexts) != count:
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
    if not load.is_by(member.certificate.certifier):
        raise ContributionRefused(Fault.BAD_LOAD, member.meter)


def ciphertexts_of(key: PaillierPublicKey, data: bytes) -> list[int]:
    """Return the ciphertexts in `data`; none if it is no whole number of them."""
    size = key.ciphertext_size
    if len(data) % size:
        return []
    # As gmpy2's integers: Python's own take five times as long to multiply.
    return [mpz(int.from_bytes(data[at : at + size], "big")) for at in range(0, len(data), size)]


class _Counted:
    """Counts the refusals that pass through it."""

    def __init__(self, counter: Counter[Fault]) -> None:
        self._counter = counter

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, ContributionRefused):
            self._counter[error.fault] += 1


def _byte_strings(data: bytes) -> Sequence[bytes]:
    try:
        items = decode_array(data)
    except CborError as error:
        raise MalformedMessage(f"not a batch: {error}") from None
    strings = [item for item in items if isinstance(item, bytes)]
    if len(strings) != len(items):
        raise MalformedMessage("not a batch: an item is no byte string")
    return strings
