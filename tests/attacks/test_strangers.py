# SPDX-License-Identifier: Apache-2.0
"""Whoever has no key locks out nobody, uses up and fills nothing, and learns nothing."""

import asyncio
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from time import monotonic, process_time

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from applets.aggregation.messages import CLA, Instruction, StepRequest, called_for
from hub import callers, link
from hub.applet_host.runtime import UNKEYED_A_DAY
from hub.callers import Callers
from hub.card.connection import CardConnection
from hub.card.keys.challenges import MOST_ANSWERED, MOST_REPEATED
from hub.card.line import Line
from hub.card.open import Card
from hub.card.registry import CARD
from hub.disclosure import LOG_COMPONENT, STRANGERS_COMPONENT, Disclosure
from hub.disclosure.strangers import KEPT_DAYS, MOST_SOURCES, StrangerCounts, StrangerRecord
from hub.machine.machine import AppletMachine
from hub.network_source import source_of
from hub.vault.database import Database
from protocols.iso7816.apdu import CommandApdu, ResponseApdu
from protocols.iso7816.apdu_stream import ApduFrameDecoder, encode_frame
from protocols.secure_channel.errors import CardRefused, RemoteChannelError
from protocols.secure_channel.host import CardClient
from protocols.secure_channel.keys import StaticKeys
from protocols.secure_channel.scp03 import Scp03
from protocols.secure_channel.session import Role
from tests.support.card import (
    APPLET,
    APPLET_KEYS,
    DOMAIN,
    ISSUER,
    KEYS,
    PACKAGE,
    Dice,
    Echo,
    add_applet,
    add_domain,
    add_instance,
    open_card,
    runtime_of,
)
from tests.support.card_host import Manager
from tests.support.hubs import call_of, make_hub, package
from tests.support.port import is_dropped, meet, serve

NOBODY = bytes.fromhex("F0534D48010177")
KEYLESS = bytes.fromhex("F0534D480088")
OTHER = bytes.fromhex("F0534D48010102")
WRONG = StaticKeys.same(bytes(range(0x70, 0x80)))
GUESS = CommandApdu(0x84, 0x82, 0x33, 0, bytes(16))
ECHO = CommandApdu(0x80, 0x10, 0, 0, b"message", le=256)
TAGS = (0x42, 0x66, 0xC1, 0xC2, 0xCF, 0xE0, 0x2F00, 0x9F7F, 0xFF21, 0xBF21)


@pytest.fixture
def card(tmp_path: Path) -> Iterator[Card]:
    card = open_card(tmp_path)
    add_applet(card)
    add_domain(card, KEYLESS)
    yield card
    card.database.close()


def challenge(version: int = 1) -> CommandApdu:
    return CommandApdu(0x80, 0x50, version, 0, os.urandom(8), le=256)


def ask(connection: CardConnection, command: CommandApdu) -> ResponseApdu:
    return ResponseApdu.decode(connection.transmit(command.encode()))


def selecting(aid: bytes) -> CommandApdu:
    return CommandApdu(0, 0xA4, 4, 0, aid, le=256)


def counters(card: Card) -> list[tuple[int, int]]:
    return card.database.connection.execute(
        "SELECT sequence, failures FROM card_key_set ORDER BY domain, version, base"
    ).fetchall()


def recipient(card: Card, line: Line = Line.PORT, aid: bytes = APPLET) -> CardClient:
    client = CardClient(card.connect(line).transmit)
    client.select(aid)
    client.open_scp03(APPLET_KEYS, os.urandom(8), key_version=1)
    return client


# Locking out and using up


def test_wrong_authentications_on_a_port_lock_out_nobody(card: Card) -> None:
    """64 of them blocked a key set for good, the resident's own too."""
    before = counters(card)
    for aid in (APPLET, DOMAIN, ISSUER, KEYLESS, NOBODY):
        connection = card.connect(Line.PORT)
        ask(connection, selecting(aid))
        for _ in range(100):
            assert ask(connection, challenge()).is_success
            assert ask(connection, GUESS).sw == 0x6300
        assert connection.wrong == 100
    assert counters(card) == before  # neither failures nor counters, and no write at all
    assert recipient(card).call("echo", ECHO) == b"message"
    Manager(card)


