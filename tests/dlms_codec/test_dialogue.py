# SPDX-License-Identifier: Apache-2.0
"""Our client and our server: every mechanism, every service, over both links."""

from dataclasses import replace
from datetime import timedelta

import pytest

from dlms_codec.apdus.access import ACTION, GET, SET, Access
from dlms_codec.apdus.acse import Mechanism
from dlms_codec.apdus.addressing import Attribute, Failure, Method, SelectiveAccess, Value
from dlms_codec.authentication import Credentials
from dlms_codec.client_settings import ClientSettings
from dlms_codec.data import Array, Structure
from dlms_codec.datetimes import DateTime
from dlms_codec.dialogue import ClientDialogue
from dlms_codec.errors import (
    AssociationRefused,
    EncodingError,
    ObjectUndefined,
    RequestRefused,
    ServiceRefused,
    UnexpectedAnswer,
    WrongKey,
    WrongPassword,
)
from dlms_codec.hdlc import LinkParameters
from dlms_codec.link import HdlcLink, WrapperLink
from dlms_codec.numbers import Enum, Int8, UInt8, UInt32
from dlms_codec.obis import Obis
from dlms_codec.responder import ClientSession
from dlms_codec.secure_messaging import SendCounter
from dlms_codec.security import Keys
from dlms_codec.selecting import ENTRIES, Entries, Range
from dlms_codec.server_link import HdlcServerLink, WrapperServerLink
from tests.support.dlms_world import (
    CLIENT_TITLE,
    COLUMNS,
    ENERGY,
    PROFILE,
    PUBLIC,
    ROWS,
    SECURE,
    START,
    World,
    dialogue_of,
    pair,
    row,
    run,
    run_on_links,
)

REGISTER = Attribute(3, Obis.parse("1-0:1.8.0"), 2)
NOTE = Attribute(1, Obis.parse("0-0:96.1.1"), 2)
EVERY = [
    (Mechanism.LOWEST, 0, 0), (Mechanism.LOW, 0, 0), (Mechanism.LOW, 0, 0x30),
    (Mechanism.MD5, 0, 0), (Mechanism.SHA1, 0, 0x30), (Mechanism.GMAC, 0, 0),
    (Mechanism.GMAC, 0, 0x30), (Mechanism.GMAC, 0, 0x10), (Mechanism.GMAC, 1, 0x30),
    (Mechanism.GMAC, 2, 0x30), (Mechanism.SHA256, 0, 0x30), (Mechanism.ECDSA, 1, 0x30),
    (Mechanism.ECDSA, 2, 0x30),
]  # fmt: skip


@pytest.mark.parametrize(("mechanism", "suite", "policy"), EVERY)
@pytest.mark.parametrize("general", [False, True])
def test_every_mechanism_reads(
    mechanism: Mechanism, suite: int, policy: int, general: bool
) -> None:
    world = World()
    access, settings = pair(world, mechanism, suite=suite, policy=policy, general=general)
    session = world.device(access).session(SECURE, "::1")
    assert session is not None
    client = dialogue_of(settings)
    run(client.associate(), session)
    assert run(client.read(REGISTER), session) == UInt32(4408736)
    run(client.release(), session)
    assert not session.is_associated


def test_a_dedicated_key_is_of_one_association() -> None:
    world = World()
    access, settings = pair(world, Mechanism.GMAC, dedicated=True)
    session = world.device(access).session(SECURE, "::1")
    assert session is not None
    client = dialogue_of(settings)
    run(client.associate(), session)
    sent = []

    def note(answer: bytes) -> bytes:
        sent.append(answer)
        return answer

    assert run(client.read(REGISTER), session, note) == UInt32(4408736)
    assert sent[0][0] == 0xD4  # ded-get-response


def associated(
    world: World | None = None, *, longest: int = 1024
) -> tuple[ClientDialogue, ClientSession]:
    world = world or World()
    access, settings = pair(world, Mechanism.GMAC)
    session = world.device(access, longest=longest).session(SECURE, "::1")
    assert session is not None
    client = dialogue_of(settings)
    run(client.associate(), session)
    return client, session


