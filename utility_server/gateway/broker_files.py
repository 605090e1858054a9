# SPDX-License-Identifier: Apache-2.0
"""The files of Mosquitto, as the broker that wakes hubs, and who is shut out of it.

    mosquitto.conf, acl      settings and rules of access; what somebody changes in them stays
    broker.pem, broker.key   the broker's certificate and key, of the authority that hubs know
    ca.pem                   that authority's certificate
    crl.pem                  the certificates that were withdrawn, as the authority signs it
    mosquitto.pid            the broker's process, while it runs

A broker knows of a withdrawal by `crl.pem` alone, and reads it at its start and on SIGHUP. Whoever
is connected then stays so, until somebody else connects for the meter: it has one connection
(`withdrawn_keys`).

Errors: StoreError
"""

import os
import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from cryptography import x509

from protocols.remote_admin.wake import TOPICS
from utility_server.durable import replace_file
from utility_server.errors import StoreError
from utility_server.folders import alone_in
from utility_server.gateway.certificates import WAKER, CertificateAuthority
from utility_server.processes import handles, runs_with

CRL_FILE: Final = "crl.pem"
SETTINGS_FILE: Final = "mosquitto.conf"
RULES_FILE: Final = "acl"
PROCESS_FILE: Final = "mosquitto.pid"
_START_SECONDS: Final = 5.0
_NEEDED: Final = (
    "crlfile {folder}/crl.pem",
    "use_username_as_clientid true",
    "pid_file {folder}/mosquitto.pid",
)
"""Lines without which withdrawn keys are not shut out; files from before have them not."""
_SETTINGS: Final = """\
# Mosquitto, as the broker that wakes hubs. It speaks TLS alone, and asks for certificates of the
# authority that hubs know.
per_listener_settings false
persistence false
allow_anonymous false
allow_zero_length_clientid true
max_packet_size 1024
max_queued_messages 10
pid_file {folder}/mosquitto.pid
acl_file {folder}/acl
listener {listener}
cafile {folder}/ca.pem
certfile {folder}/broker.pem
keyfile {folder}/broker.key
tls_version tlsv1.3
require_certificate true
use_identity_as_username true
# Withdrawn certificates are shut out. It is read again on SIGHUP.
crlfile {folder}/crl.pem
# A meter has one connection: a second one ends the first.
use_username_as_clientid true
"""
_RULES: Final = f"""\
# A hub hears the topic of the meter in its certificate, and publishes nothing.
pattern read {TOPICS}%u

# The gateway wakes hubs, and hears nothing.
user {WAKER}
topic write {TOPICS}+
"""


@dataclass(frozen=True, slots=True)
class BrokerFiles:
    """A folder with what a broker needs."""

    folder: Path
    """Absolute: the broker is told of its files by these names."""

    @property
    def settings(self) -> Path:
        """What the broker is started with."""
        return self.folder / SETTINGS_FILE

    @property
    def is_there(self) -> bool:
        """Whether the folder has a broker's files."""
        return (self.folder / "broker.key").exists()

    def write(
        self, authority: CertificateAuthority, names: Sequence[str], listener: str, more: str = ""
    ) -> bool:
        """Write what is missing or ends soon; return whether the broker's certificate is new.

        `listener` is a port, or a port and the address to listen at. `more` goes before all
        settings. The folder must be new, or a broker's. Raises `StoreError`.
        """
        try:
            if not self.is_there:
                self.folder.mkdir(parents=True, mode=0o755)
            before = self._certificate()
            files = self.folder / "broker.pem", self.folder / "broker.key"
            authority.own_files(*files, names[0][:64], names)
            (self.folder / "ca.pem").write_bytes(authority.certificate_file.read_bytes())
            self.renew(authority)
            rules = self.folder / RULES_FILE
            if not rules.exists():
                rules.write_text(_RULES)
                rules.chmod(0o600)  # Mosquitto wants its rules to be nobody else's
            if not self.settings.exists():
                text = _SETTINGS.format(folder=self.folder, listener=listener)
                self.settings.write_text(more + text)
        except FileExistsError:
            raise StoreError(f"{self.folder}: exists already, and is no broker's folder") from None
        except OSError as error:
            raise StoreError(f"{error.filename or self.folder}: {error.strerror}") from None
        return before != self._certificate()

    def missing_settings(self) -> list[str]:
        """Return the lines that shut withdrawn keys out and are not in the settings."""
        try:
            lines = [line.strip() for line in self.settings.read_text().splitlines()]
        except (OSError, UnicodeDecodeError):
            lines = []
        known = {line.split()[0] for line in lines if line}
        # Another place for the list is somebody's own choice.
        return [line.format(folder=self.folder) for line in _NEEDED if line.split()[0] not in known]

    def renew(self, authority: CertificateAuthority) -> frozenset[bytes] | None:
        """Write the list of withdrawn certificates where it has changed.

        Return the serial numbers that are new in it; None where it is as it was. Raises
        `StoreError` where it cannot be written.
        """
        path = self.folder / CRL_FILE
        with alone_in(self.folder):
            withdrawn = authority.withdrawn()
            before = _read_list(path, authority)
            listed = None if before is None else {_serial(one) for one in before}
            if listed == set(withdrawn):
                return None
            after = None if before is None else _begin(before)
            # The broker never reads half a list.
            replace_file(path, authority.revocation_list(withdrawn, after), 0o644)
        return frozenset(withdrawn) - (listed or set())

    @property
    def process(self) -> int | None:
        """The process id of the broker; None where it does not run on this machine."""
        try:
            number = int((self.folder / PROCESS_FILE).read_text())
        except (OSError, ValueError):
            return None
        # Whatever else has that number by now is not signalled.
        return number if number > 1 and runs_with(number, self.settings) else None

    def reload(self) -> bool:
        """Have the broker read list, rules and certificate again; return whether it was told."""
        deadline = time.monotonic() + _START_SECONDS
        while (process := self.process) is not None:
            # SIGHUP would end a broker that is only starting; it may have read the list already.
            if handles(process, signal.SIGHUP):
                try:
                    os.kill(process, signal.SIGHUP)
                except OSError:  # it has ended, or is another user's
                    return False
                return True
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.02)
        return False

    def _certificate(self) -> bytes:
        with suppress(FileNotFoundError):
            return (self.folder / "broker.pem").read_bytes()
        return b""


def _read_list(
    path: Path, authority: CertificateAuthority
) -> x509.CertificateRevocationList | None:
    """Return the list in a file; None where there is none of this authority."""
    _, issuer = authority.open()
    try:
        found = x509.load_pem_x509_crl(path.read_bytes())
        key = issuer.public_key()
        is_own = found.issuer == issuer.subject and found.is_signature_valid(key)  # type: ignore[arg-type]
    except (OSError, ValueError, TypeError):
        return None
    return found if is_own else None


def _serial(one: x509.RevokedCertificate) -> bytes:
    return one.serial_number.to_bytes(16, "big")


def _begin(found: x509.CertificateRevocationList) -> datetime:
    return found.last_update_utc
