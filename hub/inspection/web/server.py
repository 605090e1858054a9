# SPDX-License-Identifier: Apache-2.0
"""The server of the pages: where it listens, over TLS or not, and how it ends.

On loopback it may do without TLS. Anywhere else it has a certificate, and says what browsers call
it: a page that is reached under another name is refused (`access.request_guard`).
"""

import asyncio
from collections.abc import Callable
from typing import Final

import uvicorn

from hub.inspection.web.application import create_application, make_parts
from hub.inspection.web.parts import LOOPBACK_NAMES, Settings
from hub.page_address import PageAddress, bracketed, is_loopback
from hub.web_listener import tls_context
from listeners import pages
from listeners.acceptor import listen

MOST_CONNECTIONS: Final = 64
GOODBYE_SECONDS: Final = 10


class PagesServer:
    """Listens from the moment that it is made; close it when done."""

    def __init__(self, address: PageAddress) -> None:
        """Raise `OSError`, naming the address, if it is not free, `SecretFileError` for its key."""
        self._address = address
        self._tls = (
            None
            if address.certificate is None or address.key is None
            else tls_context(address.certificate, address.key)
        )
        self._listener = listen(address.host, address.port, MOST_CONNECTIONS)
        self.port: int = self._listener.getsockname()[1]

    async def serve(
        self,
        settings: Settings,
        ready: Callable[[str, Callable[[], str | None]], None],
        stop: asyncio.Event,
    ) -> None:
        """Serve the pages until `stop` is set.

        `ready` is told the address, and what tells the code with which the first owner is made: it
        is None once there is somebody who may see them.
        """
        parts = make_parts(settings)
        tls = self._tls
        server = pages.PagesServer(
            uvicorn.Config(
                create_application(parts),
                access_log=False,
                log_config=None,
                server_header=False,
                proxy_headers=False,
                ws="none",
                http="h11",
                loop="asyncio",
                h11_max_incomplete_event_size=16 * 1024,
                timeout_keep_alive=15,
                timeout_graceful_shutdown=GOODBYE_SECONDS,
                ssl_context_factory=None if tls is None else lambda _config, _default: tls,
            ),
            MOST_CONNECTIONS,
        )

        async def end() -> None:
            await stop.wait()
            server.should_exit = True

        ending = asyncio.create_task(end())
        try:
            ready(
                self._address.url(self.port),
                lambda: None if parts.residents.all() else parts.welcome_code,
            )
            await server.serve(sockets=[self._listener])
        finally:
            ending.cancel()

    def close(self) -> None:
        """Listen no more."""
        self._listener.close()


def origins_of(address: PageAddress, port: int) -> frozenset[str]:
    """Return where the pages are, as browsers name it."""
    own = LOOPBACK_NAMES if is_loopback(address.host) else (bracketed(address.host),)
    return Settings.origins_of((*own, *address.names), port, is_secure=address.key is not None)
