# SPDX-License-Identifier: Apache-2.0
"""The concentrator: asks hubs, multiplies what they encrypt, hands batches to the MDMS.

It holds no reading, and no key but the one that says who it is, with which it signs who has
contributed: all that passes is encrypted, masked and signed by hub or operator. It believes only
rounds that the operator has signed. Contributions are kept until the MDMS ends the round, at the
longest until the round's time is over: they are the evidence should a sum not open. Of a round
whose collecting is broken off nothing is kept. What is wrong with one hub's message is told and
counted, and the round goes on.

    request                    answer
    keys region nonce          keys meter data | absent meter why ...
    keys region nonce "worth"  the same, for a round with prices
    join region nonce kind     the same of some meters; kind is "worth", or "" for no prices
         meter ...
    collect round              absent meter step why | refused meter step why ... | batch data
    points digest              points meter data | absent meter step why ...
    pair digest meter points   pair meter data | absent meter step why
    evidence digest            contribution data ...
    end digest
    status                     status rounds bytes taken refused sent received
"""

import time
from collections import Counter, OrderedDict
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from applets.aggregation.messages import Instruction
from protocols.aggregation.collector import Collector
from protocols.aggregation.errors import AggregationError, ContributionRefused, RoundRefused
from protocols.aggregation.rosters import NamedContributors, NamedRound
from protocols.aggregation.round import Round
from utility_server.grid.concentrator.errors import ConcentratorRefused
from utility_server.grid.concentrator.hubs import AsksHubs, Hub, read_hubs
from utility_server.grid.concentrator.round_commands import (
    APPLET,
    SETTLEMENT_APPLET,
    Question,
    applet_for,
)
from utility_server.grid.rpc import Item, Message

MOST_ROUNDS: Final = 8
MOST_BYTES: Final = 1 << 30
MOST_ROSTERS: Final = 4096
"""Whose digests are remembered, 32 bytes each."""
ATTEMPTS: Final = 3
"""How often a contributor is asked to agree or to open: without it the round is void."""
_SIGNED_SIZE: Final = 1024
"""What a contribution takes at most beside its ciphertexts."""


@dataclass(slots=True)
class HubTraffic:
    """Bytes to and from hubs, and what became of their messages."""

    sent: int = 0
    received: int = 0
    taken: int = 0
    refused: Counter[str] = field(default_factory=Counter)


@dataclass(slots=True)
class _Open:
    """A round that is not over."""

    collector: Collector
    hubs: dict[bytes, Hub]
    size: int
    is_collected: bool = False
    """Whether the batch was handed out; before, nobody else has a say in the round."""

    @property
    def applet(self) -> bytes:
        """The AID of the hubs' applet that it is for."""
        return applet_for(self.collector.round.terms)


