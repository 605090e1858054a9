# SPDX-License-Identifier: Apache-2.0
"""Which sequence counter a pseudo-random challenge is made from, so that strangers use up none.

A challenge follows from the counter, and what protects a session follows from both challenges. So
a host's challenge must never be answered twice with one counter: an EXTERNAL AUTHENTICATE that
somebody kept back would be good again. Amendment D (v1.2, 6.2.2.1) sees to that by a new counter
for each INITIALIZE UPDATE, and whoever asks often enough without a key has used all of them up.

Here a counter is taken back up as long as no session was opened with it, for host challenges that
it has not answered yet. A new one, on the disk before its challenge goes out, is taken

    after each session that was opened, and after each start of the card
    after `MOST_ANSWERED` challenges of a counter
    for a challenge that is repeated, `MOST_REPEATED` times until a session is opened; then such a
    challenge is refused, and any other is answered still

No pair of counter and host challenge comes back, as the specification means it.
"""

from dataclasses import dataclass, field
from typing import Final

from hub.card.keys.keystore import KeySet, KeyStore
from hub.card.status import CardRefusal, Sw

MOST_ANSWERED: Final = 4096
"""Host challenges that one counter answers: at 100 a second, all counters last 20 years."""
MOST_REPEATED: Final = 256


@dataclass(slots=True)
class _UnopenedCounter:
    """A counter that has opened no session yet."""

    sequence: int
    answered: set[bytes] = field(default_factory=set)
    """The host challenges that it has answered."""
    repeated: int = 0
    """How often a host has repeated a challenge since the last session."""


class ChallengeCounters:
    """The counters under way, one for each SCP03 key set; they live as long as the card is open."""

    def __init__(self, keys: KeyStore) -> None:
        self._keys = keys
        self._unopened: dict[tuple[bytes, int], _UnopenedCounter] = {}

    def counter_for(self, key_set: KeySet, host_challenge: bytes) -> int:
        """Return the counter that answers this challenge; it is on the disk by then.

        Raises `CardRefusal` (6985) at the end of the counter, and for a challenge that has been
        repeated too often.
        """
        under_way = self._unopened.get(_name(key_set))
        if under_way is None or under_way.sequence != key_set.sequence:
            # Of an earlier start, of another process or of keys that are replaced: not ours.
            under_way = _UnopenedCounter(key_set.sequence, repeated=0)
            return self._next(key_set, host_challenge, under_way)
        if host_challenge in under_way.answered:
            if under_way.repeated >= MOST_REPEATED:
                raise CardRefusal(
                    Sw.CONDITIONS_NOT_SATISFIED, "this challenge has been answered: send another"
                )
            under_way.repeated += 1
            return self._next(key_set, host_challenge, under_way)
        if len(under_way.answered) >= MOST_ANSWERED:
            return self._next(key_set, host_challenge, under_way)
        under_way.answered.add(host_challenge)
        return under_way.sequence

    def opened(self, key_set: KeySet) -> None:
        """Take the counter of a session that was opened for no other."""
        self._unopened.pop(_name(key_set), None)

    def _next(self, key_set: KeySet, host_challenge: bytes, before: _UnopenedCounter) -> int:
        sequence = self._keys.next_sequence(key_set)
        self._unopened[_name(key_set)] = _UnopenedCounter(
            sequence, {host_challenge}, before.repeated
        )
        return sequence


def _name(key_set: KeySet) -> tuple[bytes, int]:
    return key_set.domain, key_set.version
