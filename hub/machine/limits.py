# SPDX-License-Identifier: Apache-2.0
"""What no applet may exceed, whatever its manifest asks for.

Fuel is wasmtime's: about one for each WebAssembly instruction, one for each byte that a bulk
operation moves; a Python loop burns 10^10 a second. It is the same on every machine, so an applet
that passes here passes everywhere. What the hub does for an applet is charged to its fuel too.
How long a call's values may be is in the rows of `protocols.platform`.
"""

from typing import Final

START_FUEL: Final = 5_000_000_000
"""To start an instance: import the applet's modules, make its object."""
COMPILE_FUEL: Final = 50_000_000_000
"""To compile a bundle's sources, once at installation."""
CALL_FUEL: Final = 200_000
"""A call to the platform: 20 µs' worth."""
CALL_FUEL_BYTE: Final = 1_000
"""Each byte that a call to the platform carries: 0.1 µs' worth."""

MAX_STACK: Final = 1 << 20
"""Bytes of native stack under an applet; far less than any thread of ours has."""
MAX_COMMAND: Final = 1 << 18
MAX_COMPARISONS: Final = 4_096
"""Of hidden numbers in one statement: the windows of a month of quarter-hours, and more."""
MAX_LOG: Final = 16_384
"""Bytes of log that one call into the applet may fill; the rest is dropped."""
MAX_SECONDS: Final = 20.0
"""For a vendor's own component, whose instructions may be slow ones, beside its fuel."""
