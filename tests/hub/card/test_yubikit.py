# SPDX-License-Identifier: Apache-2.0
"""Yubico's library against the profile `yubikey`: SCP03, SCP11, keys, certificates, reset."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from hub.card.open import Card
from hub.card.profile import YUBIKEY
from tests.support.card import open_card

smartcard = pytest.importorskip("yubikit.core.smartcard")
scp = pytest.importorskip("yubikit.core.smartcard.scp")
domain = pytest.importorskip("yubikit.securitydomain")
TRANSPORT = pytest.importorskip("yubikit.core").TRANSPORT
KeyRef, ScpKid = scp.KeyRef, scp.ScpKid


def connection_to(card: Card, transport: Any) -> Any:
    link = card.connect()

    class Connection(smartcard.SmartCardConnection):  # type: ignore[misc,name-defined]  # untyped
        def __init__(self) -> None:
            self.transport_kind = transport

        @property
        def transport(self) -> Any:
            return self.transport_kind

        def send_and_receive(self, apdu: bytes) -> tuple[bytes, int]:
            answer = link.transmit(apdu)
            return answer[:-2], int.from_bytes(answer[-2:], "big")

        def close(self) -> None:
            link.close()

    return Connection()


@pytest.fixture
def card(tmp_path: Path) -> Iterator[Card]:
    card = open_card(tmp_path, profile=YUBIKEY)
    yield card
    card.database.close()


@pytest.fixture(params=["USB", "NFC"])
def transport(request: pytest.FixtureRequest) -> Any:
    return getattr(TRANSPORT, request.param)


def session_on(card: Card, transport: Any) -> Any:
    return domain.SecurityDomainSession(connection_to(card, transport))


def default_scp03() -> Any:
    return scp.Scp03KeyParams()


def test_a_fresh_card_tells_its_keys_and_certificates(card: Card, transport: Any) -> None:
    session = session_on(card, transport)
    assert set(session.get_key_information()) == {
        KeyRef(1, 0xFF), KeyRef(2, 0xFF), KeyRef(3, 0xFF), KeyRef(0x13, 1)
    }  # fmt: skip
    assert bytes.fromhex("2A864886FC6B040370") in session.get_card_recognition_data()
    assert bytes.fromhex("2A864886FC6B0411") in session.get_card_recognition_data()
    root, leaf = session.get_certificate_bundle(KeyRef(0x13, 1))
    leaf.verify_directly_issued_by(root)
    assert session.get_certificate_bundle(KeyRef(0x13, 2)) == []
    assert session.get_supported_ca_identifiers() == {}


def test_the_default_keys_open_scp03_and_go_with_the_first_own_ones(
    card: Card, transport: Any
) -> None:
    session = session_on(card, transport)
    session.authenticate(default_scp03())
    keys = scp.StaticKeys(bytes([1] * 16), bytes([2] * 16), bytes([3] * 16))
    session.put_key(KeyRef(1, 5), keys)
    assert KeyRef(1, 0xFF) not in session.get_key_information()
    again = session_on(card, transport)
    with pytest.raises(ValueError, match="Incorrect SCP parameters"):
        again.authenticate(default_scp03())
    again = session_on(card, transport)
    again.authenticate(scp.Scp03KeyParams(KeyRef(1, 5), keys))
    other = scp.StaticKeys(bytes([4] * 16), bytes([5] * 16), bytes([6] * 16))
    again.put_key(KeyRef(1, 2), other)
    again.delete_key(kvn=5)
    assert {key.kvn for key in again.get_key_information()} == {1, 2}  # 13/01 is still there
    again.put_key(KeyRef(1, 3), keys, 2)
    session_on(card, transport).authenticate(scp.Scp03KeyParams(KeyRef(1, 3), keys))


def test_scp11b_proves_the_card_and_may_not_manage(card: Card, transport: Any) -> None:
    session = session_on(card, transport)
    leaf = session.get_certificate_bundle(KeyRef(0x13, 1))[-1]
    session.authenticate(scp.Scp11KeyParams(KeyRef(0x13, 1), leaf.public_key()))
    assert session.get_key_information()
    with pytest.raises(smartcard.ApduError, match="6982"):
        session.delete_key(kvn=1)


def test_scp11b_notices_a_card_that_does_not_hold_the_key(card: Card, transport: Any) -> None:
    session = session_on(card, transport)
    wrong = ec.generate_private_key(ec.SECP256R1()).public_key()
    with pytest.raises(Exception, match=r"Signature did not match|Incorrect|digest"):
        session.authenticate(scp.Scp11KeyParams(KeyRef(0x13, 1), wrong))


def chain_of(length: int) -> tuple[Any, list[x509.Certificate], ec.EllipticCurvePrivateKey]:
    """Return a CA key, certificates (leaf last) and the leaf's key."""
    now = datetime.now(UTC)
    authority = ec.generate_private_key(ec.SECP256R1())
    signer, issuer = authority, "CA"
    certificates = []
    for number in range(length):
        key = ec.generate_private_key(ec.SECP256R1())
        subject = f"OCE {number}"
        certificates.append(
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .sign(signer, hashes.SHA256())
        )
        signer, issuer = key, subject
    return authority, certificates, signer


