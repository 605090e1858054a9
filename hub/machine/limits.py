# SPDX-License-Identifier: Apache-2.0
"""What no applet may exceed, whatever its manifest asks for.

Fuel is wasmtime's: about one for each WebAssembly instruction, one for each byte that a bulk
operation moves; a Python loop burns 10^10 a second. It is the same on every machine, so an applet
that passes here passes everywhere. What the hub does for an applet is charged to its fuel too.
"""

from typing import Final

__all__ = [
    "CALL_FUEL",
    "CALL_FUEL_BYTE",
    "COMPILE_FUEL",
    "MAX_AGGREGATION",
    "MAX_AMOUNTS",
    "MAX_COMMAND",
    "MAX_COMPARISONS",
    "MAX_CONTEXT",
    "MAX_KEY",
    "MAX_LOG",
    "MAX_NAME",
    "MAX_PEER_MESSAGE",
    "MAX_SECONDS",
    "MAX_STACK",
    "MAX_VALUE",
    "MAX_WEIGHTS",
    "START_FUEL",
]

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
MAX_WEIGHTS: Final = 366 * 300
"""A year of slots of five minutes, with the longest days."""
MAX_AMOUNTS: Final = 1 << 20
"""Bytes that describe amounts."""
MAX_AGGREGATION: Final = 1 << 18
"""Bytes of a message of a round: an announcement to a thousand members."""
MAX_COMPARISONS: Final = 4_096
"""Of hidden numbers in one statement: the windows of a month of quarter-hours, and more."""
MAX_CONTEXT: Final = 4_096
MAX_NAME: Final = 128
MAX_KEY: Final = 256
MAX_VALUE: Final = 1 << 20
MAX_LOG: Final = 16_384
"""Bytes of log that one call into the applet may fill; the rest is dropped."""
MAX_PEER_MESSAGE: Final = 1 << 16
"""Bytes of a request to another applet, and of its answer."""
MAX_SECONDS: Final = 20.0
"""For a vendor's own component, whose instructions may be slow ones, beside its fuel."""