def test_what_blocks_at_the_reader_blocks_there_and_the_resident_unblocks_it(card: Card) -> None:
    for _ in range(64):
        connection = card.connect()
        assert ask(connection, challenge(0)).is_success
        assert ask(connection, GUESS).sw == 0x6300
        connection = card.connect()
        ask(connection, selecting(APPLET))
        ask(connection, challenge())
        ask(connection, GUESS)
    assert ask(card.connect(), challenge(0)).sw == 0x6983
    assert recipient(card).call("echo", ECHO) == b"message"
    own = CardClient(card.connect(Line.HOME).transmit)
    own.select(ISSUER)
    own.open_scp03(KEYS, os.urandom(8))
    assert card.unblock(card.database) == (2, False)
    Manager(card)
    recipient(card, Line.READER)
    assert card.unblock(card.database) == (0, False)


def test_tries_of_the_pin_are_used_up_in_the_house_alone(card: Card) -> None:
    manager = Manager(card)
    assert manager.sw("80240100", b"1234") == "9000"
    verify = CommandApdu(0, 0x20, 0, 0, b"0000")
    for line in (Line.PORT, Line.DIALLED):
        client = recipient(card, line, DOMAIN)
        assert [client.send(verify).sw for _ in range(5)] == [0x6982] * 5
    for _ in range(3):
        ask(card.connect(), verify)
    assert ask(card.connect(), verify).sw == 0x6983
    assert card.unblock(card.database) == (0, True)
    assert ask(card.connect(), CommandApdu(0, 0x20, 0, 0, b"1234")).is_success


@pytest.mark.parametrize("line", [Line.READER, Line.DIALLED])
def test_strangers_challenges_use_up_no_counters(card: Card, line: Line) -> None:
    ((first, _), *_) = sorted(counters(card), reverse=True)
    connection = card.connect(line)
    for _ in range(2 * MOST_ANSWERED):
        assert ask(connection, challenge(0)).is_success
    ((last, _), *_) = sorted(counters(card), reverse=True)
    assert last - first == 2
    same = challenge(0)
    answers = [ask(connection, same).sw for _ in range(2 * MOST_REPEATED)]
    assert answers.count(0x9000) == MOST_REPEATED + 1
    assert answers[-1] == 0x6985
    assert ask(connection, challenge(0)).is_success  # any other challenge is answered
    Manager(card)


def test_no_challenge_is_answered_twice_with_one_counter(card: Card) -> None:
    seen: set[tuple[bytes, bytes]] = set()
    connection = card.connect()
    for number in range(500):
        host = bytes([number % 7] * 8)
        answer = ask(connection, CommandApdu(0x80, 0x50, 0, 0, host, le=256))
        if answer.is_success:
            assert (host, answer.data[-3:]) not in seen
            seen.add((host, answer.data[-3:]))
    assert len(seen) > MOST_REPEATED


@pytest.mark.parametrize("line", [Line.READER, Line.DIALLED, Line.PORT])
def test_an_authentication_that_somebody_kept_back_is_good_no_more(card: Card, line: Line) -> None:
    first = card.connect(line)
    ask(first, selecting(APPLET))
    host = Scp03(Role.HOST, APPLET_KEYS, b"8 bytes.")
    begin = host.initialize_update(1)
    host.receive_challenge(ask(first, begin))
    kept = host.external_authenticate()
    later = card.connect(line)
    ask(later, selecting(APPLET))
    assert ask(later, begin).is_success
    assert ask(later, kept).sw == 0x6300


def test_two_processes_never_take_the_same_counter(card: Card, tmp_path: Path) -> None:
    with Database(tmp_path / "hub.db", [CARD]) as database:
        other = Card(database, storage_key=bytes(32), random=Dice(), runtime=Echo())
        told = [ask(each.connect(), challenge(0)).data[-3:] for each in (card, other, card, other)]
    assert len(set(told)) == 4


# Learning


