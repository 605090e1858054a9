# SPDX-License-Identifier: Apache-2.0
"""Attacks on an association: from the line, by a false meter, by a client that is not let in."""

import gc
import tracemalloc
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dlms_codec.apdus import decode_apdu
from dlms_codec.apdus.acse import Aare, Aarq, Diagnostic, Mechanism
from dlms_codec.apdus.action import ActionRequest, ActionResponse
from dlms_codec.apdus.addressing import AccessResult, Attribute, DataBlock, Failure, Value
from dlms_codec.apdus.get import (
    GetRequest,
    GetRequestList,
    GetRequestNext,
    GetResponse,
    GetResponseBlock,
)
from dlms_codec.apdus.initiate import Conformance, InitiateRequest, InitiateResponse
from dlms_codec.apdus.refusals import ExceptionResponse
from dlms_codec.apdus.set import SetRequestBlock, SetRequestFirstBlock, SetResponseLastBlock
from dlms_codec.authentication import Credentials
from dlms_codec.client_settings import ClientSettings
from dlms_codec.dialogue import REPLY_TO_CHALLENGE, ClientDialogue
from dlms_codec.errors import (
    AssociationRefused,
    CounterExhausted,
    DlmsError,
    LimitExceeded,
    NotTheMeter,
    ReplayedCounter,
    SecurityError,
    UnexpectedAnswer,
    UnprotectedMessage,
    WrongAuthenticationKey,
    WrongPassword,
)
from dlms_codec.hdlc import encode_address, encode_frame
from dlms_codec.numbers import UInt32
from dlms_codec.obis import Obis
from dlms_codec.options import Limits
from dlms_codec.protection import GeneralCiphered, ServiceCiphered
from dlms_codec.responder import ClientSession
from dlms_codec.secure_messaging import SecureMessaging, SendCounter
from dlms_codec.security import CounterGuard, protect
from dlms_codec.server_link import HdlcServerLink
from tests.support.dlms_world import (
    CLIENT_TITLE,
    KEYS,
    METER_TITLE,
    PUBLIC,
    SECRET,
    SECURE,
    World,
    dialogue_of,
    pair,
    run,
)

REGISTER = Attribute(3, Obis.parse("1-0:1.8.0"), 2)
NOTE = Attribute(1, Obis.parse("0-0:96.1.1"), 2)
PROFILE_ROWS = Attribute(7, Obis.parse("1-0:99.1.0"), 2)
VALUE = UInt32(4408736)


def opened(
    world: World, mechanism: Mechanism = Mechanism.GMAC, **options: object
) -> tuple[ClientDialogue, ClientSession]:
    access, wanted = pair(world, mechanism, **options)  # type: ignore[arg-type]
    session = world.device(access).session(SECURE, "192.0.2.1")
    assert session is not None
    client = dialogue_of(wanted)
    run(client.associate(), session)
    return client, session


def wire_of(client: ClientDialogue, attribute: Attribute = REGISTER) -> bytes:
    """What a client sends to read; it never hears the answer."""
    steps = client.read(attribute)
    wire = next(steps)
    steps.close()
    return wire


# Replays


def test_a_request_is_taken_once() -> None:
    client, session = opened(World())
    wire = wire_of(client)
    assert session.answer(wire)[0] == 0xCC
    again = decode_apdu(session.answer(wire))
    assert isinstance(again, ExceptionResponse)
    assert again.reason.endswith("invocation-counter-error")
    assert run(client.read(REGISTER), session) == VALUE  # and the association goes on


def test_an_association_is_not_replayed() -> None:
    world = World()
    access, wanted = pair(world, Mechanism.LOW)
    device = world.device(access)
    session, later = device.session(SECURE, "a"), device.session(SECURE, "b")
    assert session is not None
    assert later is not None
    client, sent = dialogue_of(wanted), []
    steps = client.associate()
    sent.append(next(steps))
    with pytest.raises(StopIteration):
        steps.send(session.answer(sent[0]))
    sent.append(wire_of(client))
    session.answer(sent[1])
    for wire in sent:
        answer = decode_apdu(later.answer(wire))
        assert isinstance(answer, ExceptionResponse)
    assert not later.is_associated


