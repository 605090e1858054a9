# SPDX-License-Identifier: Apache-2.0
"""The utility's own certificate authority: hubs' certificates, and its server's.

    keys/ca.key         signs certificates (mode 0600)
    ca.pem              its certificate: by it hubs know the server, and the server hubs
    keys/gateway.key    the server's key (mode 0600)
    gateway.pem         the server's certificate, made again when its names change or it ends soon
    keys/wake.key, wake.pem    with which the gateway goes to the broker that wakes hubs

A hub's certificate counts while it is in the database, not withdrawn and not over: one that the
key has signed and the database does not know is refused. It names one meter.

Errors: CertificateRefused, UnknownCustomer, StoreError
"""

import ipaddress
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, Protocol

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
    derive_private_key,
)
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from sqlalchemy import Engine, Row, Select, insert, select, update

from protocols.hub_certificates import (
    CertificateRequest,
    HubCertificateError,
    is_renewal_due,
    meter_named,
    read_signing_request,
    subject_of,
)
from utility_server.database import hub_certificate_table as table
from utility_server.database import reading, writing
from utility_server.durable import replace_file
from utility_server.errors import CertificateRefused, StoreError, VerificationFailed
from utility_server.folders import alone_in
from utility_server.keys import read_secret, write_secret
from utility_server.retail.certifier_keys import learn_announcements

CA_KEY: Final = "ca.key"
CA_FILE: Final = "ca.pem"
SERVER_KEY: Final = "gateway.key"
SERVER_FILE: Final = "gateway.pem"
WAKE_KEY: Final = "wake.key"
WAKE_FILE: Final = "wake.pem"
SYSTEM: Final = "system: "
"""Begins the name of each system in its certificate."""
WAKER: Final = "meterlet-gateway"
"""Whom the gateway's certificate for the broker names; no meter's identification looks so."""
HUB_DAYS: Final = 400
SERVER_DAYS: Final = 400
CA_DAYS: Final = 20 * 365
RENEW_DAYS: Final = 30
"""A server's certificate is made again so long before it ends."""
MOST_SUCCESSORS: Final = 4
"""So often a hub gets the next certificate with one key and then another."""
_BACKDATED: Final = timedelta(minutes=5)
"""For hubs whose clocks are late."""
_SERIAL_SIZE: Final = 16
_STAND_IN_SECONDS: Final = 300
_AT_ONCE: Final = 500
"""Meters that are looked up in one query."""
_ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


@dataclass(frozen=True, slots=True)
class HubCertificate:
    """A certificate that a hub was given."""

    serial: bytes
    meter: bytes
    issued: int
    ends: int
    """Until when it counts, in epoch seconds."""
    withdrawn: int
    """Since when it counts no more; 0 while it does."""
    certificate: bytes
    """DER."""

    def counts_at(self, now: int) -> bool:
        """Whether a hub may dial with it."""
        return not self.withdrawn and self.issued - 600 <= now < self.ends


def _key_of(certificate: HubCertificate) -> object:
    return x509.load_der_x509_certificate(certificate.certificate).public_key()


def _of(meter: bytes) -> Select[Any]:
    return select(table).where(table.c.meter == meter).order_by(table.c.issued, table.c.serial)


def _require_successor(current: HubCertificate, known: Sequence[HubCertificate], now: int) -> None:
    """Raise `CertificateRefused` unless a certificate may have one more successor."""
    if not any(one.serial == current.serial and one.counts_at(now) for one in known):
        raise CertificateRefused("the certificate counts no more")
    if sum(one.issued > current.issued for one in known) >= MOST_SUCCESSORS:
        raise CertificateRefused(
            "so many certificates were issued already; let `meterlet utility certify-hub` issue"
            " the next"
        )


class Certifiers(Protocol):
    """Knows who certifies which meter."""

    def certifier(self, meter: bytes) -> bytes:
        """Return a meter's certifier's first key; raise a `UtilityError` if it is not known."""
        ...


