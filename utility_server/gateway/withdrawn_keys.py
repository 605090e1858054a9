# SPDX-License-Identifier: Apache-2.0
"""Shuts withdrawn keys of hubs out of the broker that wakes them.

    a key is withdrawn --> crl.pem is written --> SIGHUP: the broker lets the key in no more
                                              --> we connect for the meter, and leave again

The last step puts out whoever is there with the key: a meter has one connection at the broker, and
a second one ends the first. A hub with another key that counts comes back by itself. All that needs
the broker on this machine; one elsewhere is told by whoever runs it.
"""

import asyncio
import ssl
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from protocols.remote_admin.wake import BrokerAddress
from utility_server.errors import StoreError
from utility_server.gateway.broker_files import CRL_FILE, BrokerFiles
from utility_server.gateway.certificates import CertificateAuthority
from utility_server.gateway.waking import broker_client, broker_context

LOOK_SECONDS: Final = 5.0
LOOK_SHARE: Final = 20
"""Looking takes at most one part in so many of the time."""
AT_START_SECONDS: Final = 86_400
"""Whose key was withdrawn for less when the gateway starts is put out, too."""


@dataclass(slots=True)
class WithdrawnKeys:
    """Keeps a broker's list of withdrawn certificates; `run` it beside the gateway."""

    files: BrokerFiles
    broker: BrokerAddress
    authority: CertificateAuthority
    tell: Callable[[str], object]
    """Told once that the list cannot be kept, or that the broker was not told of it."""
    monotonic: Callable[[], float] = field(default=time.monotonic, repr=False)
    _has_looked: bool = False
    _is_told: bool = False

    async def run(self) -> None:
        """Go on until cancelled."""
        while True:
            began = self.monotonic()
            await self.look()
            await asyncio.sleep(max(LOOK_SECONDS, LOOK_SHARE * (self.monotonic() - began)))

    async def look(self) -> None:
        """Shut out whose key was withdrawn since the last time."""
        why = ""
        try:
            for meter in await asyncio.to_thread(self._shut_out):
                await self._put_out(meter)
        except StoreError as error:
            why = str(error)
        except Exception as error:  # noqa: BLE001 - a database or a broker that is away for a while
            why = type(error).__name__
        if why and not self._is_told:
            self.tell(f"wake-ups: withdrawn certificates are not shut out of the broker: {why}")
        self._is_told = bool(why)
        # Whoever was not put out is so the next time.
        self._has_looked = not why

    def _shut_out(self) -> list[bytes]:
        """Have the broker let no withdrawn key in; return the meters of those who may be in."""
        is_first = not self._has_looked
        new = self.files.renew(self.authority)
        if new is None and not is_first:
            return []
        if not self.files.reload():
            if new is not None:
                self.tell(
                    f"wake-ups: {self.files.folder / CRL_FILE} has changed, and no broker runs with"
                    f" {self.files.settings} here: restart yours"
                )
            return []
        serials = set(new or ())
        if is_first:  # whoever has written the list may have ended before the broker was told
            since = self.authority.now() - AT_START_SECONDS
            withdrawn = self.authority.withdrawn()
            serials |= {serial for serial, moment in withdrawn.items() if moment >= since}
        found = [self.authority.find(serial) for serial in sorted(serials)]
        return list(dict.fromkeys(one.meter for one in found if one is not None))

    async def _put_out(self, meter: bytes) -> None:
        """Take a meter's connection at the broker, and give it up."""
        context = await asyncio.to_thread(self._context, meter)
        async with broker_client(self.broker, context):
            pass

    def _context(self, meter: bytes) -> ssl.SSLContext:
        _, key = self.authority.waker_files()
        with tempfile.NamedTemporaryFile("wb", suffix=".pem") as file:  # no secret is in it
            file.write(self.authority.stand_in(meter))
            file.flush()
            return broker_context(Path(file.name), key, self.authority.certificate_file)
