# SPDX-License-Identifier: Apache-2.0
"""Consents that go over to a new version of an applet which asks for no more.

    carried      number, terms, which it replaces     the same or narrower, for another package

Nothing is allowed by it that was not allowed before: of each limit the narrower one holds, of the
consent that stood and of what the new version asks. What the resident has narrowed stays narrow,
what is revoked stays revoked, and what the new version does not ask for ends.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from hub.disclosure.consents import Consent, ConsentTerms
from hub.disclosure.guard import Disclosure
from hub.disclosure.older_words import given_under_older_words
from hub.disclosure.records import terms_facts


def narrower(standing: ConsentTerms, asked: ConsentTerms) -> ConsentTerms:
    """Return what both allow, for the package of `asked`; raise `ValueError` for other subjects."""
    if replace(standing, package=asked.package).subject != asked.subject:
        raise ValueError("the terms are of different subjects")
    if bool(standing.slot_bits) != bool(asked.slot_bits):
        raise ValueError("one is by bits, and the other is not")
    corrected = standing.corrected_minutes, asked.corrected_minutes
    return replace(
        asked,
        least_days=max(standing.least_days, asked.least_days),
        least_minutes=max(standing.least_minutes, asked.least_minutes),
        answers=min(standing.answers, asked.answers),
        bits=min(standing.bits, asked.bits),
        until=min(standing.until, asked.until),
        least_group=max(standing.least_group, asked.least_group),
        within_days=max(standing.within_days, asked.within_days),
        slot_bits=min(standing.slot_bits, asked.slot_bits),
        memory_days=min(standing.memory_days, asked.memory_days),
        published=max(standing.published, asked.published),
        corrected_minutes=max(corrected) if all(corrected) else 0,
    )


def standing_for(disclosure: Disclosure, applet: bytes, package: bytes) -> list[Consent]:
    """Return the consents that stand for an applet's instance, of the package with this digest."""
    return [
        one
        for one in disclosure.consents()
        if one.revoked is None and (one.terms.applet, one.terms.package) == (applet, package)
    ]


def were_worded_otherwise(disclosure: Disclosure, consents: Iterable[Consent]) -> bool:
    """Tell whether the resident has yet to read what one of them means now: none such goes over."""
    return bool(given_under_older_words(disclosure.log, consents))


def carry(
    disclosure: Disclosure, applet: bytes, package: bytes, asked: Sequence[ConsentTerms]
) -> None:
    """Let the consents for an instance of `package` go over to what a new version asks.

    Raises `ValueError` where that would allow more than one of them does.
    """
    with disclosure.database.transaction():
        for consent in standing_for(disclosure, applet, package):
            terms = consent.terms
            wanted = [one for one in asked if one.statement == terms.statement]
            if not wanted:
                disclosure.revoke(consent.number)
                continue
            for one in wanted:
                terms = narrower(terms, one)
            # The promise itself, whatever `narrower` does.
            if not consent.terms.covers(replace(terms, package=package)):
                raise ValueError(f"that would allow more than consent {consent.number} does")
            facts = {"number": disclosure.next_number(), "replaces": consent.number}
            disclosure.log.append(disclosure.now(), "carried", {**facts, **terms_facts(terms)})
