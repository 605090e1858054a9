# SPDX-License-Identifier: Apache-2.0
"""The encoding and the digest of something that never changes, worked out once.

Decoding is strict and canonical: bytes that were decoded are what encoding would give again. So
they are kept, and a verifier hashes a day once and encodes it never.

An object has its own `KeptBytes` from birth, by a field that is no argument of it. A copy with
another field (`dataclasses.replace`) is born with an empty one, and cannot have its original's.
"""

import hashlib
from collections.abc import Callable


class KeptBytes:
    """What is known of one object so far."""

    __slots__ = ("body", "digest")

    def __init__(self) -> None:
        self.body: bytes | None = None
        self.digest: bytes | None = None

    def body_of(self, encoded: Callable[[], bytes]) -> bytes:
        """Return the encoding, made by `encoded` where it is not known yet."""
        if self.body is None:
            self.body = encoded()
        return self.body

    def digest_of(self, label: str, encode: Callable[[], bytes]) -> bytes:
        """Return the SHA-256 of the label and the encoding."""
        if self.digest is None:
            self.digest = hashlib.sha256(label.encode() + encode()).digest()
        return self.digest