@dataclass(frozen=True, slots=True)
class CertificateAuthority:
    """What issues, withdraws and finds certificates, in the folder of whom hubs dial."""

    folder: Path
    engine: Engine
    customers: Certifiers
    now: Callable[[], int] = field(repr=False)
    randomness: Callable[[int], bytes] = field(repr=False)

    @property
    def certificate_file(self) -> Path:
        """The authority's certificate, for hubs and for the server."""
        return self.folder / CA_FILE

    def certify(self, document: bytes, days: int = HUB_DAYS) -> HubCertificate:
        """Issue the certificate that a hub has asked for; its meter must be enrolled.

        Raises `CertificateRefused` where the meter's certifier has not signed the request.
        """
        try:
            request = CertificateRequest.read(document)
        except HubCertificateError as error:
            raise CertificateRefused(f"the request: {error}") from None
        certifier = self.customers.certifier(request.meter)
        try:
            key = request.verify(document, certifier)
        except HubCertificateError as error:
            raise CertificateRefused(f"the request: {error}") from None
        with writing(self.engine) as connection:
            try:
                known = learn_announcements(connection, request.meter, request.announcements)
            except VerificationFailed as failed:
                raise CertificateRefused(f"the request: {failed.reason}") from None
        if len(known) > len(request.announcements):
            raise CertificateRefused("the request: signed with a certifier's key that has ended")
        return self._issue(request.meter, key, days)

    def renew(
        self,
        signing_request: bytes,
        meter: bytes,
        days: int = HUB_DAYS,
        current: HubCertificate | None = None,
    ) -> HubCertificate:
        """Issue the next certificate to a hub that has shown the one it has, `current`.

        Asked again for the same key, as after a lost answer, it is the same certificate. Raises
        `CertificateRefused` where `current` counts no more, or has `MOST_SUCCESSORS` already.
        """
        try:
            key = read_signing_request(signing_request, meter)
        except HubCertificateError as error:
            raise CertificateRefused(f"the request: {error}") from None
        for known in self.of(meter):
            if not known.counts_at(self.now()):
                continue
            certificate = x509.load_der_x509_certificate(known.certificate)
            if certificate.public_key() == key:
                return known
        return self._issue(meter, key, days, current)

    def renew_by(self, current: HubCertificate, signing_request: bytes) -> HubCertificate:
        """Do so for a hub that dials with `current`, once the last third of its time has begun.

        Raises `CertificateRefused` before, and where it has had so many already: a hub cannot fill
        the database with certificates.
        """
        if not is_renewal_due(current.issued, current.ends, self.now()):
            raise CertificateRefused("it is too early for another certificate")
        return self.renew(signing_request, current.meter, current=current)

    def issue_to_system(
        self, name: str, key: CertificatePublicKeyTypes, days: int
    ) -> x509.Certificate:
        """Issue the certificate of a system that asks the service; it is kept by whom it is for.

        Its subject is no meter and not the gateway, so that neither gateway nor broker takes it
        for theirs, whatever the system is called.
        """
        issuer_key, issuer = self.open()
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{SYSTEM}{name}"[:64])])
        now = self.now()
        ends = min(now + 86_400 * days, int(issuer.not_valid_after_utc.timestamp()))
        return (
            _builder(self._serial(), now, ends, subject, issuer.subject, key)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=True)
            .add_extension(_issued_by(issuer), critical=False)
            .sign(issuer_key, SHA256())
        )

    def _issue(
        self,
        meter: bytes,
        key: EllipticCurvePublicKey,
        days: int,
        current: HubCertificate | None = None,
    ) -> HubCertificate:
        issuer_key, issuer = self.open()
        serial = self._serial()
        now = self.now()
        ends = min(now + 86_400 * days, int(issuer.not_valid_after_utc.timestamp()))
        signed = (
            _builder(serial, now, ends, subject_of(meter), issuer.subject, key)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=True)
            .add_extension(_issued_by(issuer), critical=False)
            .sign(issuer_key, SHA256())
        )
        made = HubCertificate(serial, meter, now, ends, 0, signed.public_bytes(Encoding.DER))
        with writing(self.engine, meter) as connection:
            # Under the lock that a withdrawal takes: a right that has ended grants no other.
            known = [_kept(row) for row in connection.execute(_of(meter)).all()]
            if any(one.withdrawn and _key_of(one) == key for one in known):
                raise CertificateRefused(
                    "a certificate with this key was withdrawn; `meterlet hub dial-key --new-key`"
                    " makes another key"
                )
            if current is not None:
                _require_successor(current, known, now)
            connection.execute(
                insert(table).values(
                    serial=serial,
                    meter=meter,
                    issued=now,
                    ends=ends,
                    withdrawn=0,
                    certificate=made.certificate,
                )
            )
        return made

    def bundle(self, certificate: HubCertificate) -> bytes:
        """Return the file for the hub (PEM): its certificate, then the authority's."""
        parsed = x509.load_der_x509_certificate(certificate.certificate)
        return parsed.public_bytes(Encoding.PEM) + self.certificate_file.read_bytes()

    def find(self, serial: bytes) -> HubCertificate | None:
        """Return a certificate by its serial number, None where it was not issued here."""
        with reading(self.engine) as connection:
            row = connection.execute(select(table).where(table.c.serial == serial)).one_or_none()
        return None if row is None else _kept(row)

    def of(self, meter: bytes | None = None) -> list[HubCertificate]:
        """Return the certificates of a meter, or all, oldest first."""
        query = select(table).order_by(table.c.issued, table.c.serial)
        if meter is not None:
            query = query.where(table.c.meter == meter)
        with reading(self.engine) as connection:
            return [_kept(row) for row in connection.execute(query).all()]

    def withdraw(self, meter: bytes, serial: bytes | None = None) -> int:
        """Let a meter's certificates, or one of them, count no more; return how many did."""
        where = [table.c.meter == meter, table.c.withdrawn == 0]
        if serial is not None:
            where.append(table.c.serial == serial)
        with writing(self.engine, meter) as connection:
            done = connection.execute(update(table).where(*where).values(withdrawn=self.now()))
        return done.rowcount

    def who_may_dial(self, meters: Collection[bytes]) -> frozenset[bytes]:
        """Return those of some meters whose hub has a certificate that counts."""
        now, wanted = self.now(), list(meters)
        found: set[bytes] = set()
        with reading(self.engine) as connection:
            for begin in range(0, len(wanted), _AT_ONCE):
                query = select(table.c.meter).where(
                    table.c.meter.in_(wanted[begin : begin + _AT_ONCE]),
                    table.c.withdrawn == 0,
                    table.c.ends > now,
                )
                found.update(bytes(meter) for meter in connection.execute(query).scalars())
        return frozenset(found)

    def withdrawn(self) -> dict[bytes, int]:
        """Return when each certificate was withdrawn, by serial, whose time is not over.

        Nor was it a day ago: the clock of whoever is told of it may be late.
        """
        query = select(table.c.serial, table.c.withdrawn).where(
            table.c.withdrawn != 0, table.c.ends > self.now() - 86_400
        )
        with reading(self.engine) as connection:
            return {bytes(row.serial): row.withdrawn for row in connection.execute(query).all()}

    def revocation_list(
        self, withdrawn: Mapping[bytes, int], after: datetime | None = None
    ) -> bytes:
        """Return the list (X.509 CRL, PEM) of withdrawn certificates, for others' servers.

        It is later than one of `after`, unless that would be in the future: of two lists that
        OpenSSL knows it goes by the later one. It never ends before the authority does, since a
        list that has ended shuts out everybody.
        """
        key, issuer = self.open()
        now = datetime.fromtimestamp(self.now(), UTC)
        begin = now - _BACKDATED
        if after is not None:
            begin = max(begin, min(after + timedelta(seconds=1), now))
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(issuer.subject)
            .last_update(begin)
            .next_update(max(issuer.not_valid_after_utc, now + timedelta(days=1)))
            .add_extension(x509.CRLNumber(int(begin.timestamp())), critical=False)
            .add_extension(_issued_by(issuer), critical=False)
        )
        for serial, moment in sorted(withdrawn.items()):
            one = x509.RevokedCertificateBuilder().serial_number(int.from_bytes(serial, "big"))
            builder = builder.add_revoked_certificate(
                one.revocation_date(datetime.fromtimestamp(moment, UTC)).build()
            )
        return builder.sign(key, SHA256()).public_bytes(Encoding.PEM)

    def peer(self, certificate: bytes) -> HubCertificate | None:
        """Return whose certificate (DER) somebody has shown; None where it does not count.

        That the holder has its key, and that it is signed by the authority, TLS has shown.
        """
        try:
            parsed = x509.load_der_x509_certificate(certificate)
            serial = parsed.serial_number.to_bytes(_SERIAL_SIZE, "big")
            meter = meter_named(parsed.subject)
        except (ValueError, OverflowError):  # HubCertificateError is one
            return None
        kept = self.find(serial)
        is_known = kept is not None and kept.certificate == certificate and kept.meter == meter
        return kept if is_known and kept is not None and kept.counts_at(self.now()) else None

    def open(self) -> tuple[EllipticCurvePrivateKey, x509.Certificate]:
        """Return the authority's key and certificate, made at the first call ever."""
        key_file = self.folder / "keys" / CA_KEY
        with alone_in(self.folder):
            if not key_file.exists():
                self._create(key_file)
            return _read_key(key_file), _read_certificate(self.certificate_file)

    def _create(self, key_file: Path) -> None:
        key = self._new_key()
        now = self.now()
        public = key.public_key()
        identifier = x509.SubjectKeyIdentifier.from_public_key(public)
        name = x509.Name(
            [
                x509.NameAttribute(NameOID.COMMON_NAME, f"Meterlet {identifier.digest[:8].hex()}"),
            ]
        )
        ends = now + 86_400 * CA_DAYS
        usage = x509.KeyUsage(
            digital_signature=False, content_commitment=False, key_encipherment=False,
            data_encipherment=False, key_agreement=False, key_cert_sign=True, crl_sign=True,
            encipher_only=False, decipher_only=False,
        )  # fmt: skip
        certificate = (
            _builder(self._serial(), now, ends, name, name, public, path_length=0)
            .add_extension(usage, critical=True)
            .sign(key, SHA256())
        )
        # The certificate first: a key without one would never be taken up.
        replace_file(self.certificate_file, certificate.public_bytes(Encoding.PEM))
        write_secret(key_file, _pem(key))

    def server_files(self, names: Sequence[str]) -> tuple[Path, Path]:
        """Return certificate and key of a server with these names, made again where need be."""
        files = self.folder / SERVER_FILE, self.folder / "keys" / SERVER_KEY
        return self.own_files(*files, names[0][:64], names)

    def waker_files(self) -> tuple[Path, Path]:
        """Return certificate and key for the broker, made again where need be.

        It names no meter and is not in the database, so no gateway takes it for a hub's.
        """
        return self.own_files(self.folder / WAKE_FILE, self.folder / "keys" / WAKE_KEY, WAKER, ())

    def stand_in(self, meter: bytes) -> bytes:
        """Return a certificate (PEM) for our key at the broker that names a meter, for minutes.

        With it the gateway takes a meter's connection there. It is not in the database, so no
        gateway takes it for a hub's.
        """
        issuer_key, issuer = self.open()
        key = _read_key(self.waker_files()[1]).public_key()
        now = self.now()
        name = subject_of(meter)
        signed = (
            _builder(self._serial(), now, now + _STAND_IN_SECONDS, name, issuer.subject, key)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=True)
            .add_extension(_issued_by(issuer), critical=False)
            .sign(issuer_key, SHA256())
        )
        return signed.public_bytes(Encoding.PEM)

    def own_files(
        self, certificate_file: Path, key_file: Path, subject: str, names: Sequence[str]
    ) -> tuple[Path, Path]:
        """Return certificate and key of our own in these files, made again where need be.

        A server's where it has names, a client's where it has none.
        """
        issuer_key, issuer = self.open()
        with alone_in(self.folder):
            if self._is_usable(certificate_file, key_file, subject, names, issuer):
                return certificate_file, key_file
            key = self._new_key()
            now = self.now()
            ends = min(now + 86_400 * SERVER_DAYS, int(issuer.not_valid_after_utc.timestamp()))
            name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)])
            usage = ExtendedKeyUsageOID.SERVER_AUTH if names else ExtendedKeyUsageOID.CLIENT_AUTH
            builder = (
                _builder(self._serial(), now, ends, name, issuer.subject, key.public_key())
                .add_extension(x509.ExtendedKeyUsage([usage]), critical=True)
                .add_extension(_issued_by(issuer), critical=False)
            )
            if names:
                held = x509.SubjectAlternativeName([_general(one) for one in names])
                builder = builder.add_extension(held, critical=False)
            certificate = builder.sign(issuer_key, SHA256())
            key_file.unlink(missing_ok=True)
            write_secret(key_file, _pem(key))
            replace_file(certificate_file, certificate.public_bytes(Encoding.PEM))
        return certificate_file, key_file

    def _is_usable(
        self,
        file: Path,
        key_file: Path,
        subject: str,
        names: Sequence[str],
        issuer: x509.Certificate,
    ) -> bool:
        if not file.exists() or not key_file.exists():
            return False
        known, key = _read_certificate(file), _read_key(key_file)
        left = known.not_valid_after_utc - datetime.fromtimestamp(self.now(), UTC)
        try:
            found = known.extensions.get_extension_for_class(x509.SubjectAlternativeName)
            held = list(found.value)
        except x509.ExtensionNotFound:
            held = []
        return (
            known.public_key() == key.public_key()
            and known.issuer == issuer.subject
            and known.subject == x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)])
            and left > timedelta(days=RENEW_DAYS)
            and held == [_general(name) for name in names]
        )

    def _new_key(self) -> EllipticCurvePrivateKey:
        # 64 bits more than the order has: no private key is likelier than another.
        number = int.from_bytes(self.randomness(40), "big") % (_ORDER - 1) + 1
        return derive_private_key(number, SECP256R1())

    def _serial(self) -> bytes:
        serial = bytearray(self.randomness(_SERIAL_SIZE))
        serial[0] = serial[0] & 0x3F | 0x40  # positive, and always of this size
        return bytes(serial)