def test_a_profile_comes_in_blocks_by_entry_and_by_range() -> None:
    client, session = associated(longest=300)
    whole = run(client.read_profile(PROFILE, Entries()), session)
    assert whole.columns == COLUMNS
    assert whole.rows == tuple(Structure(row(number)) for number in range(ROWS))
    some = run(client.read_profile(PROFILE, Entries(11, 20, 3, 3)), session)
    assert some.columns == (ENERGY,)
    assert some.rows == tuple(Structure(row(number)[2:]) for number in range(10, 20))
    hour = Range(DateTime.of(START), DateTime.of(START + timedelta(hours=1)), columns=(ENERGY,))
    part = run(client.read_profile(PROFILE, hour), session)
    assert [found[0] for found in part.rows] == [row(number)[2] for number in range(5)]


def test_a_list_says_what_each_is_or_why_not() -> None:
    client, session = associated(longest=300)
    missing = Attribute(3, Obis.parse("1-0:99.99.99"), 2)
    asked = [REGISTER, missing, Attribute(3, REGISTER.obis, 3)] * 20
    results = run(client.read_list(asked), session)
    assert results[:2] == (Value(UInt32(4408736)), Failure(4))
    assert results[2] == Value(Structure((Int8(0), Enum(30))))
    assert results == results[:3] * 20


def test_long_values_are_written_in_blocks() -> None:
    world = World()
    client, session = associated(world, longest=300)
    run(client.write(NOTE, b"short"), session)
    run(client.write(NOTE, bytes(range(256)) * 10), session)
    assert world.written == [b"short", bytes(range(256)) * 10]
    long = b"x" * 3000
    assert run(client.invoke(Method(1, NOTE.obis, 1), long), session) == long
    assert world.invoked == [long]
    assert run(client.invoke(Method(1, NOTE.obis, 1)), session) is None


def test_one_message_reads_writes_and_invokes() -> None:
    world = World()
    client, session = associated(world)
    missing = Attribute(3, Obis.parse("1-0:99.99.99"), 2)
    asked = [
        Access(GET, REGISTER), Access(GET, missing), Access(SET, NOTE),
        Access(ACTION, Method(1, NOTE.obis, 1)),
    ]  # fmt: skip
    results = run(client.access(asked, [None, None, b"new", b"do"]), session)
    assert [(data, int(outcome.result)) for data, outcome in results] == [
        (UInt32(4408736), 0), (None, 4), (None, 0), (b"do", 0)
    ]  # fmt: skip
    assert (world.written, world.invoked) == ([b"new"], [b"do"])
    long = Attribute(7, PROFILE, 2)
    with pytest.raises(ServiceRefused, match="pdu-too-long"):
        run(client.access([Access(GET, long)], [None]), session)


def test_the_clock_is_read_and_set() -> None:
    world = World()
    client, session = associated(world)
    assert run(client.read_clock(), session).moment == START
    run(client.set_clock(DateTime.of(START + timedelta(days=1))), session)
    assert world.set_to == [DateTime.of(START + timedelta(days=1))]
    with pytest.raises(RequestRefused, match="type-unmatched"):
        run(client.write(Attribute(8, Obis.parse("0-0:1.0.0"), 2), UInt32(1)), session)


def test_refusals_say_what_is_wrong() -> None:
    client, session = associated()
    with pytest.raises(ObjectUndefined, match="class 3, 1-0:9.9.9"):
        run(client.read(Attribute(3, Obis.parse("1-0:9.9.9"), 2)), session)
    with pytest.raises(RequestRefused, match="object-class-inconsistent"):
        run(client.read(Attribute(1, REGISTER.obis, 2)), session)
    with pytest.raises(RequestRefused, match="read-write-denied"):
        run(client.write(REGISTER, UInt32(0)), session)
    with pytest.raises(RequestRefused, match="read-write-denied"):
        run(client.invoke(Method(3, REGISTER.obis, 1)), session)
    bad = SelectiveAccess(ENTRIES, UInt8(1))
    with pytest.raises(RequestRefused, match="type-unmatched"):
        run(client.read(Attribute(7, PROFILE, 2, bad)), session)


def test_the_list_of_objects_has_the_whole_table() -> None:
    client, session = associated()
    objects = run(client.read(Attribute(15, Obis.parse("0-0:40.0.0"), 2)), session)
    assert isinstance(objects, Array)
    names = {entry[2] for entry in objects if isinstance(entry, Structure)}
    assert names == {item.obis.code for item in World().table()} | {bytes([0, 0, 40, 0, 0, 255])}


