# SPDX-License-Identifier: Apache-2.0
"""A random oracle that answers what a simulator wants to hear.

Zero-knowledge means that somebody without the secret, who may choose the challenges, makes
transcripts like the prover's. The simulators of these tests do exactly that.
"""

from collections.abc import Iterable

from protocols.proofs import Transcript


class Programmed(Transcript):
    """A transcript whose first challenges were chosen beforehand; the rest are hashed."""

    __slots__ = ("_chosen",)

    def __init__(self, chosen: Iterable[int]) -> None:
        super().__init__("simulated", 1)
        self._chosen = list(chosen)

    def challenge(self, label: str) -> int:
        hashed = super().challenge(label)
        return self._chosen.pop(0) if self._chosen else hashed
