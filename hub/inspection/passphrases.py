# SPDX-License-Identifier: Apache-2.0
"""Passphrases: which are worth having, and checking one, as slowly for whoever does not exist.

Of a passphrase only its Argon2id hash is stored. One is checked at a time: a crowd that guesses
fills neither memory nor cores.
"""

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from threading import Lock
from typing import Final, Self

from argon2 import PasswordHasher, Type
from argon2.exceptions import InvalidHashError, VerificationError

from hub.inspection.errors import InspectionError

SHORTEST, LONGEST = 6, 256
MEMORY_KIB: Final = 19 * 1024
"""With two passes: OWASP's second choice, so that a small hub can check one at a time."""


class WeakPassphrase(InspectionError):
    """A passphrase is not worth having; the error never repeats it."""


@dataclass(frozen=True, slots=True)
class Passphrases:
    """Makes hashes and checks against them; safe to use from several threads."""

    _hasher: PasswordHasher = field(repr=False)
    _nobody: str = field(repr=False)
    """The hash of a passphrase that nobody knows: unknown names take as long as known ones."""
    _turn: Lock = field(default_factory=Lock, repr=False)

    @classmethod
    def make(cls, randomness: Callable[[int], bytes]) -> Self:
        """Return what hashes; it takes as long as checking one passphrase."""
        hasher = PasswordHasher(
            time_cost=2, memory_cost=MEMORY_KIB, parallelism=1, hash_len=32, type=Type.ID
        )
        return cls(hasher, hasher.hash(randomness(32)))

    def hash(self, passphrase: str) -> str:
        """Return the hash of a new passphrase; raise `WeakPassphrase`."""
        return self._hasher.hash(_checked(passphrase))

    def holds(self, hashed: str | None, passphrase: str) -> bool:
        """Tell whether a passphrase is the one of a hash; None: of nobody, after as much work."""
        with self._turn:
            try:
                self._hasher.verify(hashed or self._nobody, _normal(passphrase))
            except (VerificationError, InvalidHashError):
                return False
        return hashed is not None


def _normal(passphrase: str) -> str:
    return unicodedata.normalize("NFKC", passphrase[: 4 * LONGEST])


def _checked(passphrase: str) -> str:
    normal = _normal(passphrase)
    if not SHORTEST <= len(normal) <= LONGEST:
        raise WeakPassphrase(f"a PIN or passphrase has {SHORTEST} to {LONGEST} characters")
    steps = {ord(b) - ord(a) for a, b in pairwise(normal)}
    if len(steps) == 1 and steps <= {-1, 0, 1}:
        raise WeakPassphrase("that PIN or passphrase is the first one anybody would try")
    return normal