def prepared(card: Card, transport: Any, kid: int, length: int = 2) -> Any:
    """Import an OCE CA key, make an SCP11 key, and return the parameters of a host."""
    session = session_on(card, transport)
    session.authenticate(default_scp03())
    reference, oce = KeyRef(kid, 3), KeyRef(0x10, 3)
    public = session.generate_ec_key(reference)
    authority, certificates, key = chain_of(length)
    session.put_key(oce, authority.public_key())
    ski = x509.SubjectKeyIdentifier.from_public_key(authority.public_key()).digest
    session.store_ca_issuer(oce, ski)
    assert session.get_supported_ca_identifiers(kloc=True) == {oce: ski}
    assert session.get_supported_ca_identifiers(klcc=True) == {}
    return scp.Scp11KeyParams(reference, public, oce, key, certificates)


def test_scp11c_opens_a_session_and_may_not_manage(card: Card, transport: Any) -> None:
    """As on a YubiKey, and as the library's own device test expects."""
    parameters = prepared(card, transport, 0x15)
    session = session_on(card, transport)
    session.authenticate(parameters)
    assert session.get_key_information()
    with pytest.raises(smartcard.ApduError, match="6982"):
        session.put_key(KeyRef(1, 9), scp.StaticKeys(bytes([1] * 16), bytes(16), bytes(16)))
    with pytest.raises(smartcard.ApduError, match="6982"):
        session.delete_key(kid=0x15, kvn=3)


@pytest.mark.parametrize("length", [1, 2, 3])
def test_a_host_with_certificates_manages_through_scp11a(
    card: Card, transport: Any, length: int
) -> None:
    parameters = prepared(card, transport, 0x11, length)
    session = session_on(card, transport)
    session.authenticate(parameters)
    session.put_key(KeyRef(1, 9), scp.StaticKeys(bytes([1] * 16), bytes(16), bytes(16)))
    session.delete_key(kvn=9)


def test_a_host_need_not_name_the_ca_key_that_has_signed_its_certificate(
    card: Card, transport: Any
) -> None:
    """ykman sends the reference 00/00: of several CA keys the one that has signed is meant."""
    parameters = prepared(card, transport, 0x11, 3)
    session = session_on(card, transport)
    session.authenticate(default_scp03())
    another = ec.generate_private_key(ec.SECP256R1()).public_key()
    session.put_key(KeyRef(0x20, 2), another)
    unnamed = scp.Scp11KeyParams(
        parameters.ref, parameters.pk_sd_ecka, None, parameters.sk_oce_ecka, parameters.certificates
    )
    session_on(card, transport).authenticate(unnamed)
    session.store_allowlist(parameters.oce_ref, [1])
    with pytest.raises(smartcard.ApduError, match="6982"):
        session_on(card, transport).authenticate(unnamed)
    _, certificates, key = chain_of(2)
    forged = scp.Scp11KeyParams(parameters.ref, parameters.pk_sd_ecka, None, key, certificates)
    with pytest.raises(smartcard.ApduError, match="6a80"):
        session_on(card, transport).authenticate(forged)
    session.delete_key(kid=0x10, kvn=3)
    session.delete_key(kid=0x20, kvn=2)
    with pytest.raises(ValueError, match="Incorrect SCP parameters"):
        session_on(card, transport).authenticate(unnamed)


