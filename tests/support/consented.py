# SPDX-License-Identifier: Apache-2.0
"""A release guard with a log of its own, and what a resident has consented to."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

from hub.disclosure import CONSENT_COMPONENT, LOG_COMPONENT, ConsentTerms, Disclosure
from hub.vault.database import Database

BILLING = ConsentTerms(
    applet=b"\xf0bill",
    package=b"package",
    recipient="supplier",
    purpose="billing",
    statement="linear",
    least_days=28,
    least_minutes=480,
    answers=6,
    bits=64,
    until=date(2030, 1, 1),
)
"""To sums over four weeks, six times."""


@contextmanager
def guarding(
    folder: Path, now: int | Callable[[], int], *terms: ConsentTerms
) -> Iterator[Disclosure]:
    """Open the guard over `hub.db` in a folder, and consent to these terms."""
    components = [LOG_COMPONENT, CONSENT_COMPONENT]
    clock = now if callable(now) else lambda: now
    with Database(folder / "hub.db", components, key=bytes(32)) as database:
        disclosure = Disclosure(database, clock)
        for each in terms:
            disclosure.grant(each)
        yield disclosure
