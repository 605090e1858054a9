# SPDX-License-Identifier: Apache-2.0
"""Who spoiled a sum: asks the concentrator for the evidence, and hubs about their pairs.

    evidence -> not what it vouched for, or not its product?     the concentrator
    points of pairs -> ends that differ -> that pair's key       the household that lied
    bisection of what is left                                    the household that encrypted or
                                                                 opened what was not certified

With a split key the trustee helps to bisect, on sight of what all contributors have signed for
that; where it does not, nobody is named. Nothing that is opened on the way tells of one household
(`protocols.aggregation.dispute`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from protocols.aggregation.collector import Batch
from protocols.aggregation.decryption import RegionSum
from protocols.aggregation.dispute import CONCENTRATOR, Accused, Culprit, Dispute
from protocols.aggregation.errors import HolderRefused, MalformedMessage, SumRefused
from protocols.aggregation.messages import Contribution, PairKey, PairPoints
from protocols.aggregation.paillier import Decryptor
from protocols.aggregation.round import Round
from utility_server.grid.mdms.decryptor import WithTrustee
from utility_server.grid.rpc import Connection


@dataclass(slots=True)
class DisputeInquiry:
    """One batch that did not open."""

    connection: Connection
    announced: Round
    batch: Batch
    decryptor: Decryptor
    culprits: list[Culprit] = field(default_factory=list)
    silent: list[bytes] = field(default_factory=list)
    """Meters without whose points of pairs nobody can be named: theirs, or withheld."""
    obstacle: str = ""
    """Why no household could be named although all have shown their points."""

    def run(self, refused: SumRefused) -> RegionSum | None:
        """Name the culprits; return the sum where the concentrator's evidence opens all the same.

        `refused` is what the sum was refused with.
        """
        try:
            dispute = Dispute(self.announced, self.batch, self.decryptor)
        except SumRefused:
            # Parts that are not signed by whom they should be: who handed them on did not look.
            self.culprits.append(Culprit(CONCENTRATOR, str(refused)))
            return None
        try:
            contributions = self._evidence()
            opened = dispute.examine_evidence(contributions)
        except Accused as accused:
            self.culprits.append(accused.culprit)
            return None
        except MalformedMessage as error:
            self.culprits.append(Culprit(CONCENTRATOR, f"its evidence: {error}"))
            return None
        if opened is None:
            try:
                self._ask_households(dispute, contributions)
            except HolderRefused as refused_help:
                self.obstacle = str(refused_help)
        self.culprits += dispute.culprits
        return opened

    def _ask_households(self, dispute: Dispute, contributions: Sequence[Contribution]) -> None:
        points = self._points()
        dispute.examine_points(points)
        for pair in dispute.disputes():
            dispute.settle(pair, self._pair_keys(pair, points))
        self.silent += dispute.silent
        if dispute.silent:
            return
        if isinstance(self.decryptor, WithTrustee):
            signed = [points[index] for index in self.batch.contributors.indexes]
            dispute.bisect(self.decryptor.dispute(self.batch, contributions, signed))
        else:
            dispute.bisect()

    def _evidence(self) -> list[Contribution]:
        return [
            Contribution.decode(data)
            for name, items in self.connection.ask("evidence", self.announced.digest)
            if name == "contribution"
            for data in items
            if isinstance(data, bytes)
        ]

    def _points(self) -> dict[int, PairPoints]:
        places = {member.meter: index for index, member in enumerate(self.announced.members)}
        points = {}
        for name, items in self.connection.ask("points", self.announced.digest):
            match name, items:
                case "points", (bytes(meter), bytes(data)) if meter in places:
                    try:
                        points[places[meter]] = PairPoints.decode(data)
                    except MalformedMessage:
                        continue  # counts as silence
        return points

    def _pair_keys(self, pair: tuple[int, int], points: dict[int, PairPoints]) -> list[PairKey]:
        """Return what the ends of a pair show, each on sight of what the other has signed."""
        keys = []
        for index, other in (pair, pair[::-1]):
            meter, theirs = self.announced.members[index].meter, points[other].encode()
            for name, items in self.connection.ask("pair", self.announced.digest, meter, theirs):
                match name, items:
                    case "pair", (bytes(), bytes(data)):
                        try:
                            keys.append(PairKey.decode(data))
                        except MalformedMessage:
                            continue
        return keys
