# SPDX-License-Identifier: Apache-2.0
"""Where a conversation with the card comes from, and what that lets it do before it authenticates.

              before authentication      the issuer's domain   wrong authentications     challenges
    HOME      as READER                  answers               nothing                   random
    READER    what real clients expect   answers               block, until unblocked    counted
    DIALLED   as READER                  answers               slow the session down     counted
    PORT      nothing                    is not there          slow the caller down      random

"Counted" challenges are pseudo-random and follow the key set's sequence counter; random ones use no
counter at all (GPC Amendment D v1.2, table 5-1, bit 10 of `i`).
"""

import enum


class Line(enum.Enum):
    """What a conversation comes in over."""

    HOME = enum.auto()
    """The resident's own commands, in a process that holds the hub's folder."""
    READER = enum.auto()
    """The local reader."""
    DIALLED = enum.auto()
    """A session that the hub dialled to a server which it has authenticated."""
    PORT = enum.auto()
    """A listening port: anybody."""

    @property
    def is_open_to_strangers(self) -> bool:
        """Whether anybody may be at the other end, so that nothing is told before keys are."""
        return self is Line.PORT

    @property
    def is_in_the_house(self) -> bool:
        """Whether it is the resident who is at the other end, and may show the PIN."""
        return self in {Line.HOME, Line.READER}

    @property
    def blocks(self) -> bool:
        """Whether wrong authentications are counted on the disk and block the key set in the end.

        Over a network they never do: whoever has no key would lock out whoever has.
        """
        return self is Line.READER

    @property
    def counts_challenges(self) -> bool:
        """Whether challenges follow the sequence counter, where the card's profile has one."""
        return self in {Line.READER, Line.DIALLED}
