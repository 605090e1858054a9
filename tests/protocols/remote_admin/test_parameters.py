# SPDX-License-Identifier: Apache-2.0
"""Triggers and stored parameters, byte by byte; what is missing is completed or refused."""

from dataclasses import replace
from ipaddress import ip_address
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.iso7816.tlv import Tlv
from protocols.remote_admin.agent import RetryPolicy
from protocols.remote_admin.errors import MalformedParameters
from protocols.remote_admin.parameters import (
    Connection,
    PostParameters,
    Retries,
    Security,
    SessionParameters,
    StoredParameters,
    Trigger,
    complete,
    decode_timer,
    encode_timer,
)

CONNECTION = "8413 350103 39020200 3C030220FB 3E0521C0000205"
SECURITY = "850C 08 6875622D30303031 02 40 01"
RETRIES = "8607 0003 2503005000"
POST = "8926 8A0B 7261732E6578616D706C65 8B08 6875622D30303031 8C0D 2F6167656E743F737465703D31"
SESSION = SessionParameters(
    Connection(
        (
            Tlv(0x35, b"\x03"),
            Tlv(0x39, b"\x02\x00"),
            Tlv(0x3C, b"\x02\x20\xfb"),
            Tlv(0x3E, bytes.fromhex("21C0000205")),
        )
    ),
    (Security(b"hub-0001", 0x40, 1),),
    Retries(3, 300),
    PostParameters("ras.example", "hub-0001", "/agent?step=1"),
)
STORED = StoredParameters(SESSION, Retries(2, 30), 30)


@pytest.mark.parametrize(
    ("seconds", "encoded"),
    [(300, "2503005000"), (30, "2503000003"), (0, "2503000000"), (60, "2503001000"),
     (600, "2503000100"), (359_999, "2503999595"), (45_296, "2503214365")],
)  # fmt: skip
def test_a_timer_has_its_digits_swapped(seconds: int, encoded: str) -> None:
    assert encode_timer(seconds) == bytes.fromhex(encoded)
    assert decode_timer(bytes.fromhex(encoded)) == seconds


@pytest.mark.parametrize(
    "encoded", ["", "2503", "25030000", "250300000000", "2603000000", "25030A0000", "2503000600",
                "2503000006", "250300A000"],
)  # fmt: skip
def test_what_is_no_timer_is_refused(encoded: str) -> None:
    with pytest.raises(MalformedParameters):
        decode_timer(bytes.fromhex(encoded))


@pytest.mark.parametrize("seconds", [-1, 360_000])
def test_a_wait_that_no_timer_can_say_is_refused(seconds: int) -> None:
    with pytest.raises(MalformedParameters):
        encode_timer(seconds)


def test_the_message_and_the_stored_set_have_these_bytes() -> None:
    four = f"{CONNECTION} {SECURITY} {RETRIES} {POST}"
    message = bytes.fromhex(f"8156 8354 {four}")
    assert Trigger(SESSION).encode() == message
    assert Trigger.decode(message) == Trigger(SESSION)
    stored = bytes.fromhex(f"8564 {four} 8A07 00022503000003 8B05 2503000003")
    assert STORED.encode() == stored
    assert StoredParameters.decode(stored) == STORED
    assert SESSION.connection is not None
    assert SESSION.connection.address == ip_address("192.0.2.5")
    assert SESSION.connection.port == 8443
    assert Trigger().encode() == b"\x81\x00"
    assert Trigger.decode(b"\x81\x00") == Trigger()


def test_an_agent_tries_as_often_as_is_stored_and_never_where_nothing_is() -> None:
    assert STORED.policy == RetryPolicy(2, 30, 3, 300, 30)
    assert StoredParameters().policy == RetryPolicy(0, 0, 0, 0, None)


def test_single_parameters_are_read_and_changed_and_deleted() -> None:
    assert STORED.single(0x86) == bytes.fromhex(f"A509 {RETRIES}")
    assert StoredParameters().single(0x86) == bytes.fromhex("A500")
    # At the level of 86 and 89 this is the retry of connections, and no Host.
    assert STORED.single(0x8A) == bytes.fromhex("A509 8A07 00022503000003")
    fewer = STORED.store(bytes.fromhex("A50B 8607 0001 2503005000 8B00"))
    assert fewer == replace(
        STORED, session=replace(SESSION, retries=Retries(1, 300)), inactivity_seconds=None
    )
    assert STORED.store(bytes.fromhex("8500")) == StoredParameters()
    with pytest.raises(MalformedParameters):
        STORED.single(0x83)