def test_a_key_that_the_card_made_comes_with_certificates_of_its_authority(
    card: Card, transport: Any
) -> None:
    root, _ = session_on(card, transport).get_certificate_bundle(KeyRef(0x13, 1))
    session = session_on(card, transport)
    session.authenticate(default_scp03())
    for kid in (0x11, 0x13, 0x15):
        reference = KeyRef(kid, 4)
        public = session.generate_ec_key(reference)
        authority, leaf = session.get_certificate_bundle(reference)
        assert authority == root
        leaf.verify_directly_issued_by(root)
        assert leaf.public_key() == public
    replaced = session.generate_ec_key(KeyRef(0x13, 5), replace_kvn=4)
    assert session.get_certificate_bundle(KeyRef(0x13, 4)) == []
    assert session.get_certificate_bundle(KeyRef(0x13, 5))[-1].public_key() == replaced
    session.put_key(KeyRef(0x13, 6), ec.generate_private_key(ec.SECP256R1()))
    assert session.get_certificate_bundle(KeyRef(0x13, 6)) == []  # a host made this one
    session.delete_key(kid=0x13, kvn=5)
    assert session.get_certificate_bundle(KeyRef(0x13, 5)) == []


def test_only_serials_of_the_allow_list_authenticate(card: Card, transport: Any) -> None:
    parameters = prepared(card, transport, 0x11)
    session = session_on(card, transport)
    session.authenticate(parameters)
    serial = parameters.certificates[-1].serial_number
    session.store_allowlist(parameters.oce_ref, [1, 2, 3])
    with pytest.raises(smartcard.ApduError, match="6982"):
        session_on(card, transport).authenticate(parameters)
    session = session_on(card, transport)
    session.authenticate(default_scp03())
    session.store_allowlist(parameters.oce_ref, [5, serial])
    session_on(card, transport).authenticate(parameters)


def test_a_host_whose_certificate_another_signed_is_refused(card: Card, transport: Any) -> None:
    parameters = prepared(card, transport, 0x11)
    _, certificates, key = chain_of(2)
    forged = scp.Scp11KeyParams(
        parameters.ref, parameters.pk_sd_ecka, parameters.oce_ref, key, certificates
    )
    with pytest.raises(smartcard.ApduError, match="6a80"):
        session_on(card, transport).authenticate(forged)


def test_keys_and_certificates_are_imported_and_removed_together(
    card: Card, transport: Any
) -> None:
    session = session_on(card, transport)
    session.authenticate(default_scp03())
    key = ec.generate_private_key(ec.SECP256R1())
    reference = KeyRef(0x13, 2)
    session.put_key(reference, key)
    _, certificates, _ = chain_of(3)
    session.store_certificate_bundle(reference, certificates)
    assert session.get_certificate_bundle(reference) == certificates
    parameters = scp.Scp11KeyParams(reference, key.public_key())
    session_on(card, transport).authenticate(parameters)
    session.delete_key(kid=0x13, kvn=2)
    assert session.get_certificate_bundle(reference) == []


def test_a_reset_brings_the_first_keys_back_and_a_new_one_for_scp11b(
    card: Card, transport: Any
) -> None:
    before = session_on(card, transport).get_certificate_bundle(KeyRef(0x13, 1))
    session = session_on(card, transport)
    session.authenticate(default_scp03())
    keys = scp.StaticKeys(bytes([1] * 16), bytes([2] * 16), bytes([3] * 16))
    session.put_key(KeyRef(1, 1), keys)
    session = session_on(card, transport)
    session.authenticate(scp.Scp03KeyParams(KeyRef(1, 1), keys))
    session.put_key(KeyRef(1, 2), keys)
    prepared_key = ec.generate_private_key(ec.SECP256R1()).public_key()
    session.put_key(KeyRef(0x10, 3), prepared_key)
    session.generate_ec_key(KeyRef(0x11, 3))
    session_on(card, transport).reset()
    session = session_on(card, transport)
    assert set(session.get_key_information()) == {
        KeyRef(1, 0xFF), KeyRef(2, 0xFF), KeyRef(3, 0xFF), KeyRef(0x13, 1)
    }  # fmt: skip
    session.authenticate(default_scp03())
    after = session.get_certificate_bundle(KeyRef(0x13, 1))
    assert len(after) == 2
    assert after != before


# yubikit does not pad a scalar of 66 bytes to blocks: SECP521R1 cannot be imported with it.
@pytest.mark.parametrize("curve", ["SECP256R1", "SECP384R1", "BrainpoolP256R1"])
def test_private_keys_of_every_curve_are_imported(card: Card, transport: Any, curve: str) -> None:
    session = session_on(card, transport)
    session.authenticate(default_scp03())
    key = ec.generate_private_key(getattr(ec, curve)())
    session.put_key(KeyRef(0x13, 2), key)
    public = session.generate_ec_key(KeyRef(0x13, 4), domain.Curve[curve.upper()
                                     if curve.startswith("SECP") else curve])  # fmt: skip
    assert public.curve.key_size == key.key_size
