# SPDX-License-Identifier: Apache-2.0
"""The key and certificate with which the hub dials a recipient: asked for, installed, renewed.

    ask        a new key is made and kept; the request is signed by the meter's certifier
    install    the certificate that came is checked against that key, and takes its place
    renew      the same over the dialled session: the key of now vouches for the next one

The key of now stays in use until a certificate for the next one is there.

Errors: RecipientError
"""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePrivateKey,
    derive_private_key,
)
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from hub.dialling.errors import NoCertificate, RecipientError
from hub.dialling.recipient import how_to_ask, recipient_folder
from hub.durable import replace_file
from hub.metering import MeteredRegister
from hub.vault.secret_file import read_secret, write_secret
from protocols.hub_certificates import (
    RENEWAL_PATH,
    RENEWAL_REQUEST,
    CertificateRequest,
    HubCertificateError,
    decode_renewed,
    encode_renewal,
    is_renewal_due,
    make_signing_request,
    meter_named,
)
from protocols.remote_admin.errors import ServerRefused
from protocols.remote_admin.http import OK_STATUS, Headers

KEY: Final = "client.key"
NEXT_KEY: Final = "client.key.next"
CERTIFICATE: Final = "client.pem"
TRUST: Final = "trust.pem"
LARGEST_BUNDLE: Final = 1 << 16
_ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def ask_for_certificate(
    hub: Path,
    name: str,
    register: MeteredRegister,
    randomness: Callable[[int], bytes],
    *,
    is_new: bool = False,
) -> bytes:
    """Return the request for a recipient's certificate; its key is made, and kept for `install`.

    Asked twice, it is the same key, unless it is to be a new one. `register` says which meter, and
    by whose key it is signed.
    """
    folder = recipient_folder(hub, name)
    if is_new:
        (folder / NEXT_KEY).unlink(missing_ok=True)
    key = _next_key(folder, randomness)
    meter, keys = register.channel.meter, register.certifier.keys
    request = CertificateRequest(meter, make_signing_request(meter, key), keys.announcements)
    return request.signed(keys.signing_key)


def ask_for_renewal(
    hub: Path, name: str, meter: bytes, randomness: Callable[[int], bytes]
) -> bytes:
    """Return the PKCS #10 (DER) for the next certificate, to be sent over the dialled session."""
    return make_signing_request(meter, _next_key(recipient_folder(hub, name), randomness))


def install_certificate(hub: Path, name: str, bundle: bytes, meter: bytes, now: int) -> int:
    """Put the certificate that a recipient has issued, and its key, in force; return when it ends.

    `bundle` is PEM: the hub's certificate first, then those by which the server is known. Raises
    `RecipientError` where it is not for the key that was made, for another meter, or over.
    """
    folder = recipient_folder(hub, name)
    certificate, trusted = _read_bundle(bundle)
    if not trusted:
        raise RecipientError("the file has no certificate by which to know the server")
    _require_for(certificate, trusted, meter, now)
    for file in (NEXT_KEY, KEY):
        path = folder / file
        if path.exists() and _read_key(path).public_key() == certificate.public_key():
            break
    else:
        raise RecipientError(f"the certificate is not for a key of this hub; {how_to_ask(name)}")
    pem = b"".join(one.public_bytes(Encoding.PEM) for one in trusted)
    _replace(folder / TRUST, pem)
    # Cut off between the two, the same file can be installed again: its key is in place by then.
    if path.name == NEXT_KEY:
        path.replace(folder / KEY)
    _replace(folder / CERTIFICATE, certificate.public_bytes(Encoding.PEM))
    return int(certificate.not_valid_after_utc.timestamp())


def renew_if_due(
    hub: Path,
    name: str,
    meter: bytes,
    request: Callable[[str, Headers, bytes], tuple[int, list[tuple[bytes, bytes]], bytes]],
    *,
    now: int,
    randomness: Callable[[int], bytes],
) -> int | None:
    """Ask for the next certificate over a dialled connection, in the last third of the one in use.

    `request` POSTs and returns what came. Returns until when the new one counts; None where it is
    too early. Raises `RecipientError` where the server will not, or sends something else.
    """
    current = _installed(hub, name)
    issued = int(current.not_valid_before_utc.timestamp())
    if not is_renewal_due(issued, int(current.not_valid_after_utc.timestamp()), now):
        return None
    body = encode_renewal(ask_for_renewal(hub, name, meter, randomness))
    headers = [(b"Content-Type", RENEWAL_REQUEST.encode())]
    status, _, answer = request(RENEWAL_PATH, headers, body)
    if status != OK_STATUS:
        raise RecipientError(f"the certificate is not renewed: {ServerRefused(status)}")
    try:
        certificate = decode_renewed(answer).public_bytes(Encoding.PEM)
    except HubCertificateError as error:
        raise RecipientError(f"the renewed certificate: {error}") from None
    trust = (recipient_folder(hub, name) / TRUST).read_bytes()
    return install_certificate(hub, name, certificate + trust, meter, now)


def ends_at(hub: Path, name: str) -> int:
    """Return until when a recipient's certificate counts; raise `RecipientError` without one."""
    return int(_installed(hub, name).not_valid_after_utc.timestamp())


def _installed(hub: Path, name: str) -> x509.Certificate:
    path = recipient_folder(hub, name) / CERTIFICATE
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except FileNotFoundError:
        raise NoCertificate(f"{path}: there is no certificate yet; {how_to_ask(name)}") from None
    except (OSError, ValueError) as error:
        raise RecipientError(f"{path}: not a certificate: {error}") from None


def _next_key(folder: Path, randomness: Callable[[int], bytes]) -> EllipticCurvePrivateKey:
    path = folder / NEXT_KEY
    if path.exists():
        return _read_key(path)
    # 64 bits more than the order has: no private key is likelier than another.
    number = int.from_bytes(randomness(40), "big") % (_ORDER - 1) + 1
    key = derive_private_key(number, SECP256R1())
    write_secret(path, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return key


def _read_key(path: Path) -> EllipticCurvePrivateKey:
    try:
        key = load_pem_private_key(read_secret(path), None)
    except (ValueError, TypeError):
        key = None
    if not isinstance(key, EllipticCurvePrivateKey):
        raise RecipientError(f"{path}: not a private key on a curve")
    return key


def _read_bundle(bundle: bytes) -> tuple[x509.Certificate, list[x509.Certificate]]:
    try:
        if len(bundle) > LARGEST_BUNDLE:
            raise ValueError
        certificate, *trusted = x509.load_pem_x509_certificates(bundle)
    except ValueError:
        raise RecipientError("not the certificates that a recipient issues (PEM)") from None
    return certificate, trusted


def _require_for(
    certificate: x509.Certificate, trusted: list[x509.Certificate], meter: bytes, now: int
) -> None:
    try:
        named = meter_named(certificate.subject)
    except HubCertificateError as error:
        raise RecipientError(f"the certificate: {error}") from None
    if named != meter:
        raise RecipientError(f"the certificate is for meter {named.hex()}, not {meter.hex()}")
    if certificate.not_valid_after_utc <= datetime.fromtimestamp(now, UTC):
        raise RecipientError("the certificate has ended")
    if not any(_has_issued(issuer, certificate) for issuer in trusted):
        raise RecipientError("the certificate is not issued by one that comes with it")


def _has_issued(issuer: x509.Certificate, certificate: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, ValueError, TypeError):
        return False
    return True


def _replace(path: Path, content: bytes) -> None:
    try:
        replace_file(path, content)
    except OSError as error:
        raise RecipientError(f"{path}: {error.strerror}") from None
