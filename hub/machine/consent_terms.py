# SPDX-License-Identifier: Apache-2.0
"""What a manifest asks the resident for, and whether another one asks for more."""

from functools import partial

from hub.disclosure.consents import ConsentTerms
from hub.machine.manifest import Confinement, Manifest


def terms_of(manifest: Manifest, package: bytes, applet: bytes = b"") -> list[ConsentTerms]:
    """Return the consents that a manifest asks for, of the package with this digest.

    `applet` is the instance that is meant, where its AID is not the manifest's.
    """
    asked = partial(
        ConsentTerms,
        applet=applet or manifest.aid,
        package=package,
        recipient=manifest.recipient,
        purpose=manifest.purpose,
        until=manifest.expires,
    )
    outputs = [
        asked(
            statement=f"output {output.name}",
            least_days=1,
            least_minutes=manifest.resolution_minutes or 1,
            answers=1,
            bits=8 * output.size,
        )
        for output in manifest.outputs
    ]
    return outputs + [
        asked(
            statement=statement.kind,
            least_days=statement.minimum_days,
            least_minutes=statement.least_minutes,
            answers=statement.at_most,
            bits=statement.value_bits,
            least_group=max(1, statement.smallest_group),
            within_days=statement.within_days,
            slot_bits=statement.slot_bits,
            memory_days=statement.memory_days,
            published=statement.published,
            corrected_minutes=statement.corrected_minutes,
        )
        for statement in manifest.statements
    ]


def widens(before: Manifest, after: Manifest) -> bool:
    """Tell whether `after` asks for anything that `before` did not.

    A program that sees readings decides what it puts into its outputs, so a new one always asks for
    more. What an applet may use up (`limits`) tells nobody anything and does not count.
    """
    if Confinement.RAW in (before.confinement, after.confinement):
        return True
    return (
        after.recipient != before.recipient
        or after.purpose != before.purpose
        or after.expires > before.expires
        or (after.protects_itself and not before.protects_itself)
        or _reads_more(before, after)
        or _deals_more(before, after)
        or _says_more(before, after)
    )


def _says_more(before: Manifest, after: Manifest) -> bool:
    """Whether a statement allows more than every one of its kind did before."""
    had = terms_of(before, b"")
    for wanted in terms_of(after, b"", before.aid):
        same = [terms for terms in had if terms.statement == wanted.statement]
        # Consents are by kind: where a kind has several tables, all of them have to cover it.
        if not same or not all(terms.covers(wanted) for terms in same):
            return True
    return False


def _reads_more(before: Manifest, after: Manifest) -> bool:
    """Whether a statement is about a register that it was not about before."""
    had: dict[str, set[str]] = {}
    for grant in before.statements:
        had.setdefault(grant.kind, set()).update(grant.registers)
    return bool(set(after.registers) - set(before.registers)) or any(
        set(grant.registers) - had.get(grant.kind, set()) for grant in after.statements
    )


def _deals_more(before: Manifest, after: Manifest) -> bool:
    """Whether it may ask or answer an applet that it might not before."""

    def dealings(manifest: Manifest) -> set[tuple[str, bytes, int]]:
        asks = {("ask", peer.aid, one) for peer in manifest.peers for one in peer.services}
        answers = {("answer", aid, one.service) for one in manifest.shared for aid in one.clients}
        return asks | answers

    return bool(dealings(after) - dealings(before))
