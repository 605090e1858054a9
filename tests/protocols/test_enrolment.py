# SPDX-License-Identifier: Apache-2.0
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.enrolment import Enrolment, EnrolmentError
from protocols.secure_channel.keys import StaticKeys

GOOD = Enrolment(
    meter=bytes.fromhex("0a014d544c0000000001"),
    register=bytes.fromhex("0100010800ff"),
    zone="Europe/Berlin",
    slot_minutes=15,
    certifier=bytes(range(32)),
    applet=bytes.fromhex("f04d544c010101"),
    security_domain=bytes.fromhex("f04d544c0101"),
    key_version=48,
    keys=StaticKeys(b"e" * 16, b"m" * 16, b"d" * 16),
)


def changed(**members: object) -> bytes:
    return json.dumps({**json.loads(GOOD.encode()), **members}).encode()


def test_an_enrolment_comes_back_as_it_went_out() -> None:
    assert Enrolment.decode(GOOD.encode()) == GOOD


@pytest.mark.parametrize("register", ["0100020800ff", "0100020801ff"])
def test_a_feed_in_register_comes_back(register: str) -> None:
    both = Enrolment.decode(changed(feed_in_register=register))
    assert both.feed_in_register == bytes.fromhex(register)
    assert Enrolment.decode(both.encode()) == both


def test_no_key_shows_in_its_repr() -> None:
    assert "eeee" not in repr(GOOD)
    assert (b"e" * 16).hex() not in repr(GOOD)


@pytest.mark.parametrize(
    ("data", "place"),
    [
        (b"", "not JSON"),
        (b"[" * 10_000, "not JSON"),
        (b"[]", "not a 'meterlet enrolment 1' file"),
        (b" " * 20_000, "too many"),
        (changed(format="meterlet enrolment 2"), "not a 'meterlet enrolment 1'"),
        (changed(more=1), "more: unknown"),
        (changed(meter="0A"), "meter: not lower-case hex"),
        (changed(meter=""), "meter: 0 bytes"),
        (changed(register="01"), "register: 1 bytes"),
        (changed(feed_in_register="0100010800ff"), "feed_in_register: not of what"),
        (changed(feed_in_register="01"), "feed_in_register: not of what"),
        (changed(feed_in_register=None), "feed_in_register: not of type str"),
        (changed(certifier="00"), "certifier: 1 bytes"),
        (changed(slot_minutes=7), "slot_minutes: 7"),
        (changed(slot_minutes="15"), "slot_minutes: not of type int"),
        (changed(keys={"version": 48, "enc": "", "mac": ""}), "keys.dek: missing"),
        (changed(keys={"version": 48, "enc": "00", "mac": "00", "dek": "00"}), "three AES keys"),
        (
            changed(keys={"version": 0, "enc": "11" * 16, "mac": "11" * 16, "dek": "11" * 16}),
            "keys.version: 0",
        ),
    ],
)
def test_what_is_not_an_enrolment_is_refused_by_member(data: bytes, place: str) -> None:
    with pytest.raises(EnrolmentError, match=place):
        Enrolment.decode(data)


@given(st.binary(max_size=300))
def test_any_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(EnrolmentError):
        Enrolment.decode(data)
