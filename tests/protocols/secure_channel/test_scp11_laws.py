# SPDX-License-Identifier: Apache-2.0
"""SCP11 over a fake link: what both ends agree on, and what neither lets pass."""

from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.iso7816.apdu import CommandApdu, ResponseApdu
from protocols.secure_channel.errors import CardRefused, LocalChannelError, RemoteChannelError
from protocols.secure_channel.scp11 import Agreement, Scp11, Variant
from protocols.secure_channel.session import Phase, Role, SecureSession

CURVES = [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1(), ec.BrainpoolP256R1()]
variants = st.sampled_from(list(Variant))


def keys(curve: ec.EllipticCurve) -> list[ec.EllipticCurvePrivateKey]:
    return [ec.generate_private_key(curve) for _ in range(4)]


def agree(
    variant: Variant, curve: ec.EllipticCurve, usage: int = 0x3C, key_size: int = 16
) -> tuple[SecureSession, SecureSession, bytes]:
    static, ephemeral, host_static, host_ephemeral = keys(curve)
    host, card = Scp11(Role.HOST, variant), Scp11(Role.CARD, variant)
    mutual = variant is not Variant.B
    request = host.request(
        static.public_key(),
        host_ephemeral,
        static=host_static if mutual else None,
        key_version=1,
        usage=usage,
        key_size=key_size,
    )
    wire = CommandApdu.decode(request.encode())
    answer = card.answer(
        wire.data, static, ephemeral, host_key=host_static.public_key() if mutual else None
    )
    host.receive(ResponseApdu(answer, 0x9000))
    return host, card, answer


@pytest.mark.parametrize("curve", CURVES, ids=lambda curve: curve.name)
@pytest.mark.parametrize("variant", list(Variant))
@pytest.mark.parametrize("usage", [0x34, 0x3C])
@pytest.mark.parametrize("key_size", [16, 24, 32])
def test_both_ends_agree_and_understand_each_other(
    variant: Variant, curve: ec.EllipticCurve, usage: int, key_size: int
) -> None:
    host, card, _ = agree(variant, curve, usage, key_size)
    assert host.level == card.level == (0x33 if usage == 0x3C else 0x11)
    assert host.dek == card.dek
    for message in (b"", b"x", bytes(200), bytes(5000)):
        command = CommandApdu(0x80, 1, 2, 3, message, le=256)
        plain = card.unwrap_command(host.wrap_command(command))
        assert plain.data == message
        answer = card.wrap_response(ResponseApdu(message, 0x9000))
        assert host.unwrap_response(answer) == ResponseApdu(message, 0x9000)


@settings(deadline=None, max_examples=40)
@given(variants, st.integers(0, 10_000), st.integers(1, 255))
def test_an_answer_bent_anywhere_is_refused(variant: Variant, place: int, flip: int) -> None:
    static, ephemeral, host_static, host_ephemeral = keys(ec.SECP256R1())
    host, card = Scp11(Role.HOST, variant), Scp11(Role.CARD, variant)
    mutual = variant is not Variant.B
    request = host.request(
        static.public_key(), host_ephemeral, static=host_static if mutual else None, key_version=1
    )
    answer = bytearray(
        card.answer(
            request.data, static, ephemeral, host_key=host_static.public_key() if mutual else None
        )
    )
    answer[place % len(answer)] ^= flip
    with pytest.raises(RemoteChannelError):
        host.receive(ResponseApdu(bytes(answer), 0x9000))
    assert host.phase is Phase.BROKEN


@settings(deadline=None, max_examples=60)
@given(variants, st.integers(0, 10_000), st.integers(1, 255))
def test_a_request_bent_anywhere_agrees_on_nothing(variant: Variant, place: int, flip: int) -> None:
    static, ephemeral, host_static, host_ephemeral = keys(ec.SECP256R1())
    host, card = Scp11(Role.HOST, variant), Scp11(Role.CARD, variant)
    mutual = variant is not Variant.B
    request = host.request(
        static.public_key(), host_ephemeral, static=host_static if mutual else None, key_version=1
    )
    data = bytearray(request.data)
    data[place % len(data)] ^= flip
    with pytest.raises(RemoteChannelError):
        answer = card.answer(
            bytes(data), static, ephemeral, host_key=host_static.public_key() if mutual else None
        )
        host.receive(ResponseApdu(answer, 0x9000))


@pytest.mark.parametrize("variant", [Variant.A, Variant.C])
def test_a_host_that_borrows_a_certificate_cannot_go_on(variant: Variant) -> None:
    static, ephemeral, host_static, host_ephemeral = keys(ec.SECP256R1())
    thief = ec.generate_private_key(ec.SECP256R1())
    host, card = Scp11(Role.HOST, variant), Scp11(Role.CARD, variant)
    request = host.request(static.public_key(), host_ephemeral, static=thief, key_version=1)
    answer = card.answer(request.data, static, ephemeral, host_key=host_static.public_key())
    with pytest.raises(RemoteChannelError, match="receipt"):
        host.receive(ResponseApdu(answer, 0x9000))


@pytest.mark.parametrize(
    "change",
    [{"usage": 0x30}, {"usage": 0x33}, {"key_size": 8}, {"key_size": 17}, {"point": b"\x04"},
     {"point": b"\x02" + bytes(32)}, {"point": b"\x04" + bytes(64)}, {"variant": Variant.A}],
)  # fmt: skip
def test_a_request_that_asks_for_something_else_is_refused(change: dict[str, object]) -> None:
    static, ephemeral, _, host_ephemeral = keys(ec.SECP256R1())
    host = Scp11(Role.HOST, Variant.B)
    request = host.request(static.public_key(), host_ephemeral, key_version=1)
    agreement = Agreement.decode(Variant.B, request.data)
    bad = replace(agreement, **change)  # type: ignore[arg-type]  # one field of many types
    with pytest.raises(RemoteChannelError, match="key agreement"):
        Scp11(Role.CARD, Variant.B).answer(bad.encode(), static, ephemeral)


def test_a_card_that_refuses_says_why() -> None:
    static, _, _, host_ephemeral = keys(ec.SECP256R1())
    host = Scp11(Role.HOST, Variant.B)
    host.request(static.public_key(), host_ephemeral, key_version=1)
    with pytest.raises(CardRefused, match="6A88"):
        host.receive(ResponseApdu(b"", 0x6A88))


def test_who_has_keys_to_show_shows_them_and_nobody_else() -> None:
    static, ephemeral, host_static, host_ephemeral = keys(ec.SECP256R1())
    with pytest.raises(LocalChannelError):
        Scp11(Role.HOST, Variant.A).request(static.public_key(), host_ephemeral, key_version=1)
    with pytest.raises(LocalChannelError):
        Scp11(Role.HOST, Variant.B).request(
            static.public_key(), host_ephemeral, static=host_static, key_version=1
        )
    with pytest.raises(LocalChannelError):
        Scp11(Role.CARD, Variant.A).answer(b"", static, ephemeral)
