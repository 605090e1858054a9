# SPDX-License-Identifier: Apache-2.0
"""The keys that customers' certifiers have announced: of each meter one chain, for good.

Days carry the announcements that led to the key that signed them, and an enrolment those until
then. By themselves they verify under whatever chain they carry. Here each is held against what is
known of the meter: a chain goes on from that, and a key whose successor is known signs no day of
the successor's time.

Errors: VerificationFailed, under the name `certifier`
"""

from collections.abc import Iterable, Sequence

from sqlalchemy import Connection, select

from protocols.metrology import CertifiedDay, KeyAnnouncement
from utility_server.database import announcement_table as table
from utility_server.errors import VerificationFailed
from utility_server.writes import Writes


def known_announcements(connection: Connection, meter: bytes) -> tuple[KeyAnnouncement, ...]:
    """Return what a meter's certifier has announced, as far as the utility has seen."""
    return announcements_of(connection, [meter])[meter]


def announcements_of(
    connection: Connection, meters: Iterable[bytes]
) -> dict[bytes, tuple[KeyAnnouncement, ...]]:
    """Return the same of several meters."""
    found: dict[bytes, tuple[KeyAnnouncement, ...]] = dict.fromkeys(meters, ())
    rows = connection.execute(
        select(table.c.meter, table.c.encoded)
        .where(table.c.meter.in_(list(found)))
        .order_by(table.c.meter, table.c.place)
    )
    for meter, encoded in rows:
        found[bytes(meter)] += (KeyAnnouncement.decode(bytes(encoded)),)
    return found


def learn_announcements(
    connection: Connection, meter: bytes, shown: Sequence[KeyAnnouncement]
) -> tuple[KeyAnnouncement, ...]:
    """Keep announcements that are verified; return all that are known of the meter.

    Raises `VerificationFailed` where they do not go on from those that are known.
    """
    writes = Writes()
    known = go_on_from(known_announcements(connection, meter), meter, shown, writes)
    writes.write(connection)
    return known


def go_on_from(
    known: tuple[KeyAnnouncement, ...],
    meter: bytes,
    shown: Sequence[KeyAnnouncement],
    writes: Writes,
) -> tuple[KeyAnnouncement, ...]:
    """Return what is known with what is shown, which `writes` gets; raise as above."""
    shared = min(len(known), len(shown))
    if known[:shared] != tuple(shown[:shared]):
        raise VerificationFailed(
            "certifier",
            f"meter {meter.hex()}: announcement {_differing(known, shown)} of its certifier's key"
            " is not the one that is known; enrol the meter anew only if you know why",
        )
    new = shown[len(known) :]
    for one in new:
        writes.add(table, meter=meter, place=one.place, encoded=one.encode())
    return (*known, *new)


def require_keys_of_their_time(
    known: tuple[KeyAnnouncement, ...], days: Sequence[CertifiedDay], writes: Writes
) -> tuple[KeyAnnouncement, ...]:
    """Return what is known with what verified days of one meter announce, which `writes` gets.

    Raises `VerificationFailed` for an old key.
    """
    longest = max(days, key=lambda day: len(day.announcements))
    known = go_on_from(known, longest.content.meter, longest.announcements, writes)
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
    return known


def _differing(known: Sequence[KeyAnnouncement], shown: Sequence[KeyAnnouncement]) -> int:
    pairs = enumerate(zip(known, shown, strict=False), start=1)
    return next(place for place, (ours, theirs) in pairs if ours != theirs)
