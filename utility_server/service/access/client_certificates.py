# SPDX-License-Identifier: Apache-2.0
"""Certificates with which systems ask, in the place of keys: registered one by one.

    fingerprint     SHA-256 of the certificate (DER): what a certificate is known by
    certificate     as it was registered; its issuer, subject and names say nothing to us

A certificate counts while it is on record, not withdrawn and within its time. Whoever issued it
does not matter: another one of the same issuer, with the same names or even the same key, is
another certificate. That its holder has the private key, TLS has shown (`tls_clients`).
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    SECP384R1,
    EllipticCurvePublicKey,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID, ObjectIdentifier
from sqlalchemy import Engine, Row, insert, select

from utility_server.database import client_certificate_table as table
from utility_server.database import hub_certificate_table, reading, writing
from utility_server.errors import AccessProblem
from utility_server.service.access.roles import Principal, Role, roles_text, stored_roles
from utility_server.service.access.systems import end_row, find_row, require_system

LARGEST: Final = 1 << 14
LEAST_RSA_BITS: Final = 2048
_NETSCAPE_TYPE: Final = ObjectIdentifier("2.16.840.1.113730.1.1")


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """A system's certificate as it is on record."""

    fingerprint: str
    """SHA-256 of `certificate`, in hex."""
    name: str
    roles: frozenset[Role]
    registered: int
    begins: int
    expires: int
    """From when on it counts no more."""
    withdrawn: int
    """When it was withdrawn; 0: it was not."""
    certificate: bytes = field(repr=False)
    """DER."""

    def holds(self, now: int) -> bool:
        """Tell whether it counts at a time."""
        return not self.withdrawn and self.begins <= now < self.expires


@dataclass(frozen=True, slots=True)
class ClientCertificates:
    """The certificates of one utility's systems."""

    engine: Engine
    now: Callable[[], int] = field(repr=False)

    def register(
        self, name: str, roles: frozenset[Role], certificate: x509.Certificate
    ) -> ClientCertificate:
        """Let a certificate count, until it ends; return what is on record.

        Raises `AccessProblem` for one that cannot be a system's, is a hub's, or is on record.
        """
        require_system("a certificate", name, roles)
        now = self.now()
        require_client(certificate, now)
        der = certificate.public_bytes(Encoding.DER)
        made = ClientCertificate(
            sha256(der).hexdigest(),
            name,
            roles,
            now,
            _seconds(certificate.not_valid_before_utc),
            _seconds(certificate.not_valid_after_utc),
            0,
            der,
        )
        hubs = select(hub_certificate_table.c.serial).where(
            hub_certificate_table.c.certificate == der
        )
        known = select(table.c.fingerprint).where(table.c.fingerprint == made.fingerprint)
        with writing(self.engine, made.fingerprint.encode()) as connection:
            # One door each: what lets a hub in lets no system in.
            if connection.execute(hubs).first() is not None:
                raise AccessProblem("this is the certificate of a hub, and of no system")
            # One that was withdrawn stays so: it may be in wrong hands.
            if connection.execute(known).first() is not None:
                raise AccessProblem("this certificate is on record already")
            connection.execute(
                insert(table).values(
                    fingerprint=made.fingerprint,
                    name=name,
                    roles=roles_text(roles),
                    registered=now,
                    begins=made.begins,
                    expires=made.expires,
                    withdrawn=0,
                    certificate=der,
                )
            )
        return made

    def all(self) -> list[ClientCertificate]:
        """Return all, the oldest first."""
        query = select(table).order_by(table.c.registered, table.c.fingerprint)
        with reading(self.engine) as connection:
            return [_kept(row) for row in connection.execute(query)]

    def withdraw(self, fingerprint: str) -> ClientCertificate:
        """Let a certificate count no more, from the next request on; again changes nothing.

        Raises `AccessProblem` where there is none.
        """
        key, withdrawn = table.c.fingerprint, table.c.withdrawn
        row = end_row(self.engine, key, fingerprint, withdrawn, self.now())
        if row is None:
            raise AccessProblem("there is no certificate of that fingerprint")
        return _kept(row)

    def find(self, der: bytes) -> Principal | None:
        """Return whose certificate a client has shown in TLS; None where it does not count."""
        fingerprint = sha256(der).hexdigest()
        row = find_row(self.engine, table.c.fingerprint, fingerprint)
        if row is None:
            return None
        known = _kept(row)
        if known.certificate != der or not known.holds(self.now()):
            return None
        return Principal("certificate", fingerprint, known.roles)


