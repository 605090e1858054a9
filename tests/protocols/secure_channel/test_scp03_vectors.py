# SPDX-License-Identifier: Apache-2.0
"""Published SCP03 sessions, reproduced byte for byte from either side.

The vectors name their sources: pySim (recorded from an eUICC), OpenSCP-Java, kaoh/globalplatform,
GlobalPlatformPro.
"""

import json
from typing import Any

import pytest

from protocols.iso7816.apdu import CommandApdu, ResponseApdu
from protocols.secure_channel.keys import StaticKeys, diversify, key_check_value
from protocols.secure_channel.scp03 import Option, Scp03
from protocols.secure_channel.session import Role, SecurityLevel
from tests.support.shared import SHARED, needs_shared

VECTORS = SHARED / "scp03-vectors.json"
pytestmark = needs_shared(VECTORS)
DATA: dict[str, Any] = json.loads(VECTORS.read_text()) if VECTORS.exists() else {}
SESSIONS: list[dict[str, Any]] = DATA.get("sessions", [])


OVER_PADDED = {"openscp-aes128-s8-sl33", "openscp-aes192-s16-sl33"}


def over_padded(channel: Scp03, plain: bytes, wire: ResponseApdu) -> bool:
    """Whether the recorded card padded `plain` by more than the one block that it needs."""
    if not plain or not channel.level & SecurityLevel.R_ENC:
        return False
    mac = 16 if len(wire.data) % 16 == 0 else 8
    return len(wire.data) - mac >= len(plain) + 17


def command(text: str) -> CommandApdu:
    return CommandApdu.decode(bytes.fromhex(text))


def response(text: str) -> ResponseApdu:
    return ResponseApdu.decode(bytes.fromhex(text))


def answer(text: str) -> ResponseApdu:
    """INITIALIZE UPDATE's answer, which the vectors give with or without its 9000."""
    raw = bytes.fromhex(text)
    return ResponseApdu.decode(raw if raw.endswith(b"\x90\x00") else raw + b"\x90\x00")


def static_keys(session: dict[str, Any]) -> StaticKeys:
    return StaticKeys(*(bytes.fromhex(session["static_keys"][k]) for k in ("enc", "mac", "dek")))


def opened(session: dict[str, Any], role: Role) -> Scp03:
    derived = session["derived"]
    challenge = bytes.fromhex(derived["host_challenge"])
    channel = Scp03(role, static_keys(session), challenge)
    authenticate = command(session["external_authenticate"]["command"])
    if role is Role.HOST:
        wire = session["initialize_update"]["command"]
        assert channel.initialize_update(derived["kvn"] if wire[4:6] != "00" else 0) == command(
            wire
        )
        aid = derived.get("pseudo_random_challenge_aid")
        channel.receive_challenge(
            answer(session["initialize_update"]["response"]), bytes.fromhex(aid) if aid else None
        )
        level = (
            SecurityLevel(int(derived["security_level"], 16))
            if "security_level" in derived
            else (SecurityLevel(authenticate.p1))
        )
        assert channel.external_authenticate(level) == authenticate
        channel.confirm(response(session["external_authenticate"]["response"]))
        return channel
    option = Option(int(derived["i"], 16))
    # Where the source does not tell the AID, the challenge can only be replayed.
    aid = derived.get("pseudo_random_challenge_aid")
    assert command(session["initialize_update"]["command"]).data == challenge
    data = (
        channel.answer(
            diversification=bytes.fromhex(derived["kdd"]),
            key_version=derived["kvn"],
            option=option if aid else option & ~Option.PSEUDO_RANDOM,
            sequence=int(derived["sequence_counter"], 16),
            aid=bytes.fromhex(aid or ""),
            random=b"" if aid else bytes.fromhex(derived["card_challenge"]),
        )
    )  # fmt: skip
    if not aid:
        data = data[:12] + bytes((option,)) + data[13:] + bytes.fromhex(derived["sequence_counter"])
    assert data == answer(session["initialize_update"]["response"]).data
    assert channel.authenticate(authenticate) == authenticate.p1
    return channel


@pytest.mark.parametrize("session", SESSIONS, ids=[s["id"] for s in SESSIONS])
def test_a_published_session_is_reproduced_from_the_cards_side(session: dict[str, Any]) -> None:
    channel = opened(session, Role.CARD)
    over: list[str] = []
    for step in session["commands"]:
        assert channel.unwrap_command(command(step["wrapped"])) == command(step["plain"])
        if "response" in step:
            wire = response(step["response"])
            plain = bytes.fromhex(step["response_plain"]) if "response_plain" in step else wire.data
            sent = channel.wrap_response(ResponseApdu(plain, wire.sw))
            if over_padded(channel, plain, wire):
                # The card of the source added a block of zeros; its first block is ours, and the
                # host's side of this test checks the whole.
                assert sent.data[:16] == wire.data[:16]
                over.append(session["id"])
            else:
                assert sent == wire
    assert over == [session["id"]] * (session["id"] in OVER_PADDED)


@pytest.mark.parametrize("session", SESSIONS, ids=[s["id"] for s in SESSIONS])
def test_a_published_session_is_reproduced_from_the_hosts_side(session: dict[str, Any]) -> None:
    channel = opened(session, Role.HOST)
    for step in session["commands"]:
        assert channel.wrap_command(command(step["plain"])) == command(step["wrapped"])
        if "response" in step:
            wire = response(step["response"])
            plain = bytes.fromhex(step["response_plain"]) if "response_plain" in step else wire.data
            assert channel.unwrap_response(wire) == ResponseApdu(plain, wire.sw)


def test_key_check_values_are_the_published_ones() -> None:
    for vector in DATA["kcv"]:
        assert key_check_value(bytes.fromhex(vector["key"])).hex() == vector["kcv"]
    default = DATA["default_key_kcv"]
    assert key_check_value(bytes.fromhex(default["key"])).hex() == default["aes"]


def test_diversified_keys_are_the_published_ones() -> None:
    for vector in DATA["static_key_diversification"]["vectors"]:
        keys = diversify(bytes.fromhex(vector["master"]), bytes.fromhex(vector["kdd"]))
        for name in ("enc", "mac", "dek"):
            assert key_check_value(getattr(keys, name)).hex() == vector[f"{name}_kcv"]
