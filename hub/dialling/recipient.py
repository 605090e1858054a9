# SPDX-License-Identifier: Apache-2.0
"""Where a recipient's server is, and with which certificate the hub goes there.

    recipients/NAME/client.key     the hub's private key (PEM), mode 0600
    recipients/NAME/client.pem     its certificate, as the recipient has issued it
    recipients/NAME/trust.pem      the certificates by which the recipient's server is known
    recipients/NAME/client.key.next, request.csr     while a new certificate is asked for

Each recipient has a key and a certificate of its own, so that no two of them can tell that they
know the same hub by its key. A hand-over removes them (`hub.replacing`).
"""

import re
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self
from urllib.parse import urlsplit

from hub.dialling.errors import NoCertificate, RecipientError
from hub.replacing import RECIPIENTS

DEFAULT_PORT: Final = 443
_NAME: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class ServerAddress:
    """Where a recipient's server is."""

    host: str
    port: int

    @classmethod
    def parse(cls, url: str) -> Self:
        """Return the address in https://HOST[:PORT]; raise `RecipientError` otherwise."""
        try:
            parts = urlsplit(url)
            port = parts.port or DEFAULT_PORT
        except ValueError:
            raise RecipientError(f"{url!r}: not an address") from None
        wrong = parts.scheme != "https" or not parts.hostname or parts.username is not None
        if wrong or parts.path not in ("", "/") or parts.query or parts.fragment:
            raise RecipientError(f"{url!r}: write the server's address as https://HOST:PORT")
        assert parts.hostname is not None
        return cls(parts.hostname, port)

    @property
    def authority(self) -> str:
        """The value of the Host field."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == DEFAULT_PORT else f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"https://{self.authority}"


@dataclass(frozen=True, slots=True)
class Recipient:
    """A recipient's server, and what the hub shows there."""

    address: ServerAddress
    certificate: Path
    key: Path = field(repr=False)
    trust: Path
    name: str = ""

    def context(self) -> ssl.SSLContext:
        """Return what makes TLS 1.3 connections to the server, certificates on both sides.

        Raises `RecipientError` where a file is missing or does not fit the others.
        """
        context = self.broker_context()
        context.set_alpn_protocols(["http/1.1"])
        return context

    def broker_context(self) -> ssl.SSLContext:
        """Return the same for the recipient's broker, by which the hub is woken."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        try:
            # No system store: only whom the recipient has named.
            context.load_verify_locations(self.trust)
            context.load_cert_chain(self.certificate, self.key, password=_no_password)
        except OSError as error:  # an SSLError, too
            reason = getattr(error, "reason", None) or error.strerror or "not usable"
            raise RecipientError(f"{self.certificate.parent}: the certificate: {reason}") from None
        return context


def recipient_folder(hub: Path, name: str) -> Path:
    """Return where a hub keeps what belongs to a recipient; raise `RecipientError` for no name."""
    if not _NAME.fullmatch(name):
        raise RecipientError(
            f"{name!r}: a recipient's name has 1 to 32 small letters, digits and hyphens"
        )
    return hub / RECIPIENTS / name


def how_to_ask(name: str) -> str:
    """Return how to come by a certificate for a recipient, as the end of a message."""
    return (
        f"`meterlet hub dial-key --recipient {name}` asks for one, which the recipient issues with"
        " `meterlet utility certify-hub`"
    )


def find_recipient(hub: Path, name: str, url: str) -> Recipient:
    """Return a recipient whose certificate has come; raise `NoCertificate` otherwise."""
    folder = recipient_folder(hub, name)
    certificate = folder / "client.pem"
    if not certificate.exists():
        raise NoCertificate(f"{certificate}: there is no certificate yet; {how_to_ask(name)}")
    return Recipient(
        ServerAddress.parse(url), certificate, folder / "client.key", folder / "trust.pem", name
    )


def _no_password() -> str:
    raise RecipientError("the key must not have a password: nobody is there to say it")
