# SPDX-License-Identifier: Apache-2.0
"""What no applet may exceed, whatever its manifest asks for.

Fuel is wasmtime's: about one for each WebAssembly instruction, one for each byte that a bulk
operation moves; a Python loop burns 10^10 a second. It is the same on every machine, so an applet
that passes here passes everywhere. What the hub does for an applet is charged to its fuel too.
How long a call's values may be is in the rows of `protocols.platform`.

What a component hands over is copied by wasmtime before the hub can ask for fuel. It is paid for
all the same: where the tank holds less, the call ends, and the applet's minute owes the rest.
"""

from collections.abc import Mapping
from typing import Final

START_FUEL: Final = 5_000_000_000
"""To start an instance: import the applet's modules, make its object."""
COMPILE_FUEL: Final = 50_000_000_000
"""To compile a bundle's sources, once at installation."""
CALL_FUEL: Final = 200_000
"""A call to the platform: 20 µs' worth."""
CALL_FUEL_BYTE: Final = 1_000
"""Each byte that a call to the platform carries: 0.1 µs' worth."""
SECOND_FUEL: Final = 10_000_000_000
"""A second's worth, for whatever the hub does."""
MILLISECOND_FUEL: Final = SECOND_FUEL // 1_000
EXTRA_FUEL: Final[Mapping[tuple[str, str], int]] = {
    ("signatures", "verify_ed25519"): 2_000_000,
    ("store", "get"): 300_000,
    ("store", "put"): 1_000_000,
    ("store", "delete"): 600_000,
    ("store", "keys"): 500_000,
    ("outputs", "set"): 600_000,
    ("transactions", "begin"): 300_000,
    ("transactions", "commit"): 300_000,
    ("transactions", "abort"): 300_000,
    ("peers", "call"): 1_500_000,
}
"""What calls of an interface take beside `CALL_FUEL`, measured; those whose work depends on what is
asked are charged by the service that does it (`hub.applet_host.cost`)."""
LOG_LINE_FUEL: Final = 1_000_000
"""Each line that an applet logs: 0.1 ms' worth."""

MAX_FUEL: Final = 10_000_000_000
"""Of any command, whatever a manifest says, its start included: a second's worth. The slowest
instructions, divisions and leaps through memory, take twice as long: two seconds at most."""
MAX_FUEL_PER_MINUTE: Final = 300_000_000_000
"""Of any applet, whatever its manifest says: half of the hub's time."""
MAX_MEMORY: Final = 96 << 20
"""Bytes of any applet, whatever its manifest says."""

MAX_STACK: Final = 1 << 20
"""Bytes of native stack under an applet; far less than any thread of ours has."""
MAX_COMMAND: Final = 1 << 18
MAX_CARRIED: Final = 1 << 20
"""Bytes of texts and lists that a call between an applet and its library carries, each way."""
MAX_ARGUMENTS: Final = 4 << 20
"""Bytes and texts in one call to the platform; what each of them may have is in its row."""
MAX_COPIED: Final = (128 << 20) // 48
"""Bytes of a list that wasmtime takes out of a component before the hub hears of it: a list of more
is refused before anything is copied. It allows 128 MiB a call, and holds a byte in 48."""
MAX_COMPARISONS: Final = 4_096
"""Of hidden numbers in one statement: the windows of a month of quarter-hours, and more."""
MAX_LOG: Final = 16_384
"""Bytes of log that one call into the applet may fill; the rest is dropped."""
MAX_SECONDS: Final = 2.0
"""Of processor time, for a vendor's own component, whose instructions may be slow ones."""
