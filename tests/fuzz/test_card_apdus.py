# SPDX-License-Identifier: Apache-2.0
"""Raw APDUs, made up or nearly right: only status words come out, and the card stays sound.

`METERLET_FUZZ=100000 pytest tests/fuzz/test_card_apdus.py` tries as many sequences.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hub.card.entries import CardState
from hub.card.line import Line
from hub.card.open import Card
from hub.card.profile import YUBIKEY
from protocols.iso7816.apdu import CommandApdu
from protocols.iso7816.errors import WireError
from protocols.iso7816.tlv import encode_lv
from tests.support.card import APPLET, DOMAIN, ISSUER, MODULE, PACKAGE, add_applet, open_card
from tests.support.card_host import DOMAIN_MODULE, DOMAIN_PACKAGE, Manager, load_block
from tests.support.soak import IS_SOAKING

AIDS = [ISSUER, DOMAIN, APPLET, PACKAGE, MODULE, DOMAIN_PACKAGE, DOMAIN_MODULE, b"12345", b""]
INSTRUCTIONS = [0xA4, 0x70, 0xC0, 0x50, 0x82, 0x88, 0x2A, 0xCA, 0xCB, 0xF2, 0xF0, 0xE6, 0xE8, 0xE4,
                0xD8, 0xF1, 0xE2, 0x10, 0x01]  # fmt: skip
TRIALS = int(os.environ.get("METERLET_FUZZ", "10000" if IS_SOAKING else "120"))

aids = st.sampled_from(AIDS)
fields = st.lists(aids | st.binary(max_size=8), max_size=7).map(lambda items: encode_lv(*items))
tlvs = st.builds(
    lambda tag, value: tag + encode_lv(value),
    st.sampled_from([b"\x4f", b"\xc4", b"\xe2", b"\xd0", b"\xd2", b"\xa6", b"\x42", b"\xcf",
                     b"\xef", b"\xc9", b"\x88", b"\xb0", b"\xb1", b"\xa1", b"\xf0", b"\x5c"]),
    aids | st.binary(max_size=20),
)  # fmt: skip
payloads = (
    st.binary(max_size=40)
    | fields
    | st.lists(tlvs, max_size=4).map(b"".join)
    | aids
    | st.just(load_block())
    | st.just(b"\xc4\x82" + len(load_block()).to_bytes(2, "big") + load_block())
)
commands = st.builds(
    CommandApdu,
    st.sampled_from([0x00, 0x80, 0x84, 0x04, 0x01, 0x81, 0x90, 0x10, 0xC0, 0x40, 0x8C]),
    st.sampled_from(INSTRUCTIONS) | st.integers(0, 255),
    st.sampled_from([0, 1, 2, 4, 8, 0x0C, 0x0E, 0x10, 0x20, 0x33, 0x40, 0x80, 0x90, 0xFF])
    | st.integers(0, 255),
    st.sampled_from([0, 1, 2, 3, 0x10, 0x11, 0x13, 0x15, 0x80, 0x81]) | st.integers(0, 255),
    payloads,
    st.none() | st.sampled_from([1, 16, 256, 65536]),
    st.booleans(),
)


@pytest.fixture(params=["default", "yubikey"])
def card(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Card]:
    card = open_card(tmp_path, profile=YUBIKEY if request.param == "yubikey" else None)
    # What lasts is not under test here: let the disk be.
    card.database.connection.execute("PRAGMA synchronous = OFF")
    add_applet(card)
    yield card
    card.database.close()


def check_sound(card: Card) -> None:
    """The registry keeps its own rules, whatever it was told."""
    entries = {entry.aid: entry for entry in card.entries()}
    assert sum(entry.domain == entry.aid and entry.is_domain for entry in entries.values()) >= 1
    issuer = card.registry.issuer()
    CardState(issuer.life_cycle)
    for entry in entries.values():
        assert entry.domain in entries
        assert entries[entry.domain].is_domain
        assert not entry.package or entry.package in entries
        assert card.registry.ancestry(entry)
    assert card.database.connection.execute("PRAGMA foreign_key_check").fetchall() == []
    assert card.keys.describe(issuer.aid)


fuzzing = settings(
    max_examples=TRIALS,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@fuzzing
@given(st.lists(commands.map(CommandApdu.encode) | st.binary(max_size=60), max_size=12))
def test_strangers_get_status_words_and_change_nothing_but_counters(
    card: Card, raws: list[bytes]
) -> None:
    before = card.entries()
    connection = card.connect()
    for raw in raws:
        answer = connection.transmit(raw)
        assert len(answer) >= 2
        assert answer[-2] >> 4 in {6, 9}
    connection.close()
    assert card.entries() == before


@fuzzing
@given(
    st.sampled_from(AIDS),
    st.lists(commands.map(CommandApdu.encode) | st.binary(max_size=60), max_size=12),
)
def test_strangers_on_a_port_write_nothing_and_cannot_tell_names_apart(
    card: Card, aid: bytes, raws: list[bytes]
) -> None:
    writes = card.database.connection.total_changes

    def told(name: bytes) -> list[bytes]:
        connection = card.connect(Line.PORT)
        connection.transmit(CommandApdu(0, 0xA4, 4, 0, name).encode())
        answers = [connection.transmit(raw) for raw in raws]
        connection.close()
        # What is random has the length of a challenge's answer.
        return [answer[:13] + answer[-2:] if len(answer) > 30 else answer for answer in answers]

    if 5 <= len(aid) <= 16:
        assert told(aid) == told(b"no such applet")
    assert card.database.connection.total_changes == writes


@fuzzing
@given(st.lists(commands, max_size=12))
def test_the_issuer_gets_status_words_and_the_card_stays_sound(
    card: Card, wanted: list[CommandApdu]
) -> None:
    with card.database.transaction() as db:
        db.execute("UPDATE card_key_set SET failures = 0")

    class RolledBack(Exception):
        pass

    # Everything this host does is taken back, so that each trial begins with the same card.
    with pytest.raises(RolledBack), card.database.transaction():
        issuer = card.registry.issuer().aid
        manager = Manager(card, issuer, level=0x00)
        for command in wanted:
            answer = manager.connection.transmit(command.encode())
            assert len(answer) >= 2
            assert answer[-2] >> 4 in {6, 9}
        check_sound(card)
        raise RolledBack


@fuzzing
@given(st.lists(st.tuples(commands, st.integers(0, 400), st.integers(0, 255)), max_size=6))
def test_a_protected_command_bent_on_the_way_gets_a_status_word(
    card: Card, bent: list[tuple[CommandApdu, int, int]]
) -> None:
    with card.database.transaction() as db:
        db.execute("UPDATE card_key_set SET failures = 0")
    manager = Manager(card)
    session = manager.client.session
    assert session is not None
    for command, place, value in bent:
        try:
            raw = bytearray(session.wrap_command(command).encode())
        except WireError:
            return
        raw[place % len(raw)] ^= value
        assert len(manager.connection.transmit(bytes(raw))) >= 2
    manager.connection.close()
