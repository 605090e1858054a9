# SPDX-License-Identifier: Apache-2.0
"""Certificates of systems, made by whoever likes, and requests that show them."""

import http.client
import json
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePrivateKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.support.waiting import PATIENCE


@dataclass(frozen=True)
class Identity:
    """A certificate and its key, in files."""

    certificate: x509.Certificate
    key: EllipticCurvePrivateKey
    folder: Path

    @property
    def files(self) -> tuple[Path, Path]:
        return self.folder / "client.pem", self.folder / "client.key"

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(Encoding.DER)


def name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def identity(
    folder: Path,
    subject: str = "bank",
    *,
    issuer: Identity | None = None,
    key: EllipticCurvePrivateKey | None = None,
    begins: timedelta = timedelta(hours=-1),
    ends: timedelta = timedelta(days=30),
    usages: Sequence[x509.ObjectIdentifier] = (ExtendedKeyUsageOID.CLIENT_AUTH,),
    is_authority: bool | None = None,
) -> Identity:
    """Make a key and a certificate: self-signed, or by another's key."""
    key = key or generate_private_key(SECP256R1())
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + begins)
        .not_valid_after(now + ends)
        .subject_name(name(subject))
        .issuer_name(name(subject) if issuer is None else issuer.certificate.subject)
        .public_key(key.public_key())
    )
    if usages:
        builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=True)
    if is_authority is not None:
        builder = builder.add_extension(x509.BasicConstraints(is_authority, None), critical=True)
    signed = builder.sign(key if issuer is None else issuer.key, SHA256())
    return written(folder, signed, key)


def written(folder: Path, certificate: x509.Certificate, key: EllipticCurvePrivateKey) -> Identity:
    folder.mkdir(parents=True, exist_ok=True)
    made = Identity(certificate, key, folder)
    made.files[0].write_bytes(certificate.public_bytes(Encoding.PEM))
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    made.files[1].write_bytes(pem)
    return made


def signing_request(key: EllipticCurvePrivateKey, subject: str = "whatever") -> bytes:
    request = x509.CertificateSigningRequestBuilder().subject_name(name(subject))
    return request.sign(key, SHA256()).public_bytes(Encoding.PEM)


class Line:
    """A kept connection of a client to the service."""

    def __init__(self, port: int, trust: Path, shown: Identity | None) -> None:
        context = ssl.create_default_context(cafile=str(trust))
        if shown is not None:
            context.load_cert_chain(*shown.files)
        self._line = http.client.HTTPSConnection(
            "localhost", port, timeout=PATIENCE, context=context
        )

    def ask(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str] | None = None,
        body: Any = None,
    ) -> tuple[int, Any, dict[str, str]]:
        """Return status, body and header fields; raises `OSError` where TLS refuses."""
        data = None if body is None else json.dumps(body)
        more = {"Content-Type": "application/json"} if body is not None else {}
        try:
            self._line.request(method, path, data, {**more, **(headers or {})})
            answer = self._line.getresponse()
            text = answer.read()
        except http.client.HTTPException as error:  # hung up without an answer
            raise ConnectionError(str(error)) from None
        fields = {key.lower(): value for key, value in answer.getheaders()}
        return answer.status, json.loads(text) if text else None, fields

    def close(self) -> None:
        self._line.close()