def test_several_security_parameters_take_the_place_of_one_and_back() -> None:
    two = (Security(b"a", 0x40, 1, 4), Security(b"b", 0x41, 1))
    changed = STORED.store(bytes.fromhex("A511 A50F 8506 016102400104 8505 0162024101"))
    assert changed.session.security == two
    assert StoredParameters.decode(changed.encode()) == changed
    assert changed.store(bytes.fromhex(f"A50E {SECURITY}")).session.security == SESSION.security
    assert changed.store(bytes.fromhex("A502 8500")).session.security == ()


@pytest.mark.parametrize("part", ["connection", "security", "post"])
def test_what_a_trigger_leaves_out_comes_from_the_domain_then_from_the_issuer(part: str) -> None:
    empty: Any = () if part == "security" else None
    trigger = Trigger(replace(SESSION, **{part: empty}))
    other = StoredParameters(
        SessionParameters(
            Connection((Tlv(0x3C, b"\x02\x00\x50"),)),
            (Security(b"other", 0x41, 1),),
            None,
            PostParameters("other", "other", "/other"),
        )
    )
    assert getattr(complete(trigger, STORED, other).session, part) == getattr(SESSION, part)
    found = complete(trigger, StoredParameters(), other)
    assert getattr(found.session, part) == getattr(other.session, part)
    assert found.session.retries == SESSION.retries
    with pytest.raises(MalformedParameters, match="the trigger is refused"):
        complete(trigger, StoredParameters(), StoredParameters())


@pytest.mark.parametrize("part", ["host", "agent", "uri"])
def test_the_parts_of_a_post_are_completed_one_by_one(part: str) -> None:
    post = PostParameters("ras.example", "hub-0001", "/agent?step=1")
    trigger = Trigger(replace(SESSION, post=replace(post, **{part: None})))
    own = StoredParameters(SessionParameters(post=replace(PostParameters(), **{part: "/mine"})))
    found = complete(trigger, own, STORED).session.post
    assert found == replace(post, **{part: "/mine"})
    with pytest.raises(MalformedParameters):
        complete(trigger, StoredParameters())


def test_retries_and_inactivity_may_be_missing_everywhere() -> None:
    trigger = Trigger(replace(SESSION, retries=None))
    found = complete(trigger, StoredParameters(), StoredParameters())
    assert found.policy == RetryPolicy(0, 0, 0, 0, None)
    assert complete(Trigger(), STORED) == STORED


@pytest.mark.parametrize(
    "encoded",
    [
        "", "8100 8100", "8300", "8102 8300", "8102 B300", "8104 B300 8300",
        f"8110 830E {SECURITY[:4]} 08 6875622D30303031 02 40",  # cut off
        f"811E 831C {SECURITY} {SECURITY}",  # twice
        "8107 8305 8603 000000",
        "8108 8306 8904 8A02 0A41",  # no printable text
        "8106 8304 8902 8A00",
        "8106 8304 8402 3E00",
        "810B 8309 8407 3E05 22C0000205",
        "810B 8309 8407 3E05 21C00002",
        "8109 8307 8405 3C03 0120FB",
        "8181 02 8300",  # not the shortest length
    ],
)  # fmt: skip
def test_what_is_no_trigger_is_refused(encoded: str) -> None:
    with pytest.raises(MalformedParameters):
        Trigger.decode(bytes.fromhex(encoded))


@given(st.binary(max_size=60), st.sampled_from([b"", Trigger(SESSION).encode(), STORED.encode()]))
def test_any_bytes_are_refused_or_reproduced(data: bytes, start: bytes) -> None:
    data = start[: len(start) - len(data)] + data
    for kind in (Trigger, StoredParameters):
        try:
            known = kind.decode(data)
        except MalformedParameters:
            continue
        assert known.encode() == data
