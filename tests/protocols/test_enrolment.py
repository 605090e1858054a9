# SPDX-License-Identifier: Apache-2.0
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.enrolment import Enrolment, EnrolmentError
from tests.support.enrolment import GOOD

OLD = {
    "format": "meterlet enrolment 1",
    "meter": "0a014d544c0000000001",
    "register": "0100010800ff",
    "zone": "Europe/Berlin",
    "slot_minutes": 15,
    "certifier": bytes(range(32)).hex(),
    "applet": "f04d544c010101",
    "security_domain": "f04d544c0101",
    "keys": {"version": 48, "enc": "65" * 16, "mac": "6d" * 16, "dek": "64" * 16},
}
"""The same as release 0.1 wrote it."""


def old(**members: object) -> bytes:
    return json.dumps({**OLD, **members}).encode()


def registers(**terms: object) -> dict[str, object]:
    return {"0100010800ff": {"slot_minutes": 15}, **{n[1:]: t for n, t in terms.items()}}


def changed(**members: object) -> bytes:
    return json.dumps({**json.loads(GOOD.encode()), **members}).encode()


def test_an_enrolment_comes_back_as_it_went_out() -> None:
    assert Enrolment.decode(GOOD.encode()) == GOOD


@pytest.mark.parametrize("register", ["0100020800ff", "0100020801ff"])
def test_a_feed_in_register_comes_back(register: str) -> None:
    both = Enrolment.decode(changed(registers=registers(**{f"_{register}": {"slot_minutes": 15}})))
    assert both.feed_in_register == bytes.fromhex(register)
    assert Enrolment.decode(both.encode()) == both
    assert Enrolment.decode(old(feed_in_register=register)) == both


def test_a_file_of_version_1_is_read_and_says_the_same() -> None:
    assert Enrolment.decode(old()) == GOOD
    assert GOOD.feed_in_register is None
    assert json.loads(GOOD.encode())["registers"] == {"0100010800ff": {"slot_minutes": 15}}


def test_any_register_can_be_enrolled_whatever_it_counts() -> None:
    gas = Enrolment.decode(changed(registers=registers(_070003000000={"slot_minutes": 15})))
    assert gas.others == (bytes.fromhex("070003000000"),)
    assert gas.feed_in_register is None
    assert Enrolment.decode(gas.encode()) == gas


def test_no_key_shows_in_its_repr() -> None:
    assert "eeee" not in repr(GOOD)
    assert (b"e" * 16).hex() not in repr(GOOD)


@pytest.mark.parametrize(
    ("data", "place"),
    [
        (b"", "not JSON"),
        (b"[" * 10_000, "not JSON"),
        (b"[]", "not a 'meterlet enrolment 2' file"),
        (b" " * 20_000, "too many"),
        (changed(format="meterlet enrolment 3"), "not a 'meterlet enrolment 2'"),
        (changed(format="meterlet enrolment 1"), "main: unknown"),
        (changed(more=1), "more: unknown"),
        (changed(meter="0A"), "meter: not lower-case hex"),
        (changed(meter=""), "meter: 0 bytes"),
        (changed(main="01"), "registers: not a mapping that has the main one"),
        (changed(main="0100020800ff"), "registers: not a mapping that has the main one"),
        (changed(registers={}), "registers: not a mapping"),
        (changed(registers=[]), "registers: not a mapping"),
        (changed(registers=registers(_01={"slot_minutes": 15})), "registers: '01': not an OBIS"),
        (changed(registers=registers(_0100020800FF={"slot_minutes": 15})), "not an OBIS code"),
        (changed(registers=registers(_0100020800ff={})), "just slot_minutes"),
        (changed(registers=registers(_0100020800ff={"slot_minutes": 60})), "different lengths"),
        (changed(registers=registers(_0100020800ff={"slot_minutes": 15, "a": 1})), "just slot"),
        (old(register="01"), "registers: not a mapping|registers: '01': not an OBIS"),
        (old(register=7), "register: not of type str"),
        (old(feed_in_register="0100010800ff"), "feed_in_register: not of what"),
        (old(feed_in_register="01"), "feed_in_register: not of what"),
        (old(feed_in_register=None), "register: not of type str"),
        (old(main="0100010800ff"), "main: unknown"),
        (old(more=1), "more: unknown"),
        (old(slot_minutes=7), "slot_minutes: 7"),
        (old(slot_minutes="15"), "just slot_minutes"),
        (changed(certifier="00"), "certifier: 1 bytes"),
        (changed(registers={"0100010800ff": {"slot_minutes": 7}}), "slot_minutes: 7"),
        (changed(registers={"0100010800ff": {"slot_minutes": "15"}}), "just slot_minutes"),
        (changed(registers={"0100010800ff": {"slot_minutes": True}}), "just slot_minutes"),
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
