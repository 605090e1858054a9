# SPDX-License-Identifier: Apache-2.0
"""Dialogues of DLMS with damaged messages, also under the right keys: METERLET_FUZZ says how many.

A server answers anything; a client takes an answer or raises the package's own error. What a client
that was let in sends damaged is served or refused, and the next good request is answered.
"""

import os
from collections.abc import Callable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from dlms_codec.apdus import Apdu, decode_apdu
from dlms_codec.apdus.access import ACTION, GET, SET, Access, AccessRequest
from dlms_codec.apdus.acse import Mechanism
from dlms_codec.apdus.action import (
    ActionRequest,
    ActionRequestBlock,
    ActionRequestFirstBlock,
    ActionRequestList,
)
from dlms_codec.apdus.addressing import Attribute, DataBlock, Method
from dlms_codec.apdus.get import GetRequest, GetRequestList, GetRequestNext
from dlms_codec.apdus.set import SetRequest, SetRequestBlock, SetRequestFirstBlock, SetRequestList
from dlms_codec.dialogue import ClientDialogue
from dlms_codec.errors import DlmsError
from dlms_codec.link import Steps
from dlms_codec.numbers import UInt32
from dlms_codec.obis import Obis
from dlms_codec.protection import GeneralCiphered, ServiceCiphered
from dlms_codec.responder import ClientSession
from dlms_codec.secure_messaging import SecureMessaging, SendCounter
from dlms_codec.security import CounterGuard
from dlms_codec.selecting import Entries
from tests.support.dlms_world import (
    CLIENT_TITLE,
    KEYS,
    METER_TITLE,
    PROFILE,
    SECURE,
    World,
    dialogue_of,
    pair,
    run,
)
from tests.support.soak import IS_SOAKING

EXAMPLES = int(os.environ.get("METERLET_FUZZ", "10000" if IS_SOAKING else "60"))
REGISTER = Attribute(3, Obis.parse("1-0:1.8.0"), 2)
NOTE = Attribute(1, Obis.parse("0-0:96.1.1"), 2)
ROWS = Attribute(7, PROFILE, 2, Entries(1, 20).access())
ECHO = Method(1, NOTE.obis, 1)
REQUESTS = [
    request.encode()
    for request in (
        GetRequest(0xC1, REGISTER),
        GetRequest(0xC1, ROWS),
        GetRequestNext(0xC1, 1),
        GetRequestList(0xC1, (REGISTER, NOTE, ROWS)),
        SetRequest(0xC1, NOTE, b"new"),
        SetRequestFirstBlock(0xC1, NOTE, DataBlock(False, 1, b"\x09\x03a")),
        SetRequestBlock(0xC1, DataBlock(True, 2, b"bc")),
        SetRequestList(0xC1, (NOTE, REGISTER), (b"a", None)),
        ActionRequest(0xC1, ECHO, b"x" * 200),
        ActionRequestFirstBlock(0xC1, ECHO, DataBlock(False, 1, b"\x09\x03a")),
        ActionRequestBlock(0xC1, DataBlock(True, 2, b"bc")),
        ActionRequestList(0xC1, (ECHO, ECHO), (b"a", None)),
        AccessRequest(
            0x40000001, b"",
            (Access(GET, REGISTER), Access(SET, NOTE), Access(ACTION, ECHO)), (None, b"a", b"b"),
        ),
    )
]  # fmt: skip
OPERATIONS: list[Callable[[ClientDialogue], Steps[Any]]] = [
    lambda client: client.read(REGISTER),
    lambda client: client.read_profile(PROFILE, Entries(1, 60)),
    lambda client: client.read_list([REGISTER, NOTE, ROWS]),
    lambda client: client.write(NOTE, b"y" * 500),
    lambda client: client.invoke(ECHO, b"z" * 500),
    lambda client: client.access([Access(GET, REGISTER)], [None]),
    lambda client: client.release(),
]


@st.composite
def damage(draw: st.DrawFn) -> Callable[[bytes], bytes]:
    """A change to a message: bytes replaced, cut out, or put in."""
    place, size = draw(st.integers(0, 400)), draw(st.integers(0, 4))
    put = draw(st.binary(max_size=6))

    def change(message: bytes) -> bytes:
        at = place % (len(message) + 1)
        return message[:at] + put + message[at + size :]

    return change


def associated() -> tuple[ClientDialogue, ClientSession]:
    access, wanted = pair(World(), Mechanism.GMAC)
    session = World().device(access, longest=300).session(SECURE, "a")
    assert session is not None
    client = dialogue_of(wanted)
    run(client.associate(), session)
    return client, session


@settings(max_examples=EXAMPLES, deadline=None)
@given(
    sent=st.lists(
        st.tuples(st.sampled_from(REQUESTS), st.none() | damage(), st.booleans()), max_size=8
    )
)
def test_a_client_that_was_let_in_sends_damaged_requests(
    sent: list[tuple[bytes, Callable[[bytes], bytes] | None, bool]],
) -> None:
    client, session = associated()
    counter = SendCounter(1000)
    sender = SecureMessaging(KEYS, CLIENT_TITLE, METER_TITLE, counter, CounterGuard())
    for request, change, general in sent:
        clear = request if change is None else change(request)
        if clear:
            session.answer(sender.protect(clear, general=general))
    client.counter.following = counter.following
    assert run(client.read(REGISTER), session) == UInt32(4408736)


@settings(max_examples=EXAMPLES, deadline=None)
@given(
    operation=st.sampled_from(OPERATIONS),
    changes=st.lists(st.none() | damage(), min_size=1, max_size=6),
)
def test_a_meter_with_the_key_answers_damaged(
    operation: Callable[[ClientDialogue], Steps[Any]],
    changes: list[Callable[[bytes], bytes] | None],
) -> None:
    """The damage is under the protection: the tag is right, and what is inside is not."""
    client, session = associated()
    left = iter(changes)
    assert session._association is not None
    services = session._association.services
    assert services is not None
    steps = operation(client)
    try:
        wire = next(steps)
        for _ in range(200):
            if wire[:1] == b"\x62":  # the release is not of the services
                steps.close()
                return
            plain = services.answer(decoded(wire))
            change = next(left, None)
            answer = plain if change is None else change(plain)
            client.received.last = -1
            wire = steps.send(reply(answer))
    except (DlmsError, StopIteration):
        return
    raise AssertionError("a dialogue without end")


def decoded(wire: bytes) -> Apdu:
    apdu = decode_apdu(wire)
    assert isinstance(apdu, GeneralCiphered | ServiceCiphered)
    opener = SecureMessaging(KEYS, METER_TITLE, CLIENT_TITLE, SendCounter(1), CounterGuard())
    return decode_apdu(opener.open(apdu))


def reply(answer: bytes) -> bytes:
    sender = SecureMessaging(KEYS, METER_TITLE, CLIENT_TITLE, SendCounter(5000), CounterGuard())
    return sender.protect(answer or b"\0", general=True)