def transcript(card: Card, aid: bytes) -> list[str]:
    """Return all that a stranger is told who names `aid`, without what is random."""
    told = []
    commands = [
        CommandApdu(0x80, 0xCA, tag >> 8, tag & 0xFF, b"\x5c\x00" if tag == 0x2F00 else b"", le=256)
        for tag in TAGS
    ]
    commands += [
        CommandApdu(0x80, 0xF2, scope, 2, b"\x4f\x00", le=256) for scope in (0x80, 0x40, 0x20)
    ]
    commands += [
        ECHO,
        CommandApdu(0x90, 0x10, 0, 0, bytes(200)),
        CommandApdu(0x84, 0x10, 0, 0, bytes(24)),
        CommandApdu(0, 0x70, 0, 0, le=1),
        CommandApdu(0, 0x20, 0, 0),
        CommandApdu(0, 0xA4, 0, 4, b"\x3f\x00", le=256),
        CommandApdu(0, 0xA4, 4, 2, aid, le=256),
        CommandApdu(0, 0xA4, 4, 0, aid[:5], le=256),
        CommandApdu(0x80, 0x2A, 1, 0x10, bytes(300)),
        CommandApdu(0x80, 0x88, 1, 0x13, bytes(80), le=256),
        CommandApdu(0x80, 0x82, 1, 0x11, bytes(80), le=256),
        CommandApdu(0x80, 0xEE, 0, 0),
        CommandApdu(0, 0xC0, 0, 0, le=256),
    ]
    for command in commands:
        connection = card.connect(Line.PORT)
        told.append(connection.transmit(command.encode()).hex())
        told.append(connection.transmit(selecting(aid).encode()).hex())
        told.append(connection.transmit(command.encode()).hex())
    for version in (0, 1, 2, 0x30):
        connection = card.connect(Line.PORT)
        connection.transmit(selecting(aid).encode())
        answer = ask(connection, challenge(version))
        told.append(f"{answer.data[:13].hex()} {len(answer.data)} {answer.sw:04X}")
        told += [connection.transmit(GUESS.encode()).hex() for _ in range(2)]
        ask(connection, challenge(version))
        told += [connection.transmit(each.encode()).hex() for each in (ECHO, GUESS)]
    return told


def test_a_stranger_on_a_port_is_told_the_same_whatever_there_is(card: Card) -> None:
    """They were told which applets there are, and how often their recipients come."""
    locked = bytes.fromhex("F0534D48010103")
    add_instance(card, locked)
    assert Manager(card).sw("80F04080", locked) == "9000"
    recipient(card)
    nobody = transcript(card, NOBODY)
    calls = list(runtime_of(card).calls)
    for aid in (APPLET, DOMAIN, ISSUER, KEYLESS, PACKAGE, locked):
        assert transcript(card, aid) == nobody, aid.hex()
    # No applet has worked for a stranger, so none of its allowance is used up.
    assert [call for call in runtime_of(card).calls if call not in calls] == []


def test_the_issuers_domain_is_on_no_port_even_for_whoever_has_its_keys(card: Card) -> None:
    for aid in (ISSUER, KEYLESS):  # a domain without keys has its parent's
        for version in (1, 0x30):
            client = CardClient(card.connect(Line.PORT).transmit)
            client.select(aid)
            with pytest.raises(RemoteChannelError):
                client.open_scp03(KEYS, os.urandom(8), key_version=version)
    for line in (Line.HOME, Line.READER, Line.DIALLED):
        client = CardClient(card.connect(line).transmit)
        client.select(ISSUER)
        client.open_scp03(KEYS, os.urandom(8))


def test_at_the_reader_real_clients_get_the_answers_they_expect(card: Card) -> None:
    connection = card.connect()
    for tag in (0xE0, 0xC1, 0x2F00, 0xFF21, 0x66, 0x9F7F):
        assert ask(connection, CommandApdu(0x80, 0xCA, tag >> 8, tag & 0xFF, le=256)).is_success


def test_a_recipient_on_a_port_does_not_see_the_applets_of_others(card: Card) -> None:
    add_instance(card, OTHER)
    assert Manager(card).sw("80E61000", bytes.fromhex("08") + ISSUER + b"\0\x07" + OTHER + bytes(3))
    client = recipient(card, aid=DOMAIN)
    listed = client.call("list", CommandApdu(0x80, 0xCA, 0x2F, 0, b"\x5c\x00", le=256))
    assert APPLET in listed
    assert ISSUER not in listed
    for tag in (0xC2, 0xFF21):
        with pytest.raises(CardRefused, match="6A88"):
            client.call("card", CommandApdu(0x80, 0xCA, tag >> 8, tag & 0xFF, le=256))


def test_an_applet_that_is_locked_says_so_to_its_recipient_alone(card: Card) -> None:
    assert Manager(card).sw("80F04080", APPLET) == "9000"
    with pytest.raises(CardRefused, match="6A82"):
        recipient(card).call("echo", ECHO)


