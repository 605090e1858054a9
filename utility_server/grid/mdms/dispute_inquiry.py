# SPDX-License-Identifier: Apache-2.0
"""Who spoiled a sum: asks the concentrator for the evidence, and hubs about their pairs.

    evidence -> not what it vouched for, or not its product?     the concentrator
    points of pairs -> ends that differ -> that pair's key       the household that lied
    bisection of what is left                                    the household that encrypted or
                                                                 opened what was not certified

With a split key the trustee helps to bisect, on sight of what all contributors have signed for
that; where it does not, nobody is named. Nothing that is opened on the way tells of one household
(`protocols.aggregation.culprits`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from protocols.aggregation import (
    CONCENTRATOR,
    Accused,
    Batch,
    Contribution,
    Culprit,
    Decryptor,
    HolderRefused,
    Investigation,
    MalformedMessage,
    PairKey,
    PairPoints,
    RegionSum,
    Round,
    SumRefused,
)
from utility_server.grid.mdms.decryptor import WithTrustee
from utility_server.grid.rpc import Line


@dataclass(slots=True)
class Inquiry:
    """One batch that did not open."""

    line: Line
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
            case = Investigation(self.announced, self.batch, self.decryptor)
        except SumRefused:
            # Parts that are not signed by whom they should be: who handed them on did not look.
            self.culprits.append(Culprit(CONCENTRATOR, str(refused)))
            return None
        try:
            contributions = self._evidence()
            opened = case.examine_evidence(contributions)
        except Accused as accused:
            self.culprits.append(accused.culprit)
            return None
        except MalformedMessage as error:
            self.culprits.append(Culprit(CONCENTRATOR, f"its evidence: {error}"))
            return None
        if opened is None:
            try:
                self._ask_households(case, contributions)
            except HolderRefused as refused_help:
                self.obstacle = str(refused_help)
        self.culprits += case.found
        return opened

    def _ask_households(self, case: Investigation, contributions: Sequence[Contribution]) -> None:
        points = self._points()
        case.examine_points(points)
        for pair in case.disputes():
            case.settle(pair, self._pair_keys(pair, points))
        self.silent += case.silent
        if case.silent:
            return
        if isinstance(self.decryptor, WithTrustee):
            signed = [points[index] for index in self.batch.contributors.indexes]
            case.bisect(self.decryptor.dispute(self.batch, contributions, signed))
        else:
            case.bisect()

    def _evidence(self) -> list[Contribution]:
        return [
            Contribution.decode(data)
            for name, items in self.line.ask("evidence", self.announced.digest)
            if name == "contribution"
            for data in items
            if isinstance(data, bytes)
        ]

    def _points(self) -> dict[int, PairPoints]:
        places = {member.meter: index for index, member in enumerate(self.announced.members)}
        found = {}
        for name, items in self.line.ask("points", self.announced.digest):
            match name, items:
                case "points", (bytes(meter), bytes(data)) if meter in places:
                    try:
                        found[places[meter]] = PairPoints.decode(data)
                    except MalformedMessage:
                        continue  # counts as silence
        return found

    def _pair_keys(self, pair: tuple[int, int], points: dict[int, PairPoints]) -> list[PairKey]:
        """Return what the ends of a pair show, each on sight of what the other has signed."""
        keys = []
        for one, other in (pair, pair[::-1]):
            meter, theirs = self.announced.members[one].meter, points[other].encode()
            for name, items in self.line.ask("pair", self.announced.digest, meter, theirs):
                match name, items:
                    case "pair", (bytes(), bytes(data)):
                        try:
                            keys.append(PairKey.decode(data))
                        except MalformedMessage:
                            continue
        return keys
