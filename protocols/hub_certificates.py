# SPDX-License-Identifier: Apache-2.0
"""The certificate with which a hub dials a recipient's server: how it is asked for, what is in it.

    request      COSE_Sign1 by the meter's certifier: [meter, PKCS #10 (DER), announcements]
    certificate  X.509: subject CN = the meter's identification in hex, key usage clientAuth

The recipient knows the certifier's key from the enrolment. So it issues a certificate to the hub
whose certifier signed the request, and to nobody else who knows the meter's number. The PKCS #10
shows that whoever asks holds the new key. `announcements` lead from the certifier's first key to
the one that signed (`protocols.metrology.key_chain`).

The next certificate is asked for over the dialled connection, as RFC 7030 (EST), 4.2.2, has it:

    POST RENEWAL_PATH   application/pkcs10, base64    -->   200 application/pkcs7-mime, base64

Errors: HubCertificateError
"""

import base64
import binascii
from dataclasses import dataclass
from typing import Final, Self

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey as PublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7
from cryptography.x509.oid import NameOID

from protocols.canonical.cbor import CborError, decode, encode
from protocols.canonical.cose import CoseRefused, SignedParts
from protocols.canonical.signing import key_id_of, sign_document, verify_document
from protocols.metrology.key_chain import (
    ChainRefused,
    KeyAnnouncement,
    KeyChain,
    MalformedAnnouncement,
    decode_announcements,
    encode_announcements,
)

CONTENT_TYPE: Final = "application/vnd.meterlet.hub-certificate-request+cbor"
RENEWAL_PATH: Final = "/.well-known/est/simplereenroll"
RENEWAL_REQUEST: Final = "application/pkcs10"
RENEWAL_ANSWER: Final = "application/pkcs7-mime"
LARGEST_REQUEST: Final = 1 << 14
LONGEST_METER: Final = 32


class HubCertificateError(ValueError):
    """A request or a certificate is not one, or not of whom it should be."""


def make_signing_request(meter: bytes, key: EllipticCurvePrivateKey) -> bytes:
    """Return the PKCS #10 (DER) for a meter's certificate, signed with the key it is for."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject_of(meter))
    return builder.sign(key, SHA256()).public_bytes(Encoding.DER)


def read_signing_request(request: bytes, meter: bytes) -> PublicKey:
    """Return the key in a PKCS #10 (DER); raise `HubCertificateError` unless it is the meter's."""
    try:
        parsed = x509.load_der_x509_csr(request)
        is_signed = parsed.is_signature_valid
        key = parsed.public_key()
        name = meter_named(parsed.subject)
    except HubCertificateError:
        raise
    except Exception:  # noqa: BLE001 - of whatever kind the parser says it
        raise HubCertificateError("not a PKCS #10 request") from None
    if not is_signed:
        raise HubCertificateError("the request is not signed with its own key")
    if not isinstance(key, PublicKey) or not isinstance(key.curve, SECP256R1):
        raise HubCertificateError("the key is not one on the curve P-256")
    if name != meter:
        raise HubCertificateError(f"the request is for meter {name.hex()}, not {meter.hex()}")
    return key


def subject_of(meter: bytes) -> x509.Name:
    """Return the subject of a meter's certificate."""
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, meter.hex())])


def meter_named(subject: x509.Name) -> bytes:
    """Return the meter in a certificate's subject; raise `HubCertificateError` if it has none."""
    names = list(subject)
    if len(names) != 1 or names[0].oid != NameOID.COMMON_NAME:
        raise HubCertificateError("the subject is not a meter's identification alone")
    text = names[0].value
    if not isinstance(text, str) or len(text) > 2 * LONGEST_METER or text != text.lower():
        raise HubCertificateError("the subject is not a meter's identification in hex")
    try:
        meter = bytes.fromhex(text)
    except ValueError:
        meter = b""
    if not meter or meter.hex() != text:
        raise HubCertificateError("the subject is not a meter's identification in hex")
    return meter


@dataclass(frozen=True, slots=True)
class CertificateRequest:
    """What a hub asks for, as it was signed by its meter's certifier."""

    meter: bytes
    signing_request: bytes
    """PKCS #10, DER."""
    announcements: tuple[KeyAnnouncement, ...] = ()

    def signed(self, certifier: Ed25519PrivateKey) -> bytes:
        """Return the request's bytes, signed with the certifier's key of now."""
        payload = encode(
            [self.meter, self.signing_request, encode_announcements(self.announcements)]
        )
        return sign_document(payload, CONTENT_TYPE, certifier, key_id_of(certifier.public_key()))

    @classmethod
    def read(cls, document: bytes) -> Self:
        """Return what a request says, unverified: `verify` follows, once its meter is known."""
        if len(document) > LARGEST_REQUEST:
            raise HubCertificateError(f"{len(document)} bytes are too many for a request")
        try:
            match decode(SignedParts.decode(document, CONTENT_TYPE).payload):
                case [bytes(meter), bytes(request), bytes(announced)]:
                    pass
                case _:
                    raise HubCertificateError("not the parts of a request")
            announcements = decode_announcements(announced)
        except (CoseRefused, CborError, MalformedAnnouncement) as error:
            raise HubCertificateError(str(error)) from None
        if not 1 <= len(meter) <= LONGEST_METER:
            raise HubCertificateError(f"a meter's identification has 1 to {LONGEST_METER} bytes")
        return cls(meter, request, announcements)

    def verify(self, document: bytes, certifier: bytes) -> PublicKey:
        """Return the key that the certificate is for.

        `certifier` is the first public key of the meter's certifier, from the enrolment. Raises
        `HubCertificateError` where somebody else has signed, or for something else.
        """
        try:
            chain = KeyChain(self.meter, certifier, self.announcements)
            verify_document(
                document, CONTENT_TYPE, Ed25519PublicKey.from_public_bytes(chain.current)
            )
        except (ChainRefused, CoseRefused) as error:
            raise HubCertificateError(f"meter {self.meter.hex()}: {error}") from None
        return read_signing_request(self.signing_request, self.meter)


def is_renewal_due(issued: int, ends: int, now: int) -> bool:
    """Whether a certificate's last third has begun: then the next one may be asked for."""
    return 3 * (ends - now) < ends - issued


def encode_renewal(signing_request: bytes) -> bytes:
    """Return the body that asks for the next certificate."""
    return base64.b64encode(signing_request)


def decode_renewal(body: bytes) -> bytes:
    """Return the PKCS #10 (DER) in a body; raise `HubCertificateError` for anything else."""
    return _base64(body)


def encode_renewed(certificate: bytes) -> bytes:
    """Return the body that brings a certificate (DER)."""
    parsed = x509.load_der_x509_certificate(certificate)
    return base64.b64encode(pkcs7.serialize_certificates([parsed], Encoding.DER))


def decode_renewed(body: bytes) -> x509.Certificate:
    """Return the one certificate in a body; raise `HubCertificateError` for anything else."""
    try:
        [certificate] = pkcs7.load_der_pkcs7_certificates(_base64(body))
    except HubCertificateError:
        raise
    except Exception:  # noqa: BLE001 - of whatever kind the parser says it
        raise HubCertificateError("not one certificate (PKCS #7)") from None
    return certificate


def _base64(body: bytes) -> bytes:
    if len(body) > LARGEST_REQUEST:
        raise HubCertificateError(f"{len(body)} bytes are too many")
    try:
        # Lines are allowed; nothing else that is not of the alphabet.
        return base64.b64decode(body.replace(b"\r", b"").replace(b"\n", b""), validate=True)
    except binascii.Error:
        raise HubCertificateError("not base64") from None