def test_an_applet_that_answers_without_a_channel_is_not_seen_and_fills_no_log(
    tmp_path: Path, machine: AppletMachine
) -> None:
    """Sums are relayed by concentrators, which have no key; so anybody may send such a command."""
    made = make_hub(tmp_path / "hub", 1, machine, package())
    applet, log = made.enrolment.applet, made.device.disclosure.log
    try:
        first = log.length()
        nobody = transcript(made.card, NOBODY)
        assert transcript(made.card, applet) == nobody
        connection = made.card.connect(Line.PORT)
        ask(connection, selecting(applet))

        def tell_keys(call: bytes) -> ResponseApdu:
            request = StepRequest(made.meter, bytes(16), Instruction.TELL_KEYS, (call,))
            command = CommandApdu(CLA, Instruction.TELL_KEYS, 0, 0, request.encode(), le=65_536)
            return ask(connection, command)

        forged = bytes(32) + Ed25519PrivateKey.generate().sign(called_for(bytes(32)))
        for call in (forged, bytes(96), bytes(32), call_of(bytes(32))[:-1], call_of(bytes(32))[1:]):
            assert tell_keys(call).encode().hex() == "6982"
        assert connection.wrong == 5
        assert log.length() == first
        kept = call_of(bytes(32))  # whoever has seen one gets what its operator got, again
        assert all(tell_keys(kept).is_success for _ in range(300))
        assert len(list(log.entries("message"))) == UNKEYED_A_DAY + 2  # the 128th and the 256th
        made.take(Instruction.TELL_KEYS, kept)  # over a channel each is
        assert len(list(log.entries("message"))) == UNKEYED_A_DAY + 3
    finally:
        made.device.close()


# Over TCP


