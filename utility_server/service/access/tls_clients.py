# SPDX-License-Identifier: Apache-2.0
"""Systems that show certificates: what TLS checks, and how the service is told of it.

    TLS          the client has the private key of a certificate that is on record (trusted itself,
                 not by its issuer), and its time has come and is not over
    each request  the very certificate counts at this moment (`client_certificates`)

A certificate that is registered while the service runs is trusted within `LOOK_SECONDS`. The
certificate goes from the connection to the request within the process; header fields, such as
`X-Client-Cert` of a proxy, are not looked at anywhere.
"""

import asyncio
import ssl
from collections.abc import Callable, Iterable
from typing import Any, Final, cast

from listeners.pages import PatientProtocol
from utility_server.service.access.client_certificates import ClientCertificate

LOOK_SECONDS: Final = 5.0
SHOWN: Final = "meterlet.client-certificate"
"""In the state of a request: the certificate (DER) that its connection has shown; TLS has verified
it. No client can put anything there."""


def ask_for_certificates(context: ssl.SSLContext) -> None:
    """Let clients of a server show certificates; those of browsers show none."""
    context.minimum_version = ssl.TLSVersion.TLSv1_3  # before, certificates go in clear
    context.verify_mode = ssl.CERT_OPTIONAL
    # Each certificate on record is trusted by itself: its issuer is not.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    # A session that is resumed shows no certificate again, and one may be withdrawn.
    context.num_tickets = 0


class TrustedClients:
    """Keeps the certificates that TLS trusts up to date with those on record."""

    def __init__(
        self, context: ssl.SSLContext, all_certificates: Callable[[], Iterable[ClientCertificate]]
    ) -> None:
        self._context, self._all = context, all_certificates
        self._trusted: set[str] = set()

    def refresh(self) -> None:
        """Trust what was registered of late; what was withdrawn is refused at each request."""
        for one in self._all():
            if not one.withdrawn and one.fingerprint not in self._trusted:
                self._context.load_verify_locations(cadata=one.certificate)
                self._trusted.add(one.fingerprint)

    async def keep_up(self, failed: Callable[[Exception], object]) -> None:
        """Refresh until cancelled; `failed` is told why that was not possible."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                await asyncio.to_thread(self.refresh)
            except Exception as error:  # noqa: BLE001 - the database may be away for a while
                failed(error)


class CertificateProtocol(PatientProtocol):
    """A connection whose requests are told which certificate it has shown."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take in what TLS has verified; nothing where the client showed none."""
        secure = cast("ssl.SSLObject | None", transport.get_extra_info("ssl_object"))
        shown = None if secure is None else secure.getpeercert(binary_form=True)
        state: dict[str, Any] = {**self.app_state, SHOWN: shown}
        self.app_state = state
        super().connection_made(transport)