def read_certificate(data: bytes) -> x509.Certificate:
    """Return the one certificate in a file (PEM); raise `AccessProblem` for anything else."""
    try:
        if len(data) > LARGEST:
            raise ValueError
        if b"PRIVATE KEY" in data:
            raise AccessProblem("a private key is in it: say the certificate alone")
        [certificate] = x509.load_pem_x509_certificates(data)
    except ValueError:
        raise AccessProblem("not one certificate (PEM)") from None
    return certificate


def require_client(certificate: x509.Certificate, now: int) -> None:
    """Raise `AccessProblem` for a certificate that no system can use, or that lets in others."""
    if not _seconds(certificate.not_valid_before_utc) <= now:
        raise AccessProblem("the certificate does not count yet")
    if _seconds(certificate.not_valid_after_utc) <= now:
        raise AccessProblem("the certificate has ended")
    try:
        require_key(certificate.public_key())
        extensions = certificate.extensions
    except (ValueError, UnsupportedAlgorithm):
        raise AccessProblem("the certificate cannot be read") from None
    if _vouches(certificate, extensions):
        # In the trust of TLS it would vouch for others.
        raise AccessProblem("the certificate is an authority's, and no system's")
    for extension in extensions:
        value = extension.value
        if (
            isinstance(value, x509.ExtendedKeyUsage)
            and ExtendedKeyUsageOID.CLIENT_AUTH not in value
        ):
            raise AccessProblem("the certificate is not for clients (extended key usage)")


def _vouches(certificate: x509.Certificate, extensions: x509.Extensions) -> bool:
    """Tell whether OpenSSL takes a certificate for an authority's (`X509_check_ca`)."""
    values = {extension.oid: extension.value for extension in extensions}
    constraints = values.get(ExtensionOID.BASIC_CONSTRAINTS)
    if isinstance(constraints, x509.BasicConstraints):
        return constraints.ca
    # Without it, older means say so: the first version, the key's usage, Netscape's type.
    is_root = certificate.subject == certificate.issuer
    if certificate.version is x509.Version.v1 and is_root:
        return True
    usage = values.get(ExtensionOID.KEY_USAGE)
    is_signer = isinstance(usage, x509.KeyUsage) and usage.key_cert_sign
    return is_signer or _NETSCAPE_TYPE in values


def require_key(key: object) -> None:
    """Raise `AccessProblem` for a public key of another kind than these."""
    match key:
        case EllipticCurvePublicKey() if isinstance(key.curve, (SECP256R1, SECP384R1)):
            return
        case RSAPublicKey() if key.key_size >= LEAST_RSA_BITS:
            return
        case Ed25519PublicKey():
            return
    raise AccessProblem(
        f"the key is not ECDSA on P-256 or P-384, Ed25519, or RSA of {LEAST_RSA_BITS} bits"
    )


def _seconds(moment: datetime) -> int:
    return int(moment.astimezone(UTC).timestamp())


def _kept(row: Row[tuple[object, ...]]) -> ClientCertificate:
    return ClientCertificate(
        row.fingerprint,
        row.name,
        stored_roles(row.roles),
        row.registered,
        row.begins,
        row.expires,
        row.withdrawn,
        bytes(row.certificate),
    )
