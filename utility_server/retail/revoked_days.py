# SPDX-License-Identifier: Apache-2.0
"""Days of a certifier that the metering authority has revoked: refused from that moment on.

Days that ended before stay valid, whenever they are shown. A revoked key corrects none, its holder
could date the correction back. For the same reason it announces no other key. An announcement that
was known before the revocation stands.

Errors: VerificationFailed, under the name `revoked`
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from protocols.metrology import CertifiedDay, KeyAnnouncement
from utility_server.errors import VerificationFailed

if TYPE_CHECKING:  # who verifies offline has no libraries for sums
    from protocols.aggregation.revocations import RevocationList


def require_standing_days(
    days: Sequence[CertifiedDay],
    root: bytes,
    lists: "Sequence[RevocationList]",
    known: Sequence[KeyAnnouncement] = (),
) -> None:
    """Return if no list revokes a verified day's key by the day's end; else raise.

    `root` is the meter's first key; the announcements on a day lead to the one that signed it.
    Those that are `known` were so before.
    """
    for day in days if lists else ():
        for one in day.announcements[len(known) :]:
            if any(listed.since(one.old) is not None for listed in lists):
                raise VerificationFailed(
                    "revoked", f"{day.day}: its key was announced by one that was revoked"
                )
        key = day.announcements[-1].new if day.announcements else root
        moments = [since for one in lists if (since := one.since(key)) is not None]
        if moments and day.revision:
            raise VerificationFailed(
                "revoked", f"{day.day}: it was corrected with a key that was revoked"
            )
        if moments and day.content.grid.end > min(moments):
            moment = datetime.fromtimestamp(min(moments), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            raise VerificationFailed(
                "revoked", f"{day.day}: the key that certified it was revoked from {moment} on"
            )
