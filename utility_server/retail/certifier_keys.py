# SPDX-License-Identifier: Apache-2.0
"""The keys that customers' certifiers have announced: of each meter one chain, for good.

Days carry the announcements that led to the key that signed them, and an enrolment those until
then. By themselves they verify under whatever chain they carry. Here each is held against what is
known of the meter: a chain goes on from that, and a key whose successor is known signs no day of
the successor's time.

Errors: VerificationFailed, under the name `certifier`
"""

from collections.abc import Sequence

from sqlalchemy import Connection, insert, select

from protocols.metrology import CertifiedDay, KeyAnnouncement
from utility_server.database import announcement_table as table
from utility_server.errors import VerificationFailed


def known_announcements(connection: Connection, meter: bytes) -> tuple[KeyAnnouncement, ...]:
    """Return what a meter's certifier has announced, as far as the utility has seen."""
    rows = connection.execute(
        select(table.c.encoded).where(table.c.meter == meter).order_by(table.c.place)
    ).scalars()
    return tuple(KeyAnnouncement.decode(bytes(row)) for row in rows)


def learn_announcements(
    connection: Connection, meter: bytes, shown: Sequence[KeyAnnouncement]
) -> tuple[KeyAnnouncement, ...]:
    """Keep announcements that are verified; return all that are known of the meter.

    Raises `VerificationFailed` where they do not go on from those that are known.
    """
    known = known_announcements(connection, meter)
    shared = min(len(known), len(shown))
    if known[:shared] != tuple(shown[:shared]):
        raise VerificationFailed(
            "certifier",
            f"meter {meter.hex()}: announcement {_differing(known, shown)} of its certifier's key"
            " is not the one that is known; enrol the meter anew only if you know why",
        )
    new = shown[len(known) :]
    if new:
        connection.execute(
            insert(table),
            [{"meter": meter, "place": one.place, "encoded": one.encode()} for one in new],
        )
    return (*known, *new)


def require_keys_of_their_time(connection: Connection, days: Sequence[CertifiedDay]) -> None:
    """Learn what verified days of one meter announce; raise `VerificationFailed` for an old key."""
    longest = max(days, key=lambda day: len(day.announcements))
    known = learn_announcements(connection, longest.content.meter, longest.announcements)
    for day in days:
        # All that had begun by that day, no fewer: else the key that signed it had ended.
        if not day.is_of_its_time(known):
            raise VerificationFailed(
                "certifier", f"{day.day}: the key that signed it had ended before that day"
            )
        # A day may be corrected long after its key's time: then by the key in force alone.
        if day.revision and day.announcements != known:
            raise VerificationFailed(
                "certifier", f"{day.day}: it was corrected with a key that has ended"
            )


def _differing(known: Sequence[KeyAnnouncement], shown: Sequence[KeyAnnouncement]) -> int:
    pairs = enumerate(zip(known, shown, strict=False), start=1)
    return next(place for place, (ours, theirs) in pairs if ours != theirs)
