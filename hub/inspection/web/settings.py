# SPDX-License-Identifier: Apache-2.0
"""What the pages are served with: which hub, under which names, by whose clock and dice."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from hub.device import Device
from hub.inspection.views.proof import BillProofs

if TYPE_CHECKING:
    from hub.machine.machine import AppletMachine


LOOPBACK_NAMES: Final = ("localhost", "127.0.0.1", "[::1]")


@dataclass(frozen=True, slots=True)
class Settings:
    """One hub's pages."""

    folder: Path
    origins: frozenset[str]
    """Where the pages are, as browsers name it: `http://127.0.0.1:8321`."""
    open_machine: "Callable[[], AppletMachine]"
    """Called when an applet is installed, locked or removed, and not before."""
    proofs: BillProofs
    """Knows the messages of the billing applet, which the hub does not."""
    now: Callable[[], int] = lambda: int(time.time())
    randomness: Callable[[int], bytes] = field(default=os.urandom, repr=False)
    complain: Callable[[str], None] = lambda line: None
    """Told, in a line, what nobody at a browser would see."""

    @property
    def is_secure(self) -> bool:
        """Whether the pages are served over TLS."""
        return all(origin.startswith("https://") for origin in self.origins)

    @property
    def hosts(self) -> frozenset[str]:
        """What a request's Host field may say."""
        return frozenset(origin.partition("://")[2] for origin in self.origins)

    def open_device(self) -> Device:
        """Open the hub for one request, beside the process that serves its applets."""
        return Device.open(self.folder, randomness=self.randomness, now=self.now)

    @classmethod
    def origins_of(cls, names: tuple[str, ...], port: int, *, is_secure: bool) -> frozenset[str]:
        """Return the origins of host names; a port that is the scheme's own is left out."""
        scheme, own = ("https", 443) if is_secure else ("http", 80)
        suffix = "" if port == own else f":{port}"
        return frozenset(f"{scheme}://{name}{suffix}" for name in names)
