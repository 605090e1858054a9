# SPDX-License-Identifier: Apache-2.0
"""The parts that answer: recipients that call on a local network, and the resident's browser."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from hub.description import Description
from hub.device import Device
from hub.listening import Listener
from hub.machine.machine import AppletMachine
from hub.page_address import PageAddress
from hub.service.configuration import Address
from hub.service.part import Life, run_async

if TYPE_CHECKING:
    from hub.inspection.views.bill import BillProofs


@dataclass(slots=True)
class SharedMachine:
    """The applet machine of the service: opened, and built if need be, when it is needed first."""

    open_machine: Callable[[], AppletMachine]
    _machine: AppletMachine | None = None
    _lock: Lock = field(default_factory=Lock, repr=False)

    def __call__(self) -> AppletMachine:
        """Return it; whoever comes while it is being built waits."""
        with self._lock:
            if self._machine is None:
                self._machine = self.open_machine()
            return self._machine


class ServeWork:
    """Answers recipients on a port, as `meterlet hub serve` does."""

    def __init__(
        self,
        address: Address,
        open_device: Callable[[], Device],
        open_machine: Callable[[], AppletMachine],
    ) -> None:
        # It outlives what breaks: the port stays the same, and who was wrong is not forgotten.
        self._listener = Listener(
            open_device, open_machine, address.host, address.port, _nowhere, _nobody
        )

    def __call__(self, life: Life) -> None:
        """Answer until the life is to end; raises as `Listener.run`."""
        self._listener.ready = lambda host, port: life.up(str(Address(host, port)))
        self._listener.complain = lambda line: life.keep(notice=line)
        run_async(self._listener.run, life)


def _nowhere(_host: str, _port: int) -> None:
    pass


def _nobody(_line: str) -> None:
    pass


@dataclass(slots=True)
class PagesWork:
    """Serves the resident's pages, as `meterlet inspect serve` does."""

    address: PageAddress
    folder: Path
    description: Description
    open_machine: Callable[[], AppletMachine]
    """A function that another process can find by its name: changes of the card are made there."""
    proofs: "BillProofs"
    now: Callable[[], int]

    def __call__(self, life: Life) -> None:
        """Serve until the life is to end; raises as `PagesServer`."""
        # Not before the pages are wanted: a hub without them needs no web server.
        from hub.inspection.web.parts import Settings
        from hub.inspection.web.server import PagesServer, origins_of

        server = PagesServer(self.address)
        settings = Settings(
            self.folder,
            origins_of(self.address, server.port),
            self.open_machine,
            self.proofs,
            self.now,
            complain=lambda line: life.keep(notice=line),
            description=self.description,
        )

        def ready(url: str, welcome: Callable[[], str | None]) -> None:
            life.keep(code=welcome)  # whoever has it makes the first owner: not for the log
            life.up(url)

        try:
            run_async(partial(server.serve, settings, ready), life)
        finally:
            server.close()
