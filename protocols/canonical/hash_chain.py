# SPDX-License-Identifier: Apache-2.0
"""A log whose entries seal each other.

    digest(0) = 32 zero bytes
    digest(n) = SHA-256(label ‖ digest(n−1) ‖ body(n))

An entry that is changed, dropped or moved breaks the chain from there on. Whoever keeps the last
digest can also tell that none was cut off the end.
"""

from hashlib import sha256
from typing import Final

GENESIS: Final = bytes(32)
"""What stands before the first entry."""


def seal(label: bytes, previous: bytes, body: bytes) -> bytes:
    """Return the digest of an entry: 32 bytes. `label` names the log and its format."""
    return sha256(b"".join((len(label).to_bytes(1, "big"), label, previous, body))).digest()
