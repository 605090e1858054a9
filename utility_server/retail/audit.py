# SPDX-License-Identifier: Apache-2.0
"""The ledger's entries, verified again from their evidence, and that they say just that.

Entries are verified many at once, since their proofs are (`utility_server.retail.batches`). The
first one that is wrong is named all the same, in the order of the ledger.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from protocols.proofs import Check, find_refused, name_of_refused
from utility_server.errors import UtilityError, VerificationFailed
from utility_server.retail.claims import CLAIMS, Claim, ClaimingUtility, bill_correction
from utility_server.retail.verification import BillBundle

if TYPE_CHECKING:  # who verifies offline has no database
    from utility_server.retail.ledger import Content, LedgerEntry

AT_ONCE: Final = 64
"""How many entries are verified at once: their evidence is in memory."""


def check_entry(utility: ClaimingUtility, entry: "LedgerEntry") -> None:
    """Verify an entry again, from its evidence, and that it says just that.

    Raises `VerificationFailed` or `CannotVerify`. Entries that claim nothing (`refused`) are passed
    over.
    """
    for _ in verified_entries(utility, [entry]):
        pass


def verified_entries(
    utility: ClaimingUtility, entries: "Iterable[LedgerEntry]"
) -> "Iterator[LedgerEntry]":
    """Yield the entries, each once it is verified as `check_entry` does it.

    Raises at the first one that is wrong, as `check_entry` does, and what `entries` raises once all
    before it are verified.
    """
    source, broken, is_over = iter(entries), None, False
    while not is_over:
        examined = list[_Examined]()
        while len(examined) < AT_ONCE and not is_over:
            try:
                examined.append(_examine(utility, next(source)))
            except StopIteration:
                is_over = True
            except UtilityError as error:
                broken, is_over = error, True
        refused = _refused(examined)
        for place, one in enumerate(examined):
            if one.wrong is not None or place in refused:
                raise one.wrong or _failed(one.entry, "proof", refused[place])
            _require_said(utility, one)
            yield one.entry
    if broken is not None:
        raise broken


@dataclass(frozen=True, slots=True)
class _Evidence:
    """What the evidence of an entry proves, once the checks hold."""

    claim: Claim[Any, Any, Any]
    bundle: BillBundle
    question: Any
    document: Any
    result: Any
    checks: Sequence[Check]


@dataclass(frozen=True, slots=True)
class _Examined:
    """An entry and its evidence: none where it claims nothing, or where the evidence is wrong."""

    entry: "LedgerEntry"
    evidence: _Evidence | None = None
    wrong: UtilityError | None = None


def _examine(utility: ClaimingUtility, entry: "LedgerEntry") -> _Examined:
    claim = CLAIMS.get(entry.kind)
    if claim is None:
        return _Examined(entry)
    try:
        bundle = claim.bundle.decode(utility.ledger.evidence(entry))
        return _Examined(entry, _Evidence(claim, bundle, *claim.examine(bundle, is_stored=True)))
    except VerificationFailed as failed:
        return _Examined(entry, wrong=_failed(entry, failed.check, failed.reason))
    except UtilityError as error:
        return _Examined(entry, wrong=error)


def _refused(examined: Sequence[_Examined]) -> dict[int, str]:
    """Return the places of those whose proofs do not hold, with what is wrong."""
    checks, owners = list[Check](), list[int]()
    for place, one in enumerate(examined):
        own = () if one.evidence is None else one.evidence.checks
        checks += own
        owners += [place] * len(own)
    return {
        owners[at]: f"the proof does not hold: {name_of_refused(checks[at])}"
        for at in reversed(find_refused(checks))
    }


def _require_said(utility: ClaimingUtility, one: _Examined) -> None:
    """Return if an entry says what its evidence proves; raise `VerificationFailed` if not."""
    entry, evidence = one.entry, one.evidence
    if evidence is None:
        return
    claim, bundle, result = evidence.claim, evidence.bundle, evidence.result
    if bundle.supplier != utility.keys.public.public_bytes_raw():
        raise _failed(entry, "ledger", claim.signed_otherwise)
    if bundle.certifier != utility.customers.find(entry.meter, *claim.aids).certifier:
        raise _failed(entry, "ledger", "certified by another key than enrolled")
    said = {name: value for name, value in entry.content.items() if name != "evidence"}
    added: Content = {name: str(said.get(name)) for name in claim.added}
    if any(name in said for name in claim.may_add):
        found = bill_correction(utility, entry.meter, said.get("replaces"), result)
        added = {**added, **({} if found is None else found.facts)}
    about = evidence.question.about
    proved = {**claim.content(about, evidence.document, result), **added}
    if about.meter != entry.meter or said != proved:
        raise _failed(entry, "ledger", "it does not say what was verified")


def _failed(entry: "LedgerEntry", check: str, reason: str) -> VerificationFailed:
    return VerificationFailed(check, f"entry {entry.sequence}: {reason}")
