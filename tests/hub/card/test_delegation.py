# SPDX-License-Identifier: Apache-2.0
"""DAP, tokens and receipts with RSA, EC and AES, computed here as off-card tools do."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import (
    Prehashed,
    decode_dss_signature,
    encode_dss_signature,
)
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from hub.card.open import Card
from protocols.iso7816.tlv import Cursor, Tlv, encode_length, encode_lv
from protocols.secure_channel.keys import StaticKeys, cmac, encrypt_key, key_check_value
from tests.support.card import APPLET, ISSUER, MODULE, PACKAGE, open_card
from tests.support.card_host import Manager, load_block

VERIFIER = bytes.fromhex("F0534D480050")
DELEGATE = bytes.fromhex("F0534D480051")
AES_KEY = bytes(range(0x60, 0x70))
RSA_1024 = rsa.generate_private_key(65537, 1024)
RSA_2048 = rsa.generate_private_key(65537, 2048)
RSA_3072 = rsa.generate_private_key(65537, 3072)
EC_256 = ec.generate_private_key(ec.SECP256R1())
EC_384 = ec.generate_private_key(ec.SECP384R1())


@dataclass(frozen=True)
class Signer:
    name: str

    def sign(self, message: bytes) -> bytes:
        match self.name:
            case "aes":
                return cmac(AES_KEY, message)
            case "rsa1024":
                return RSA_1024.sign(message, padding.PKCS1v15(), hashes.SHA1())
            case "rsa2048":
                pss = padding.PSS(padding.MGF1(hashes.SHA256()), 32)
                return RSA_2048.sign(message, pss, hashes.SHA256())
            case "rsa3072":
                pss = padding.PSS(padding.MGF1(hashes.SHA512()), 64)
                return RSA_3072.sign(message, pss, hashes.SHA512())
            case "ec256":
                r, s = decode_dss_signature(EC_256.sign(message, ec.ECDSA(hashes.SHA256())))
                return r.to_bytes(32, "big") + s.to_bytes(32, "big")
            case _:
                r, s = decode_dss_signature(EC_384.sign(message, ec.ECDSA(hashes.SHA384())))
                return r.to_bytes(48, "big") + s.to_bytes(48, "big")

    def put(self, manager: Manager, version: int) -> None:
        """Put the public (or shared) key as `version`/01, chained where it is long."""
        session = manager.client.session
        assert session is not None
        match self.name:
            case "aes":
                data = b"\x88\x11\x10" + encrypt_key(session.dek, AES_KEY)
                data += b"\x03" + key_check_value(AES_KEY)
            case "rsa1024" | "rsa2048" | "rsa3072":
                key = {"rsa1024": RSA_1024, "rsa2048": RSA_2048, "rsa3072": RSA_3072}[self.name]
                modulus = key.public_key().public_numbers().n
                size = key.key_size // 8
                # Tools write the 80 of 128 bytes as it is.
                length = b"\x80" if size == 128 else encode_length(size)
                data = b"\xa1" + length + modulus.to_bytes(size, "big")
                data += b"\xa0\x03\x01\x00\x01\x00"
            case _:
                private = EC_256 if self.name == "ec256" else EC_384
                curve = b"\x00" if self.name == "ec256" else b"\x01"
                point = private.public_key().public_bytes(
                    Encoding.X962, PublicFormat.UncompressedPoint
                )
                data = b"\xb0" + encode_length(len(point)) + point + b"\xf0\x01" + curve + b"\x00"
        data = bytes((version,)) + data
        while len(data) > 200:
            assert manager.sw("80D88001", data[:200]) == "9000"
            data = data[200:]
        assert manager.sw("80D80001", data) == "9000"


SIGNERS = [Signer(name) for name in ("aes", "rsa1024", "rsa2048", "rsa3072", "ec256", "ec384")]
signers = pytest.mark.parametrize("signer", SIGNERS, ids=lambda signer: signer.name)


@pytest.fixture
def card(tmp_path: Path) -> Card:
    return open_card(tmp_path)


def dap(domain: bytes, signature: bytes) -> bytes:
    return Tlv.of(0xE2, [Tlv(0x4F, domain), Tlv(0xC3, signature)]).encode()


@signers
@pytest.mark.parametrize("privileges", [b"\xc0", b"\xc1"], ids=["target", "mandated"])
def test_a_dap_is_demanded_and_checked(card: Card, signer: Signer, privileges: bytes) -> None:
    manager = Manager(card)
    assert manager.install_domain(VERIFIER, privileges) == "9000"
    signer.put(Manager(card, VERIFIER), 0x73)
    digest = hashlib.sha256(load_block()).digest()
    options = {"domain": VERIFIER} if privileges == b"\xc0" else {}
    good = dap(VERIFIER, signer.sign(digest))
    wrong = dap(VERIFIER, signer.sign(digest + b"x"))
    assert manager.load_package(**options) == "6985"
    assert manager.load_package(prefix=wrong, **options) == "6982"
    assert manager.load_package(prefix=dap(ISSUER, b"x"), **options) in {"6985", "6A88"}
    assert manager.load_package(prefix=good, digest=b"", **options) == "6A80"
    assert manager.load_package(prefix=good, **options) == "9000"


def test_a_dap_may_take_the_hash_as_it_is(card: Card) -> None:
    manager = Manager(card)
    manager.install_domain(VERIFIER, b"\xc0")
    Signer("ec256").put(Manager(card, VERIFIER), 0x73)
    digest = hashlib.sha256(load_block()).digest()

    def signed(value: bytes) -> bytes:
        r, s = decode_dss_signature(EC_256.sign(value, ec.ECDSA(Prehashed(hashes.SHA256()))))
        return dap(VERIFIER, r.to_bytes(32, "big") + s.to_bytes(32, "big"))

    other = hashlib.sha256(load_block(b"another bundle")).digest()
    assert manager.load_package(prefix=signed(other), domain=VERIFIER) == "6982"
    assert manager.load_package(prefix=signed(digest), domain=VERIFIER) == "9000"


def test_a_dap_of_another_package_is_refused(card: Card) -> None:
    manager = Manager(card)
    manager.install_domain(VERIFIER, b"\xc0")
    SIGNERS[0].put(Manager(card, VERIFIER), 0x73)
    other = hashlib.sha256(load_block(b"another bundle")).digest()
    prefix = dap(VERIFIER, SIGNERS[0].sign(other))
    assert manager.load_package(prefix=prefix, domain=VERIFIER) == "6982"


@pytest.fixture
def delegate(card: Card) -> Manager:
    manager = Manager(card)
    assert manager.install_domain(DELEGATE, b"\xa0") == "9000"
    own = Manager(card, DELEGATE)
    keys = StaticKeys.same(bytes([9] * 16))
    assert own.put_keys(1, keys).sw == 0x9000
    return Manager(card, DELEGATE, keys)


def token(signer: Signer, p1: int, data: bytes, p2: int = 0) -> bytes:
    length = bytes((len(data),)) if len(data) < 256 else b"\0" + len(data).to_bytes(2, "big")
    return signer.sign(bytes((p1, p2)) + length + data)


def receipt(answer: bytes) -> tuple[bytes, bytes]:
    """Return the receipt and the confirmation data of a response."""
    cursor = Cursor(answer)
    body = cursor.take(cursor.length())
    assert cursor.at_end
    cursor = Cursor(body)
    signed = cursor.take(cursor.length())
    return signed, cursor.rest


def send_chained(manager: Manager, p1: int, data: bytes) -> tuple[int, bytes]:
    while len(data) > 200:
        assert manager.sw(f"80E6{p1 | 0x80:02X}00", data[:200]) == "9000"
        data = data[200:]
    response = manager.send(f"80E6{p1:02X}00", data)
    return response.sw, response.data


@signers
def test_a_delegate_loads_installs_extradites_and_deletes_with_tokens(
    card: Card, delegate: Manager, signer: Signer
) -> None:
    manager = Manager(card)
    signer.put(manager, 0x70)
    Signer("aes").put(manager, 0x71)
    block = load_block()

    def install(p1: int, *fields: bytes) -> tuple[int, bytes]:
        data = encode_lv(*fields)
        return send_chained(delegate, p1, data + encode_lv(token(signer, p1, data)))

    load = (PACKAGE, DELEGATE, hashlib.sha256(block).digest(), b"")
    assert send_chained(delegate, 2, encode_lv(*load, b""))[0] == 0x6985
    wrong = encode_lv(*load)
    assert send_chained(delegate, 2, wrong + encode_lv(token(signer, 4, wrong)))[0] == 0x6982
    assert install(2, *load)[0] == 0x9000
    data = b"\xc4" + encode_length(len(block)) + block
    half = len(data) // 2
    assert delegate.ok("80E80000", data[:half]) == b"\0"
    signed, confirmation = receipt(delegate.ok("80E88001", data[half:]))
    assert confirmation[:3] == b"\x02\x00\x01"
    assert signed == cmac(AES_KEY, confirmation + encode_lv(PACKAGE, DELEGATE))

    sw, answer = install(0x0C, PACKAGE, MODULE, APPLET, b"\0", b"\xc9\x00")
    signed, confirmation = receipt(answer)
    assert sw == 0x9000
    assert signed == cmac(AES_KEY, confirmation + encode_lv(PACKAGE, APPLET))

    sw, answer = install(0x10, ISSUER, b"", APPLET, b"", b"")
    assert sw == 0x9000
    signed, confirmation = receipt(answer)
    assert signed == cmac(AES_KEY, confirmation + encode_lv(DELEGATE, APPLET, ISSUER))

    named = Tlv(0x4F, PACKAGE).encode()
    with_token = named + Tlv(0x9E, token(signer, 0, named)).encode()
    assert manager.sw("80E40000", Tlv(0x4F, APPLET).encode()) == "9000"
    assert delegate.sw("80E40000", named) == "6985"
    data = with_token
    while len(data) > 200:
        assert delegate.sw("80E48000", data[:200]) == "9000"
        data = data[200:]
    signed, confirmation = receipt(delegate.ok("80E40000", data))
    assert signed == cmac(AES_KEY, confirmation + encode_lv(PACKAGE))
    assert manager.ok("80CA00C2")[2:] == confirmation[1:3] == b"\x00\x04"


@pytest.mark.parametrize("digest", [hashes.SHA1(), hashes.SHA512(), hashes.SHA256()])
def test_a_token_is_not_padded_with_another_hash(
    card: Card, delegate: Manager, digest: hashes.HashAlgorithm
) -> None:
    Signer("rsa2048").put(Manager(card), 0x70)
    fields = encode_lv(PACKAGE, DELEGATE, hashlib.sha256(load_block()).digest(), b"")
    message = bytes((2, 0, len(fields))) + fields
    pss = padding.PSS(padding.MGF1(digest), digest.digest_size)
    signed = encode_lv(RSA_2048.sign(message, pss, digest))
    sw, _ = send_chained(delegate, 2, fields + signed)
    assert sw == (0x9000 if digest.name == "sha256" else 0x6982)


def test_an_ec_token_binds_the_whole_command_and_not_its_beginning(
    card: Card, delegate: Manager
) -> None:
    """A library that gives ECDSA the message for the hash signs its first 32 bytes alone."""
    Signer("ec256").put(Manager(card), 0x70)
    fields = encode_lv(PACKAGE, DELEGATE, hashlib.sha256(load_block()).digest(), b"")
    first = (bytes((2, 0, len(fields))) + fields)[:32]
    r, s = decode_dss_signature(EC_256.sign(first, ec.ECDSA(Prehashed(hashes.SHA256()))))
    signed = encode_lv(r.to_bytes(32, "big") + s.to_bytes(32, "big"))
    assert send_chained(delegate, 2, fields + signed)[0] == 0x6982


def test_the_receipt_of_a_registry_update_binds_what_was_updated(
    card: Card, delegate: Manager
) -> None:
    signer, manager = Signer("aes"), Manager(card)
    signer.put(manager, 0x70)
    signer.put(manager, 0x71)
    assert manager.load_package(domain=DELEGATE) == "9000"
    assert manager.install(APPLET) == "9000"
    updates = (
        (DELEGATE, (b"", b"", APPLET, b"\x00", b"")),
        (DELEGATE, (b"", b"", APPLET, b"", bytes.fromhex("EF03CF0141"))),
        (DELEGATE, (ISSUER, b"", APPLET, b"", b"")),
    )
    for before, values in updates:
        fields = encode_lv(*values)
        data = fields + encode_lv(token(signer, 0x40, fields))
        signed, confirmation = receipt(delegate.ok("80E64000", data))
        new, _, aid, privileges, parameters = values
        about = encode_lv(before, aid, new, privileges, parameters)
        assert signed == cmac(AES_KEY, confirmation + about)


def test_a_receipt_may_be_signed_on_an_elliptic_curve(card: Card, delegate: Manager) -> None:
    manager = Manager(card)
    Signer("aes").put(manager, 0x70)
    session = manager.client.session
    assert session is not None
    scalar = EC_256.private_numbers().private_value.to_bytes(32, "big")
    data = b"\x71\xb1\x20" + encrypt_key(session.dek, scalar) + b"\xf0\x01\x00\x00"
    assert manager.sw("80D80001", data) == "9000"
    assert manager.load_package() == "9000"
    fields = encode_lv(PACKAGE, MODULE, APPLET, b"\0", b"\xc9\x00")
    full = fields + encode_lv(token(Signer("aes"), 0x0C, fields))
    signed, confirmation = receipt(delegate.ok("80E60C00", full))
    r, s = int.from_bytes(signed[:32], "big"), int.from_bytes(signed[32:], "big")
    EC_256.public_key().verify(
        encode_dss_signature(r, s),
        confirmation + encode_lv(PACKAGE, APPLET),
        ec.ECDSA(hashes.SHA256()),
    )


def test_without_keys_for_tokens_nothing_is_delegated(card: Card, delegate: Manager) -> None:
    fields = encode_lv(PACKAGE, DELEGATE, bytes(32), b"")
    assert delegate.sw("80E60200", fields + encode_lv(b"token")) == "6985"


@pytest.mark.parametrize("private", [RSA_1024, RSA_2048], ids=["rsa1024", "rsa2048"])
def test_a_receipt_may_be_signed_with_rsa(
    card: Card, delegate: Manager, private: rsa.RSAPrivateKey
) -> None:
    manager = Manager(card)
    Signer("aes").put(manager, 0x70)
    session = manager.client.session
    assert session is not None
    size = private.key_size // 8
    numbers = private.private_numbers()
    data = b"\x71"
    for kind, value in ((0xA2, numbers.public_numbers.n), (0xA3, numbers.d)):
        secret = encrypt_key(session.dek, value.to_bytes(size, "big"))
        length = b"\x80" if size == 128 else encode_length(size)
        data += bytes((kind,)) + length + secret
    data += b"\0"
    while len(data) > 200:
        assert manager.sw("80D88001", data[:200]) == "9000"
        data = data[200:]
    assert manager.sw("80D80001", data) == "9000"
    assert manager.load_package() == "9000"
    fields = encode_lv(PACKAGE, MODULE, APPLET, b"\0", b"\xc9\x00")
    full = fields + encode_lv(token(Signer("aes"), 0x0C, fields))
    signed, confirmation = receipt(delegate.ok("80E60C00", full))
    message = confirmation + encode_lv(PACKAGE, APPLET)
    if size == 128:
        private.public_key().verify(signed, message, padding.PKCS1v15(), hashes.SHA1())
    else:
        pss = padding.PSS(padding.MGF1(hashes.SHA256()), 32)
        private.public_key().verify(signed, message, pss, hashes.SHA256())


def test_numbers_that_are_no_rsa_key_are_refused(card: Card) -> None:
    manager = Manager(card)
    session = manager.client.session
    assert session is not None
    secret = encrypt_key(session.dek, bytes([7] * 64))
    data = b"\x71" + b"".join(bytes((kind, 64)) + secret for kind in (0xA2, 0xA3)) + b"\0"
    assert manager.sw("80D80001", data) == "6A80"