@pytest.mark.parametrize("piece", [1, 7, 4096])
@pytest.mark.parametrize("size", [32, 128, 2030])
def test_hdlc_carries_it_in_segments(piece: int, size: int) -> None:
    world = World()
    access, settings = pair(world, Mechanism.GMAC)
    device = world.device(access, longest=700)
    server = HdlcServerLink(lambda client, _: device.session(client, "::1"), physical=17)
    link = HdlcLink(SECURE, 1, 17, parameters=LinkParameters(size, size))
    open_link(link, server)
    client = dialogue_of(settings)
    run_on_links(client.associate(), link, server, piece)
    profile = run_on_links(client.read_profile(PROFILE, Entries(1, 60)), link, server, piece)
    assert len(profile.rows) == 60
    run_on_links(client.write(NOTE, b"y" * 1000), link, server, piece)
    assert world.written == [b"y" * 1000]


def open_link(link: HdlcLink, server: HdlcServerLink) -> None:
    steps = link.open()
    [answer] = server.receive(next(steps))
    with pytest.raises(StopIteration):
        steps.send(answer)


def test_a_lost_frame_is_sent_again_and_nothing_is_done_twice() -> None:
    world = World()
    access, settings = pair(world, Mechanism.GMAC)
    device = world.device(access)
    server = HdlcServerLink(lambda client, _: device.session(client, "::1"))
    link = HdlcLink(SECURE)
    open_link(link, server)
    client = dialogue_of(settings)
    run_on_links(client.associate(), link, server)
    steps = client.write(NOTE, b"once")
    wire = link.exchange(next(steps))
    [lost] = server.receive(next(wire))
    assert lost
    [again] = server.receive(link.repeat())
    assert again == lost
    with pytest.raises(StopIteration) as end:
        wire.send(again)
    with pytest.raises(StopIteration):
        steps.send(end.value.value)
    assert world.written == [b"once"]


def test_the_wrapper_carries_it() -> None:
    world = World()
    device = world.device()
    server = WrapperServerLink(lambda client, _: device.session(client, "::1"))
    link, client = WrapperLink(PUBLIC), dialogue_of(ClientSettings())
    run_on_links(client.associate(), link, server, 5)
    assert run_on_links(client.read(REGISTER), link, server, 5) == UInt32(4408736)


def test_wrong_keys_and_wrong_passwords_are_told_apart() -> None:
    world = World()
    access, settings = pair(world, Mechanism.LOW, policy=0)
    session = world.device(access).session(SECURE, "::1")
    assert session is not None
    wrong = replace(settings, credentials=Credentials(Mechanism.LOW, b"guess"))
    with pytest.raises(WrongPassword, match="authentication failed"):
        run(dialogue_of(wrong).associate(), session)
    access, settings = pair(world, Mechanism.SHA256)
    session = world.device(access).session(SECURE, "::1")
    assert session is not None
    wrong = replace(settings, credentials=Credentials(Mechanism.SHA256, b"guess"))
    with pytest.raises(WrongPassword, match="answer to its challenge"):
        run(dialogue_of(wrong).associate(), session)
    wrong = replace(settings, keys=Keys(bytes(16), settings.keys.authentication))
    with pytest.raises(WrongKey):
        run(dialogue_of(wrong, SendCounter(100)).associate(), session)
    wrong = replace(settings, credentials=Credentials(Mechanism.MD5, b"guess"))
    with pytest.raises(AssociationRefused, match="mechanism"):
        run(dialogue_of(wrong, SendCounter(200)).associate(), session)


def test_an_answer_to_another_request_is_not_taken() -> None:
    client, session = dialogue_of(ClientSettings()), World().device().session(PUBLIC, "::1")
    assert session is not None
    run(client.associate(), session)
    steps = client.read(REGISTER)
    answer = bytearray(session.answer(next(steps)))
    answer[2] ^= 1
    with pytest.raises(UnexpectedAnswer, match="another request"):
        steps.send(bytes(answer))


def test_a_title_has_eight_bytes() -> None:
    with pytest.raises(EncodingError, match="8 bytes"):
        ClientSettings(system_title=CLIENT_TITLE[:7])