def test_an_answer_is_taken_once() -> None:
    client, session = opened(World())
    answers = []
    run(client.read(REGISTER), session, lambda answer: answers.append(answer) or answer)  # type: ignore[func-returns-value]
    with pytest.raises(ReplayedCounter):
        run(client.read(REGISTER), session, lambda _: answers[0])


def test_answers_of_an_earlier_association_are_not_taken() -> None:
    world = World()
    access, wanted = pair(world, Mechanism.LOW)
    session = world.device(access).session(SECURE, "a")
    assert session is not None
    counter, received, heard = SendCounter(), CounterGuard(), []
    client = dialogue_of(wanted, counter, received)
    run(client.associate(), session, lambda answer: heard.append(answer) or answer)  # type: ignore[func-returns-value]
    client = dialogue_of(wanted, counter, received)
    steps = client.associate()
    next(steps)
    with pytest.raises(ReplayedCounter):
        steps.send(heard[0])


# Wrong tags, other keys, less protection


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_no_bit_of_a_request_can_be_changed(data: st.DataObject) -> None:
    world = World()
    client, session = opened(world)
    wire = bytearray(wire_of(client))
    bit = data.draw(st.integers(0, 8 * len(wire) - 1))
    wire[bit // 8] ^= 1 << bit % 8
    assert session.answer(bytes(wire))[0] == ExceptionResponse.tag


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_no_bit_of_an_answer_can_be_changed(data: st.DataObject) -> None:
    client, session = opened(World())

    def change(answer: bytes) -> bytes:
        changed = bytearray(answer)
        bit = data.draw(st.integers(0, 8 * len(answer) - 1))
        changed[bit // 8] ^= 1 << bit % 8
        return bytes(changed)

    with pytest.raises(DlmsError):
        run(client.read(REGISTER), session, change)


def test_answers_without_protection_are_not_taken() -> None:
    client, session = opened(World())
    plain = GetResponse(0xC0, Value(UInt32(0))).encode()
    with pytest.raises(UnprotectedMessage):
        run(client.read(REGISTER), session, lambda _: plain)


def test_requests_without_protection_are_not_answered() -> None:
    _, session = opened(World())
    plain = GetRequest(0xC1, REGISTER).encode()
    assert session.answer(plain) == ExceptionResponse(1, 1).encode()


@pytest.mark.parametrize("control", [0x10, 0x20, 0x31, 0x70])
def test_less_or_other_protection_is_not_taken(control: int) -> None:
    _, session = opened(World())
    text = protect(GetRequest(0xC1, REGISTER).encode(), CLIENT_TITLE, 1000, KEYS, control=control)
    for message in (GeneralCiphered(CLIENT_TITLE, text), ServiceCiphered(0xC8, text)):
        answer = decode_apdu(session.answer(message.encode()))
        assert isinstance(answer, ExceptionResponse)


def test_a_client_that_lacks_the_key_does_not_move_the_counter() -> None:
    client, session = opened(World())
    wrong = replace(KEYS, encryption=bytes(16))
    text = protect(GetRequest(0xC1, REGISTER).encode(), CLIENT_TITLE, 0xFFFFFFFE, wrong)
    assert session.answer(ServiceCiphered(0xC8, text).encode())[0] == ExceptionResponse.tag
    assert run(client.read(REGISTER), session) == VALUE


def test_guesses_at_the_key_end_the_association() -> None:
    client, session = opened(World())
    text = protect(b"\xc0\1", CLIENT_TITLE, 5000, replace(KEYS, authentication=bytes(16)))
    for _ in range(8):
        session.answer(ServiceCiphered(0xC8, text).encode())
    assert not session.is_associated
    assert session.answer(wire_of(client)) == ExceptionResponse(1, 1).encode()


def test_a_message_is_not_read_as_another_service() -> None:
    _, session = opened(World())
    text = protect(GetRequest(0xC1, REGISTER).encode(), CLIENT_TITLE, 1000, KEYS)
    answer = decode_apdu(session.answer(ServiceCiphered(0xC9, text).encode()))
    assert isinstance(answer, ExceptionResponse)


def test_a_dedicated_key_that_was_not_agreed_upon_is_not_taken() -> None:
    _, session = opened(World())
    other = replace(KEYS, dedicated=bytes(16))
    text = protect(GetRequest(0xC1, REGISTER).encode(), CLIENT_TITLE, 0, other, dedicated=True)
    assert session.answer(ServiceCiphered(0xD0, text).encode())[0] == ExceptionResponse.tag


def test_another_system_title_is_not_taken() -> None:
    _, session = opened(World())
    title = b"XXX\0\0\0\0\x01"
    text = protect(GetRequest(0xC1, REGISTER).encode(), title, 1000, KEYS)
    assert session.answer(GeneralCiphered(title, text).encode())[0] == ExceptionResponse.tag


# False meters


def false_meter(answer: Aare) -> None:
    _, wanted = pair(World(), Mechanism.MD5, policy=0)
    client = dialogue_of(replace(wanted, meter_title=METER_TITLE))
    steps = client.associate()
    aarq = decode_apdu(next(steps))
    assert isinstance(aarq, Aarq)
    challenge = aarq.authentication if answer.authentication is None else answer.authentication
    steps.send(replace(answer, authentication=challenge).encode())


GRANTED = Aare(
    1, 0, Diagnostic(1, 14), InitiateResponse(Conformance.GET, 1024).encode(), METER_TITLE,
    0x80, Mechanism.MD5,
)  # fmt: skip


def test_our_own_challenge_sent_back_is_no_challenge() -> None:
    with pytest.raises(NotTheMeter, match="own challenge"):
        false_meter(GRANTED)  # the client would answer it, and that answer would pass for ours


def test_a_meter_with_our_own_title_is_none() -> None:
    with pytest.raises(NotTheMeter, match="is not the meter's"):
        false_meter(replace(GRANTED, system_title=CLIENT_TITLE))
    _, wanted = pair(World(), Mechanism.GMAC)
    steps = dialogue_of(wanted).associate()
    next(steps)
    with pytest.raises(NotTheMeter, match="own system title"):
        steps.send(replace(GRANTED, context=3, system_title=CLIENT_TITLE).encode())


@pytest.mark.parametrize("size", [0, 7, 65])
def test_a_challenge_has_its_size(size: int) -> None:
    with pytest.raises(SecurityError, match="8 to 64 bytes"):
        false_meter(replace(GRANTED, authentication=bytes(size)))


def test_a_weaker_mechanism_is_not_taken() -> None:
    with pytest.raises(AssociationRefused, match="another mechanism"):
        false_meter(replace(GRANTED, mechanism=Mechanism.LOW, authentication=bytes(16)))
    with pytest.raises(AssociationRefused, match="context"):
        false_meter(replace(GRANTED, context=2, authentication=bytes(16)))


def test_a_meter_that_does_not_know_the_secret_is_found() -> None:
    world = World()
    access, wanted = pair(world, Mechanism.SHA256, policy=0)
    session = world.device(access).session(SECURE, "a")
    assert session is not None

    def forge(answer: bytes) -> bytes:
        apdu = decode_apdu(answer)
        if isinstance(apdu, ActionResponse):
            outcome = replace(apdu.outcome, returned=Value(bytes(32)))
            return replace(apdu, outcome=outcome).encode()
        return answer

    with pytest.raises(NotTheMeter, match="answer to the challenge"):
        run(dialogue_of(wanted).associate(), session, forge)


def test_an_unprotected_proposal_is_not_taken() -> None:
    _, wanted = pair(World(), Mechanism.LOW)
    steps = dialogue_of(wanted).associate()
    next(steps)
    plain = Aare(
        3, 0, Diagnostic(1, 0), InitiateResponse(Conformance.GET, 1024).encode(), METER_TITLE
    )
    with pytest.raises(UnprotectedMessage):
        steps.send(plain.encode())


# Clients that are not let in


@pytest.mark.parametrize("mechanism", [Mechanism.MD5, Mechanism.SHA256])
def test_nothing_is_read_before_the_client_has_proved_itself(mechanism: Mechanism) -> None:
    world = World()
    access, wanted = pair(world, mechanism, policy=0)
    session = world.device(access).session(SECURE, "a")
    assert session is not None
    steps = dialogue_of(wanted).associate()
    assert session.answer(next(steps))[0] == Aare.tag
    listed = Attribute(15, REPLY_TO_CHALLENGE.obis, 2)
    for attribute in (REGISTER, listed):
        request = GetRequest(0xC1, attribute).encode()
        assert session.answer(request) == ExceptionResponse(1, 1).encode()
    assert not session.is_associated


def test_the_meters_answer_is_not_given_before_the_clients() -> None:
    """Who sends the meter its own challenge, in another connection, does not get it answered."""
    world = World()
    access, wanted = pair(world, Mechanism.MD5, policy=0)
    device = world.device(access)
    first, second = device.session(SECURE, "a"), device.session(SECURE, "a")
    assert first is not None
    assert second is not None
    aarq = decode_apdu(next(dialogue_of(wanted).associate()))
    assert isinstance(aarq, Aarq)
    aare = decode_apdu(first.answer(aarq.encode()))
    assert isinstance(aare, Aare)
    assert aare.authentication is not None
    other = decode_apdu(second.answer(replace(aarq, authentication=aare.authentication).encode()))
    assert isinstance(other, Aare)
    assert other.authentication != aare.authentication
    for guess in (aare.authentication, bytes(16)):
        answer = decode_apdu(second.answer(ActionRequest(0xC1, REPLY_TO_CHALLENGE, guess).encode()))
        assert not isinstance(answer, ActionResponse) or answer.outcome.returned is None


def test_a_challenge_is_answered_once() -> None:
    world = World()
    access, wanted = pair(world, Mechanism.MD5, policy=0)
    session = world.device(access).session(SECURE, "a")
    assert session is not None
    wrong = replace(wanted, credentials=Credentials(Mechanism.MD5, b"guess"))
    steps = dialogue_of(wrong).associate()
    steps_right = dialogue_of(wanted).associate()
    answer = session.answer(next(steps))
    next(steps_right)
    session.answer(steps.send(answer))
    # The right answer to the same challenge comes too late.
    assert session.answer(steps_right.send(answer)) == ExceptionResponse(1, 1).encode()


@pytest.mark.parametrize("mechanism", [Mechanism.LOW, Mechanism.SHA256])
def test_guesses_cost_more_and_more_time(mechanism: Mechanism) -> None:
    world = World()
    access, right = pair(world, mechanism, policy=0)
    device = world.device(access)
    wrong = replace(right, credentials=Credentials(mechanism, b"guess"))

    def attempt(wanted: ClientSettings, address: str = "198.51.100.1") -> None:
        session = device.session(SECURE, address)
        assert session is not None
        run(dialogue_of(wanted).associate(), session)

    for _ in range(5):
        with pytest.raises(WrongPassword):
            attempt(wrong)
    with pytest.raises(AssociationRefused, match="no reason given"):
        attempt(right)  # right or wrong: it is not looked at
    attempt(right, "198.51.100.2")  # others are not kept out
    world.seconds += 1.1
    with pytest.raises(WrongPassword):
        attempt(wrong)
    world.seconds += 1.1  # now it is two seconds
    with pytest.raises(AssociationRefused, match="no reason given"):
        attempt(right)
    guesses = 0
    for _ in range(3600):
        world.seconds += 1
        try:
            attempt(wrong)
        except WrongPassword:
            guesses += 1
        except AssociationRefused:
            pass
    assert guesses < 16


def test_many_addresses_do_not_help() -> None:
    world = World()
    access, right = pair(world, Mechanism.LOW, policy=0)
    device = world.device(access)
    wrong = replace(right, credentials=Credentials(Mechanism.LOW, b"guess"))
    looked_at = 0
    for number in range(3000):
        session = device.session(SECURE, f"2001:db8::{number:x}")
        assert session is not None
        try:
            run(dialogue_of(wrong).associate(), session)
        except WrongPassword:
            looked_at += 1
        except AssociationRefused:
            pass
    assert looked_at == 100
    assert len(device.passwords._addresses) <= 1024


# Blocks


def block(number: int, *, last: bool = False, piece: bytes = b"\1\0") -> bytes:
    return GetResponseBlock(0xC1, last, number, piece).encode()


@pytest.mark.parametrize(
    "answers",
    [
        [block(2)],
        [block(0)],
        [block(1), block(1)],
        [block(1), block(3)],
        [block(1, piece=b"")],
        [block(1), GetResponse(0xC1, Value(VALUE)).encode()],
        [block(1), b"\xc4\2\xc1\1\0\0\0\2\0\x05ab"],
        [block(1, piece=b"\2\2\6\0"), block(2, last=True, piece=b"\0")],
        [block(1, last=True, piece=b"\6\0\0\0\1\0")],
        [block(1), GetResponse(0xC2, Value(VALUE)).encode()],
    ],
)
def test_blocks_out_of_order_or_cut_make_no_value(answers: list[bytes]) -> None:
    session = World().device().session(PUBLIC, "a")
    assert session is not None
    client = dialogue_of(ClientSettings())
    run(client.associate(), session)
    left = iter(answers)
    with pytest.raises((UnexpectedAnswer, DlmsError)):
        run(client.read(REGISTER), session, lambda _: next(left))
    assert next(left, None) is None


def test_blocks_without_end_have_one() -> None:
    session = World().device().session(PUBLIC, "a")
    assert session is not None
    client = dialogue_of(ClientSettings(limits=Limits(message=10_000)))
    run(client.associate(), session)
    numbers = iter(range(1, 1000))
    with pytest.raises(LimitExceeded):
        run(client.read(REGISTER), session, lambda _: block(next(numbers), piece=bytes(100)))
    assert next(numbers) == 102


@pytest.mark.parametrize("number", [0, 2, 3, 0xFFFFFFFF])
def test_the_server_sends_the_next_block_only(number: int) -> None:
    session = World().device(longest=300).session(PUBLIC, "a")
    assert session is not None
    run(dialogue_of(ClientSettings()).associate(), session)
    first = decode_apdu(session.answer(GetRequest(0xC1, PROFILE_ROWS).encode()))
    assert isinstance(first, GetResponseBlock)
    answer = decode_apdu(session.answer(GetRequestNext(0xC1, number).encode()))
    assert answer == GetResponse(0xC1, Failure(AccessResult.DATA_BLOCK_NUMBER_INVALID))
    over = decode_apdu(session.answer(GetRequestNext(0xC1, 1).encode()))
    assert over == GetResponse(0xC1, Failure(AccessResult.NO_LONG_GET_IN_PROGRESS))


def test_blocks_of_a_long_write_come_in_order_and_have_an_end() -> None:
    world = World()
    device = world.device()
    device.limits = Limits(message=10_000)
    session = device.session(PUBLIC, "a")
    assert session is not None
    run(dialogue_of(ClientSettings()).associate(), session)

    def send(request: SetRequestFirstBlock | SetRequestBlock) -> object:
        return decode_apdu(session.answer(request.encode()))

    first = SetRequestFirstBlock(0xC1, NOTE, DataBlock(False, 1, b"\x09\x04ab"))
    send(first)
    for number in (1, 3):
        refused = send(SetRequestBlock(0xC1, DataBlock(True, number, b"cd")))
        assert isinstance(refused, SetResponseLastBlock)
        assert refused.result != 0
        send(first)
    number, answer = 1, send(first)
    while not isinstance(answer, SetResponseLastBlock):
        number += 1
        answer = send(SetRequestBlock(0xC1, DataBlock(False, number, bytes(900))))
    assert answer.result == AccessResult.LONG_SET_ABORTED
    assert number < 14
    assert world.written == []


# Floods, sizes, and any bytes


def test_a_flood_is_answered_in_bounded_memory() -> None:
    session = World().device().session(PUBLIC, "a")
    assert session is not None
    run(dialogue_of(ClientSettings()).associate(), session)
    begin = SetRequestFirstBlock(0xC1, NOTE, DataBlock(False, 1, bytes(900))).encode()
    requests = [begin, GetRequest(0xC1, PROFILE_ROWS).encode(), GetRequest(0xC2, REGISTER).encode()]
    tracemalloc.start()
    for request in 7 * requests:
        session.answer(request)
    gc.collect()  # what is held, and not what waits to be collected
    before = tracemalloc.get_traced_memory()[0]
    for number in range(60):
        session.answer(requests[number % 3])
    gc.collect()
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert grown < 50_000


def test_a_request_that_names_too_much_is_refused() -> None:
    device = World().device(longest=0xFFFF)
    session = device.session(PUBLIC, "a")
    assert session is not None
    run(dialogue_of(ClientSettings()).associate(), session)
    many = GetRequestList(0xC1, (PROFILE_ROWS,) * 1000).encode()
    assert session.answer(many) == ExceptionResponse(1, 4).encode()


def test_a_message_longer_than_agreed_is_refused() -> None:
    session = World().device(longest=1024).session(PUBLIC, "a")
    assert session is not None
    assert session.answer(b"\xc0" * 1025) == ExceptionResponse(1, 4).encode()


def test_a_client_that_takes_next_to_nothing_is_refused() -> None:
    session = World().device().session(PUBLIC, "a")
    assert session is not None
    aarq = Aarq(1, InitiateRequest(Conformance.GET, 20).encode())
    answer = decode_apdu(session.answer(aarq.encode()))
    assert isinstance(answer, Aare)
    assert answer.result == 1


def test_segments_without_end_have_one() -> None:
    device = World().device()
    link = HdlcServerLink(lambda client, _: device.session(client, "a"), longest=5000)
    meter, client = encode_address(1), encode_address(PUBLIC)
    [_] = link.receive(encode_frame(meter, client, 0x93))
    kinds = []
    for number in range(200):
        control = 0x10 | number % 8 << 1
        frame = encode_frame(meter, client, control, bytes(100), segmented=True)
        kinds += [answer[5] & 0xEF for answer in link.receive(frame)]
    assert 0x0F in kinds  # DM: the link is over
    assert kinds.index(0x0F) == 50


@settings(max_examples=200, deadline=None)
@given(wire=st.binary(max_size=200), associated=st.booleans())
def test_any_bytes_are_answered_or_refused(wire: bytes, associated: bool) -> None:
    session = World().device().session(PUBLIC, "a")
    assert session is not None
    if associated:
        run(dialogue_of(ClientSettings()).associate(), session)
    for head in (b"", b"\xc0\1\xc1", b"\xc1\1\xc1", b"\xc3\1\xc1", b"\x60", b"\xc0\3\xc1"):
        session.answer(head + wire)


@settings(max_examples=200, deadline=None)
@given(wire=st.binary(max_size=200))
def test_any_answer_is_taken_or_refused(wire: bytes) -> None:
    session = World().device().session(PUBLIC, "a")
    assert session is not None
    client = dialogue_of(ClientSettings())
    run(client.associate(), session)
    for head in (b"", b"\xc4\1\xc1", b"\xc4\2\xc1", b"\x61"):
        steps = client.read(REGISTER)
        next(steps)
        try:
            steps.send(head + wire)
        except (DlmsError, StopIteration):
            pass
        finally:
            steps.close()


# Counters and secrets


def test_a_counter_is_never_used_twice() -> None:
    reserved: list[int] = []
    counter = SendCounter(0xFFFFFFFE, reserved.append, step=1)
    messaging = SecureMessaging(KEYS, CLIENT_TITLE, METER_TITLE, counter, CounterGuard())
    sent = {messaging.protect(b"\xc0\1\xc1") for _ in range(2)}
    assert len(sent) == 2
    with pytest.raises(CounterExhausted):
        messaging.protect(b"\xc0\1\xc1")
    assert reserved == [0xFFFFFFFF, 1 << 32]


def test_no_key_stands_in_what_is_shown() -> None:
    access, wanted = pair(World(), Mechanism.SHA256)
    assert KEYS.encryption is not None
    for shown in (repr(access), repr(wanted), repr(dialogue_of(wanted))):
        assert repr(KEYS.encryption)[2:-1] not in shown
        assert SECRET.decode() not in shown


def test_a_meter_with_another_authentication_key_is_told_apart() -> None:
    world = World()
    access, wanted = pair(world, Mechanism.LOW)
    session = world.device(access).session(SECURE, "a")
    assert session is not None
    client = dialogue_of(wanted)
    run(client.associate(), session)
    assert client._messaging is not None
    client._messaging.keys = replace(KEYS, authentication=bytes(16))
    answer = SecureMessaging(KEYS, METER_TITLE, CLIENT_TITLE, SendCounter(500), CounterGuard())
    steps = client.read(REGISTER)
    next(steps)
    with pytest.raises(WrongAuthenticationKey):
        steps.send(answer.protect(GetResponse(0xC1, Value(VALUE)).encode()))
