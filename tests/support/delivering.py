# SPDX-License-Identifier: Apache-2.0
"""A deliverer in a process of its own, to be killed, and hubs that are a file of what they got."""

import os
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from protocols.enrolment import Enrolment
from protocols.iso7816.apdu import CommandApdu
from utility_server.head_end import Address, HeadEnd
from utility_server.pipeline import deliverer
from utility_server.pipeline.deliverer import Deliverer
from utility_server.retail import deliveries
from utility_server.retail.utility import Utility

HUB_SECONDS = 0.02


@dataclass
class _WritingHubs(HeadEnd):
    """Writes down which meter's hub has got an invoice, before it says so."""

    file: Path = field(default_factory=Path)

    def ask(self, address: Address, enrolment: Enrolment, command: CommandApdu) -> bytes:
        time.sleep(HUB_SECONDS)
        with self.file.open("a") as taken:
            taken.write(f"{enrolment.meter.hex()}\n")
        time.sleep(HUB_SECONDS)
        return b""


def deliver_until_killed(folder: Path, file: Path) -> None:
    """Deliver as `utility deliver --watch` does, but with leases of a second, and no hubs."""
    deliveries.LEASE_SECONDS = 1  # type: ignore[misc]
    deliveries.FRESH_SECONDS = 0  # type: ignore[misc]
    deliverer.LEASE_SECONDS = 1  # type: ignore[attr-defined]  # imported there
    deliverer.LOOK_SECONDS = 0.1  # type: ignore[misc]
    with Utility.open(folder) as utility:
        work = Deliverer(utility, lambda: _WritingHubs(os.urandom, file=file), hubs_at_once=2)
        work.run(threading.Event())