def _builder(
    serial: bytes,
    now: int,
    ends: int,
    subject: x509.Name,
    issuer: x509.Name,
    key: CertificatePublicKeyTypes,
    *,
    path_length: int | None = None,
) -> x509.CertificateBuilder:
    is_authority = path_length is not None
    return (
        x509.CertificateBuilder()
        .serial_number(int.from_bytes(serial, "big"))
        .not_valid_before(datetime.fromtimestamp(now, UTC) - _BACKDATED)
        .not_valid_after(datetime.fromtimestamp(ends, UTC))
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .add_extension(x509.BasicConstraints(is_authority, path_length), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _issued_by(issuer: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    identifier = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        pass
    try:
        return x509.DNSName(name)
    except ValueError:
        raise CertificateRefused(f"{name!r}: no server can have that name") from None


def _kept(row: Row[tuple[object, ...]]) -> HubCertificate:
    return HubCertificate(
        bytes(row.serial), bytes(row.meter), row.issued, row.ends, row.withdrawn,
        bytes(row.certificate),
    )  # fmt: skip


def _pem(key: EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _read_key(path: Path) -> EllipticCurvePrivateKey:
    try:
        key = load_pem_private_key(read_secret(path), None)
    except (ValueError, TypeError):
        key = None
    if not isinstance(key, EllipticCurvePrivateKey):
        raise StoreError(f"{path}: not a private key on a curve")
    return key


def _read_certificate(path: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror}") from None
    except ValueError:
        raise StoreError(f"{path}: not a certificate") from None
