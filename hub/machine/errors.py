# SPDX-License-Identifier: Apache-2.0
"""What can go wrong around applets; `hub.errors` has the tree.

What the platform refuses an applet is `protocols.platform.errors.Refused`, which no command of ours
meets.
"""

import enum
from typing import Final

from hub.errors import HubError


class MachineError(HubError):
    """Base of what can go wrong around applets."""


class RuntimeNotBuilt(MachineError):
    """There is no compiled runtime for this machine, and it could not be built."""


class CacheRefused(MachineError):
    """The cached native code is not safe to run; the text says why, and which file."""


class ManifestError(MachineError):
    """A manifest is incomplete or contradicts itself."""

    def __init__(self, key: str, reason: str) -> None:
        super().__init__(f"manifest: {key}: {reason}")
        self.key = key


class BundleError(MachineError):
    """A bundle's bytes are not an applet that its vendor signed."""


class ContractBroken(MachineError):
    """A component imports or exports what the platform's contract does not know."""


class FaultKind(enum.Enum):
    """How an applet broke."""

    OUT_OF_FUEL = "out of fuel"
    OUT_OF_TIME = "out of time"
    OUT_OF_ALLOWANCE = "out of allowance"
    """It has had its commands or its fuel of this minute; it was not asked."""
    OUT_OF_MEMORY = "out of memory"
    TRAP = "trap"
    """It left what WebAssembly or the platform allows: system calls, endless recursion, ..."""
    CRASH = "crash"
    """It raised what it does not handle."""
    BAD_ANSWER = "bad answer"
    """Its answer is no response APDU, or too long."""
    BAD_CODE = "bad code"
    """It does not compile, or does not start."""


class AppletFault(MachineError):
    """An applet broke. Its instance is gone; undo what the command did and answer `response`."""

    status_word = 0x6400
    """No specific diagnosis (GlobalPlatform 2.3.1, 11.1.3): the peer learns no more than that."""
    response: Final = b"\x64\x00"

    def __init__(self, applet: str, kind: FaultKind, detail: str) -> None:
        """`detail` (a traceback, a trap) is for the developer, not for the peer."""
        super().__init__(f"{applet}: {kind.value}")
        self.kind = kind
        self.detail = detail