class Caller:
    """Somebody at the other end of a TCP connection, from a loopback address of its own."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer, self.frames = reader, writer, ApduFrameDecoder()

    @classmethod
    async def call(cls, port: int, source: str = "127.0.0.1") -> "Caller":
        return cls(*await meet(port, source))

    async def ask(self, command: CommandApdu) -> ResponseApdu:
        self.writer.write(encode_frame(command.encode()))
        while True:
            chunk = await self.reader.read(65_536)
            if not chunk:
                raise ConnectionResetError
            for answer in self.frames.feed(chunk):
                return ResponseApdu.decode(answer)

    async def authenticate(self) -> None:
        await self.ask(selecting(APPLET))
        host = Scp03(Role.HOST, APPLET_KEYS, os.urandom(8))
        host.receive_challenge(await self.ask(host.initialize_update(1)))
        host.confirm(await self.ask(host.external_authenticate()))
        answer = await self.ask(host.wrap_command(ECHO))
        assert host.unwrap_response(answer).data == b"message"

    async def is_gone(self) -> bool:
        return await is_dropped(self.reader)


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[tuple[Card, Disclosure]]:
    components = [CARD, LOG_COMPONENT, STRANGERS_COMPONENT]
    with Database(tmp_path / "hub.db", components, key=bytes(32)) as database:
        made = Card.create(
            database, storage_key=bytes(32), random=os.urandom, runtime=Echo(), keys=KEYS
        )
        add_applet(made)
        yield made, Disclosure(database, lambda: 1_800_000_000)


def test_guessing_on_a_port_is_slow_and_keeps_no_recipient_waiting(
    hub: tuple[Card, Disclosure],
) -> None:
    seconds = 3.0
    guesses = 0

    async def guess(port: int, until: float) -> None:
        nonlocal guesses
        with suppress(ConnectionError, TimeoutError):
            async with asyncio.timeout(until - monotonic()):
                caller = await Caller.call(port)
                await caller.ask(selecting(APPLET))
                while True:
                    await caller.ask(challenge())
                    assert (await caller.ask(GUESS)).sw == 0x6300
                    guesses += 1

    async def seconds_to_authenticate(port: int) -> float:
        start = monotonic()
        await (await Caller.call(port)).authenticate()
        return monotonic() - start

    async def talk(port: int) -> None:
        until = monotonic() + seconds
        calm = await seconds_to_authenticate(port)  # on a computer as busy as it is
        guessing = [asyncio.create_task(guess(port, until)) for _ in range(3)]
        await asyncio.sleep(seconds / 2)
        for _ in range(5):  # from the same source as who guesses
            assert await seconds_to_authenticate(port) < 1 + 10 * calm
        await asyncio.gather(*guessing)

    serve(*hub, talk)
    assert 0 < guesses <= 12  # where 64 took 3.3 s
    assert hub[1].strangers.total().wrong >= guesses


def test_connections_of_strangers_are_counted_and_not_logged(hub: tuple[Card, Disclosure]) -> None:
    """Each left an entry, for ever."""
    card, disclosure = hub

    async def talk(port: int) -> None:
        for number in range(200):
            caller = await Caller.call(port, f"127.0.1.{number % 50 + 1}")
            assert (await caller.ask(CommandApdu(0x80, 0xCA, 0, 0x66))).sw == 0x6982
            caller.writer.close()
        assert disclosure.log.length() == 0
        await (await Caller.call(port)).authenticate()

    serve(card, disclosure, talk)
    assert [entry.facts["peer"] for entry in disclosure.log.entries()] == ["127.0.0.1"]
    total = disclosure.strangers.total()
    assert (total.connections, total.wrong) == (200, 0)
    assert total.sent == 200 * 6
    assert disclosure.strangers.known_sources() == ["127.0.0.1"]


def test_a_crowd_of_strangers_keeps_nobody_out(hub: tuple[Card, Disclosure]) -> None:
    card, disclosure = hub
    disclosure.strangers.remember_source("127.0.0.9")

    async def talk(port: int) -> None:
        crowd = [
            await Caller.call(port, f"127.0.2.{number % 80 + 1}")
            for number in range(3 * link.MOST_STRANGERS)
        ]
        for caller in crowd[-link.MOST_STRANGERS :]:
            await caller.ask(selecting(APPLET))
        for caller in crowd[: link.MOST_STRANGERS]:
            assert await caller.is_gone()
        inside = await Caller.call(port, "127.0.0.9")
        await inside.authenticate()
        for number in range(4):  # from where no recipient came before
            await (await Caller.call(port, f"127.0.3.{number + 1}")).authenticate()
        more = [
            await Caller.call(port, f"127.0.4.{number + 1}")
            for number in range(2 * link.MOST_STRANGERS)
        ]
        await more[-1].ask(selecting(APPLET))
        assert (await inside.ask(selecting(APPLET))).is_success  # no stranger took its place

    serve(card, disclosure, talk)


def test_one_source_crowds_out_itself_alone(hub: tuple[Card, Disclosure]) -> None:
    async def talk(port: int) -> None:
        early = await Caller.call(port, "127.0.0.5")
        await early.ask(selecting(APPLET))
        flood = [await Caller.call(port, "127.0.0.6") for _ in range(2 * link.MOST_STRANGERS)]
        await flood[-1].ask(selecting(APPLET))
        await early.authenticate()
        await (await Caller.call(port, "127.0.0.6")).authenticate()  # it gets in even from there
        for caller in flood[: link.MOST_STRANGERS]:
            assert await caller.is_gone()

    serve(*hub, talk)


def test_a_recipient_gets_in_next_to_a_flood_from_its_own_source(
    hub: tuple[Card, Disclosure],
) -> None:
    is_over = False

    async def flood(port: int) -> None:
        while not is_over:
            with suppress(ConnectionError):
                caller = await Caller.call(port)
                await caller.ask(selecting(APPLET))
                await caller.ask(challenge())
                caller.writer.write(encode_frame(GUESS.encode()))
                caller.writer.close()  # waits for no answer

    async def talk(port: int) -> None:
        nonlocal is_over
        flooding = [asyncio.create_task(flood(port)) for _ in range(8)]
        await asyncio.sleep(0.5)
        for _ in range(20):
            recipient = await Caller.call(port)
            await recipient.authenticate()
            recipient.writer.close()
        is_over = True
        await asyncio.gather(*flooding)

    serve(*hub, talk)
    assert hub[1].strangers.total().wrong > 50


def test_a_stranger_that_says_nothing_or_goes_on_for_ever_is_dropped(
    hub: tuple[Card, Disclosure], monkeypatch: pytest.MonkeyPatch
) -> None:
    as_shipped = link.STRANGER_LIFE_SECONDS
    monkeypatch.setattr(link, "STRANGER_SECONDS", 1)
    monkeypatch.setattr(link, "STRANGER_LIFE_SECONDS", 2)

    async def talk(port: int) -> None:
        silent, busy, endless = [await Caller.call(port, f"127.0.0.{n}") for n in (2, 3, 4)]
        start = monotonic()
        assert await silent.is_gone()
        with pytest.raises(ConnectionError):
            while True:
                await busy.ask(selecting(APPLET))
                await asyncio.sleep(0.4)
        assert monotonic() - start < as_shipped / 2
        with pytest.raises(ConnectionError):
            for _ in range(link.MOST_COMMANDS + 1):
                await endless.ask(selecting(APPLET))

    serve(*hub, talk)


def test_strangers_hold_no_more_memory_than_they_are_given(
    hub: tuple[Card, Disclosure], monkeypatch: pytest.MonkeyPatch
) -> None:
    card, disclosure = hub
    monkeypatch.setattr(link, "MOST_HELD", 170_000)
    monkeypatch.setattr(link, "MOST_HELD_OF_ONE", 150_000)
    monkeypatch.setattr(Echo, "protects_itself", lambda *_: True)
    chained = CommandApdu(0x90, 0x10, 0, 0, bytes(60_000))

    async def talk(port: int) -> None:
        first, second = await Caller.call(port, "127.0.0.2"), await Caller.call(port, "127.0.0.3")
        for caller in (first, second):
            await caller.ask(selecting(APPLET))
        assert (await first.ask(chained)).is_success
        assert (await second.ask(chained)).is_success
        with pytest.raises(ConnectionError):  # 180,000 in all: the largest gives way
            await second.ask(chained)
        assert (await first.ask(ECHO)).sw == 0x6100
        alone = await Caller.call(port, "127.0.0.4")
        await alone.ask(selecting(APPLET))
        with pytest.raises(ConnectionError):
            for _ in range(3):
                await alone.ask(chained)

    serve(card, disclosure, talk)


def test_a_chain_of_tiny_links_costs_no_more_than_its_bytes(card: Card) -> None:
    connection = card.connect(Line.PORT)
    link_of_one = CommandApdu(0x90, 0x10, 0, 0, b"x").encode()
    start = process_time()
    for _ in range(1000):
        connection.transmit(link_of_one)
    first = process_time() - start
    for _ in range(30_000):
        connection.transmit(link_of_one)
    assert connection.held == 31_000
    start = process_time()
    for _ in range(1000):
        connection.transmit(link_of_one)
    assert process_time() - start < 5 * first  # where each link looked at all before: 40 times


# What is remembered


def test_who_was_wrong_cannot_be_pushed_out_of_memory() -> None:
    known = Callers([])
    for _ in range(5):
        delay = known.went_wrong("guesser", 1000)
    assert delay == 8
    for number in range(3 * callers.MOST_SOURCES):
        known.went_wrong(f"other {number}", 1001)
    assert known.went_wrong("guesser", 1002) == 16
    assert len(known._mistakes) == callers.MOST_SOURCES
    # All further ones are counted together, until what is remembered of others is over.
    assert known.went_wrong("new", 1003) == callers.LONGEST_DELAY
    later = 1003 + callers.FORGET_SECONDS
    assert known.went_wrong("new", later) == callers.FIRST_DELAY


@pytest.mark.parametrize(
    ("address", "source"),
    [
        ("192.168.1.2", "192.168.1.2"),
        ("::ffff:192.168.1.2", "192.168.1.2"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::/64"),
        ("not an address" * 10, ("not an address" * 10)[:64]),
    ],
)
def test_whoever_has_many_addresses_is_one_source(address: str, source: str) -> None:
    assert source_of(address) == source


def test_counts_and_sources_stay_few_however_long_it_goes_on(tmp_path: Path) -> None:
    with Database(tmp_path / "hub.db", [STRANGERS_COMPONENT], key=bytes(32)) as database:
        now = 0
        record = StrangerRecord(database, lambda: now)
        for day in range(KEPT_DAYS + 50):
            now = day * 86_400
            record.add(StrangerCounts(1, 2, 3, 4, 5))
            record.add(StrangerCounts(connections=1))
            record.remember_source(f"source {day}")
        assert record.total() == StrangerCounts(
            2 * KEPT_DAYS, 2 * KEPT_DAYS, 3 * KEPT_DAYS, 4 * KEPT_DAYS, 5 * KEPT_DAYS
        )
        assert len(record.known_sources()) == MOST_SOURCES
        assert record.known_sources()[-1] == f"source {KEPT_DAYS + 49}"
