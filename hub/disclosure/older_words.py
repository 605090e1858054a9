# SPDX-License-Identifier: Apache-2.0
"""Consents that were given under older words, until the resident confirms or revokes them.

The words of a consent say what the guard enforces (`hub.disclosure.wording`). The guard of release
0.2 enforces more than the words of 0.1 said: it counts numbers about any one moment, where 0.1
counted those about the same period, and bounds prices or bits. So a consent that was given before
is shown with what it means now. Each entry of a consent says under which words it was given; a
`confirmation` says that the resident has read the newer ones. Nobody is allowed anything by it.
"""

from collections.abc import Iterable
from typing import Final

from hub.disclosure.consents import Consent, UnknownConsent
from hub.disclosure.guard import Disclosure
from hub.disclosure.log import DisclosureLog, LogEntry
from hub.disclosure.records import WORDS

SAME_WORDS: Final = frozenset(
    {"aggregate", "weighted", "unattributed", "output", "export", "reader"}
)
"""Statements whose consents mean what they meant before, or that 0.1 did not have."""
_SAYING_WORDS: Final = ("consent", "narrowing", "carried", "confirmation")


def given_under_older_words(log: DisclosureLog, consents: Iterable[Consent]) -> frozenset[int]:
    """Return the numbers of the standing consents whose words do not say what is enforced now."""
    current = {
        entry.facts["number"]
        for kind in _SAYING_WORDS
        for entry in log.entries(kind)
        if entry.facts.get("words", 1) >= WORDS
    }
    return frozenset(
        one.number
        for one in consents
        if one.revoked is None
        and one.terms.statement.partition(" ")[0] not in SAME_WORDS
        and one.number not in current
    )


def confirm_words(disclosure: Disclosure, number: int) -> LogEntry | None:
    """Record that the resident has read what a consent means now; None if that is on record.

    Raises `UnknownConsent` where none of that number stands.
    """
    with disclosure.database.transaction():
        consent = disclosure.consent(number)
        if consent.revoked is not None:
            raise UnknownConsent(f"consent {number} was revoked")
        if number not in given_under_older_words(disclosure.log, [consent]):
            return None
        facts = {"number": number, "words": WORDS}
        return disclosure.log.append(disclosure.now(), "confirmation", facts)