@dataclass(slots=True)
class Concentrator:
    """What is asked of a concentrator, and what it answers; several at a time."""

    hubs_file: Path
    operator: bytes
    """The Ed25519 key whose rounds it believes."""
    hubs: AsksHubs
    signing: Ed25519PrivateKey = field(repr=False)
    """What it signs lists of contributors with; rounds name the public key."""
    now: Callable[[], int] = lambda: int(time.time())
    collector: Callable[[Round, bytes], Collector] = Collector
    most_rounds: int = MOST_ROUNDS
    most_bytes: int = MOST_BYTES
    traffic: HubTraffic = field(default_factory=HubTraffic)
    _rounds: dict[bytes, _Open] = field(default_factory=dict)
    _rosters: OrderedDict[bytes, None] = field(default_factory=OrderedDict)
    """Digests of the rosters of late, the newest last."""
    _without_names: set[bytes] = field(default_factory=set)
    """Meters whose hubs have to be told everything in full."""

    async def answer(self, request: Message) -> AsyncGenerator[Message, None]:
        """Yield the answer's messages but for the last; raise `ConcentratorRefused`."""
        self._forget_what_is_over()
        match request:
            case "keys", (str(region), bytes(nonce)):
                answers = self._keys(region, Question(Instruction.TELL_KEYS, (nonce,)))
            case "keys", (str(region), bytes(nonce), "worth"):
                question = Question(Instruction.TELL_KEYS, (nonce,), SETTLEMENT_APPLET)
                answers = self._keys(region, question)
            case "join", (str(region), bytes(nonce), "" | "worth" as kind, *meters):
                applet = SETTLEMENT_APPLET if kind else APPLET
                question = Question(Instruction.TELL_KEYS, (nonce,), applet)
                answers = self._keys(region, question, frozenset(meters))
            case "collect", (bytes(announcement),):
                answers = self._collect(announcement)
            case "points", (bytes(digest),):
                answers = self._points(self._round(digest))
            case "pair", (bytes(digest), bytes(meter), bytes(points)):
                answers = self._pair(self._round(digest), meter, points)
            case "evidence", (bytes(digest),):
                answers = _each(
                    ("contribution", (contribution.encode(),))
                    for contribution in self._round(digest).collector.evidence()
                )
            case "end", (bytes(digest),):
                if digest in self._rounds:
                    self._round(digest)
                    del self._rounds[digest]
                answers = _each(())
            case "status", ():
                answers = _each([self._status()])
            case name, _:
                raise ConcentratorRefused(f"no such request: {name[:40]}")
        async with aclosing(answers):
            async for answer in answers:
                yield answer

    async def _keys(
        self, region: str, question: Question, meters: frozenset[Item] | None = None
    ) -> AsyncGenerator[Message, None]:
        """Ask a region's hubs, all or those of some meters, for keys."""
        hubs = [hub for hub in read_hubs(self.hubs_file) if hub.region == region]
        if not hubs:
            raise ConcentratorRefused(f"no hub of region {region} is listed")
        if meters is not None:
            hubs = [hub for hub in hubs if hub.meter in meters]
        async for answer in self._relay("keys", hubs, question):
            yield answer

    async def _collect(self, announcement: bytes) -> AsyncGenerator[Message, None]:
        opened = self._begin(announcement)
        try:
            async with aclosing(self._collect_from_hubs(announcement, opened)) as answers:
                async for answer in answers:
                    yield answer
            opened.is_collected = True
        finally:
            # Void, or nobody is there any more to take the batch.
            if not opened.is_collected:
                self._rounds.pop(opened.collector.digest, None)

    async def _collect_from_hubs(
        self, announcement: bytes, opened: _Open
    ) -> AsyncGenerator[Message, None]:
        collector = opened.collector
        for member in collector.round.members:
            if member.meter not in opened.hubs:
                yield "absent", (member.meter, "contribute", "not among the hubs listed")
        hubs = list(opened.hubs.values())
        question = Question(
            Instruction.CONTRIBUTE, (announcement,), opened.applet, self._named(collector.round),
            self._without_names,
        )  # fmt: skip
        async for answer in self._step(hubs, question, collector.contribute):
            yield answer
        try:
            contributors = collector.close()
        except RoundRefused as error:
            raise ConcentratorRefused(str(error), "void") from None
        listed = contributors.encode()
        question = Question(Instruction.AGREE, (listed,), opened.applet)
        async for answer in self._all(opened, question, collector.agree):
            yield answer
        signatures = b"".join(collector.agreements)
        # They have agreed to the list just now.
        named = NamedContributors(collector.digest, contributors.digest).encode()
        question = Question(
            Instruction.OPEN, (listed, signatures), opened.applet, (named, signatures),
            self._without_names,
        )  # fmt: skip
        async for answer in self._all(opened, question, collector.open):
            yield answer
        yield "batch", (collector.batch().encode(),)

    def _named(self, announced: Round) -> tuple[bytes, ...]:
        """Return the round as it is told hubs that had its roster before; empty: none had it.

        The first round with a roster goes out whole at once. Others may have to be sent twice to a
        hub that was not there then.
        """
        named = NamedRound.of(announced)
        is_known = named.roster in self._rosters
        if not is_known:
            self._without_names.clear()  # they may have been upgraded meanwhile
        self._rosters[named.roster] = None
        self._rosters.move_to_end(named.roster)
        while len(self._rosters) > MOST_ROSTERS:
            self._rosters.popitem(last=False)
        return (named.encode(),) if is_known else ()

    async def _all(
        self, opened: _Open, question: Question, take: Callable[[bytes], bytes]
    ) -> AsyncGenerator[Message, None]:
        """Ask every contributor, some again; raise `ConcentratorRefused` if one stays silent.

        A hub answers the same question with the same bytes, so asking again costs nothing.
        """
        waited = opened.collector.phase
        for _ in range(ATTEMPTS):
            hubs = [opened.hubs[meter] for meter in opened.collector.awaited]
            async for answer in self._step(hubs, question, take):
                yield answer
            if opened.collector.phase is not waited:
                return
        names = ", ".join(meter.hex() for meter in opened.collector.awaited[:8])
        reason = f"the round is void: no answer to {question.name!r} from {names}"
        raise ConcentratorRefused(reason, "void")

    async def _step(
        self, hubs: Sequence[Hub], question: Question, take: Callable[[bytes], bytes]
    ) -> AsyncGenerator[Message, None]:
        """Ask hubs, take what is right, and yield a line for each that is not."""
        async for hub, data in self._ask(hubs, question):
            if not isinstance(data, bytes):
                yield data
                continue
            try:
                take(data)
                self.traffic.taken += 1
            except ContributionRefused as refused:
                self.traffic.refused[refused.fault.value] += 1
                yield "refused", (hub.meter, question.name, str(refused))

    async def _points(self, opened: _Open) -> AsyncGenerator[Message, None]:
        listed = opened.collector.close().encode()
        question = Question(Instruction.SHOW_POINTS, (listed,), opened.applet)
        async for answer in self._relay("points", self._contributors(opened), question):
            yield answer

    async def _pair(
        self, opened: _Open, meter: bytes, points: bytes
    ) -> AsyncGenerator[Message, None]:
        if meter not in opened.hubs:
            raise ConcentratorRefused(f"meter {meter.hex()} is not of the round")
        listed = opened.collector.close().encode()
        question = Question(Instruction.SHOW_KEY, (listed, points), opened.applet)
        async for answer in self._relay("pair", [opened.hubs[meter]], question):
            yield answer

    async def _relay(
        self, name: str, hubs: Sequence[Hub], question: Question
    ) -> AsyncGenerator[Message, None]:
        """Ask hubs and hand their answers on under a name."""
        async for hub, data in self._ask(hubs, question):
            yield (name, (hub.meter, data)) if isinstance(data, bytes) else data

    async def _ask(
        self, hubs: Sequence[Hub], question: Question
    ) -> AsyncIterator[tuple[Hub, bytes | Message]]:
        """Yield each hub's answer, or the line that says why there is none."""
        async for answer in self.hubs.ask(hubs, question):
            self.traffic.sent += answer.sent
            self.traffic.received += answer.received
            if isinstance(answer.data, bytes):
                yield answer.hub, answer.data
            else:
                absent = (answer.hub.meter, question.name, str(answer.data))
                yield answer.hub, ("absent", absent)

    def _begin(self, announcement: bytes) -> _Open:
        """Return the round of an announcement, newly opened; raise `ConcentratorRefused`."""
        try:
            announced = Round.decode(announcement)
        except AggregationError as error:
            raise ConcentratorRefused(f"the announcement: {error}") from None
        if not announced.is_by(self.operator):
            raise ConcentratorRefused("the round is not signed by this concentrator's operator")
        if announced.collector != self.signing.public_key().public_bytes_raw():
            raise ConcentratorRefused("the round is to be collected by another concentrator")
        if announced.valid_until <= self.now():
            raise ConcentratorRefused("the round's time is over")
        if announced.digest in self._rounds:
            raise ConcentratorRefused("the round is being collected already")
        terms = announced.terms
        ciphertexts = terms.layout.plaintext_count(terms.value_count()) * terms.key.ciphertext_size
        size = len(announced.members) * (ciphertexts + _SIGNED_SIZE) + len(announcement)
        held = sum(opened.size for opened in self._rounds.values())
        if len(self._rounds) >= self.most_rounds or held + size > self.most_bytes:
            raise ConcentratorRefused(f"{len(self._rounds)} rounds are open: no room for another")
        listed = {hub.meter: hub for hub in read_hubs(self.hubs_file)}
        members = (member.meter for member in announced.members)
        hubs = {meter: listed[meter] for meter in members if meter in listed}
        seed = self.signing.private_bytes_raw()
        opened = _Open(self.collector(announced, seed), hubs, size)
        self._rounds[announced.digest] = opened
        return opened

    def _round(self, digest: bytes) -> _Open:
        if digest not in self._rounds:
            raise ConcentratorRefused("there is no such round, or it is over")
        if not self._rounds[digest].is_collected:
            raise ConcentratorRefused("the round is being collected")
        return self._rounds[digest]

    def _contributors(self, opened: _Open) -> list[Hub]:
        members = opened.collector.round.members
        indexes = opened.collector.close().indexes
        return [opened.hubs[members[index].meter] for index in indexes]

    def _forget_what_is_over(self) -> None:
        now = self.now()
        for digest, opened in list(self._rounds.items()):
            if opened.collector.round.valid_until <= now:
                del self._rounds[digest]

    def _status(self) -> Message:
        held = sum(opened.size for opened in self._rounds.values())
        refused = sum(self.traffic.refused.values())
        traffic = self.traffic
        counts: tuple[Item, ...] = (traffic.taken, refused, traffic.sent, traffic.received)
        return "status", (len(self._rounds), held, *counts)


async def _each(messages: Iterable[Message]) -> AsyncGenerator[Message, None]:
    for message in messages:
        yield message
