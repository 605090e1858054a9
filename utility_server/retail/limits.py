# SPDX-License-Identifier: Apache-2.0
"""How much of a period may be unknown: energy that no slot holds, and slots that are estimated.

    limits.toml      unattributed_wh_per_day, estimated_permille          both may be missing

A register goes on while nobody reads it. The energy of that time is in the certified days, in a
commitment of its own, and in no bill. The utility states a limit and asks before it bills. A hub
shows that the period's is within it, or opens the sum of the period. If it does neither, the bill
is refused under the name `unattributed`. One with more estimated slots is refused as `estimated`.

Errors: StoreError, VerificationFailed
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol, Self

from applets.billing.statement import VerifiedBill
from applets.common.bounded_energy import digest_of_days
from applets.common.unattributed import UnattributedLimit, UnattributedQuestion
from protocols.canonical.cose import SignedParts
from protocols.canonical.foreign_text import read_toml
from protocols.metrology import Period
from utility_server.durable import replace_file
from utility_server.errors import HubRefused, StoreError, VerificationFailed
from utility_server.retail.claims import (
    BILL,
    UNATTRIBUTED,
    ClaimingUtility,
    ask,
    bounds_of,
    enter,
    question_of,
    verify,
)

if TYPE_CHECKING:
    from utility_server.head_end import Address, HeadEnd
    from utility_server.retail.ledger import LedgerEntry

FILE: Final = "limits.toml"
LEAST_WH_PER_DAY: Final = 50
"""Hubs answer to no limit of a period below 1 kWh; this makes one of 28 days larger."""
LARGEST_WH_PER_DAY: Final = 10**9
_NAMES: Final = ("unattributed_wh_per_day", "estimated_permille")


@dataclass(frozen=True, slots=True)
class BillLimits:
    """What the utility states; None: it does not ask."""

    unattributed_wh_per_day: int | None = None
    """Energy in no slot, for each day of a period; the period's sum counts."""
    estimated_permille: int | None = None
    """Slots that were interpolated between readings, in 1,000 of the period's."""

    def __post_init__(self) -> None:
        energy, share = self.unattributed_wh_per_day, self.estimated_permille
        if energy is not None and not LEAST_WH_PER_DAY <= energy <= LARGEST_WH_PER_DAY:
            raise StoreError(
                f"unattributed energy: the limit is {LEAST_WH_PER_DAY} Wh a day or more"
            )
        if share is not None and not 0 <= share <= 1000:
            raise StoreError("estimated slots: the limit is 0 to 1000 in 1,000")

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Return the limits of the utility in `folder`; raise `StoreError` if they are damaged."""
        path = folder / FILE
        try:
            members = read_toml(path.read_text())
        except FileNotFoundError:
            return cls()
        except (OSError, ValueError) as error:
            raise StoreError(f"{path}: {error}") from None
        if members.keys() - set(_NAMES) or any(type(one) is not int for one in members.values()):
            raise StoreError(f"{path}: has whole numbers for {' and '.join(_NAMES)}, nothing else")
        try:
            return cls(**members)
        except StoreError as error:
            raise StoreError(f"{path}: {error}") from None

    def write(self, folder: Path) -> None:
        """Put these limits in the place of those in `folder`."""
        lines = [
            f"{name} = {value}\n" for name in _NAMES if (value := getattr(self, name)) is not None
        ]
        replace_file(folder / FILE, "".join(lines).encode())


class LimitingUtility(ClaimingUtility, Protocol):
    """Who states limits: what is used here of a `Utility`."""

    @property
    def limits(self) -> BillLimits:
        """How much of a bill's period may be unknown."""
        ...

    def sign_document(self, payload: bytes, content_type: str) -> bytes:
        """Return a document of this type, signed."""
        ...


def ask_unattributed(
    utility: LimitingUtility, meter: bytes, period: Period, head_end: "HeadEnd", address: "Address"
) -> "LedgerEntry | None":
    """Have a period's unattributed energy bounded or opened, and entered, before it is billed.

    Nothing is asked where there is no limit, or where the ledger has an answer that fits it and is
    not billed yet.
    Raises `VerificationFailed` where the hub shows neither.
    """
    asked = unattributed_question(utility, meter, period)
    if not isinstance(asked, UnattributedQuestion):
        return asked
    with refusing_unattributed(asked):
        answer = ask(utility, UNATTRIBUTED, asked, head_end, address)
    return enter_unattributed(utility, asked, answer)


def unattributed_question(
    utility: LimitingUtility, meter: bytes, period: Period
) -> "UnattributedQuestion | LedgerEntry | None":
    """Return a new question for a period's unattributed energy, or the entry that answers it.

    None where there is no limit.
    """
    limit_wh = _limit_of(utility.limits, period)
    if limit_wh is None:
        return None
    bounds = bounds_of(utility, UNATTRIBUTED, meter, period)
    entries = utility.ledger.of_meters([meter])[meter]
    known = _answers(entries, bounds, limit_wh)
    billed = [one for one in entries if one.kind == BILL.kind and _bounds(one) == bounds]
    if known and not (billed and billed[-1].sequence > known[-1].sequence):
        return known[-1]  # after a bill, days may have been corrected
    limit = UnattributedLimit(limit_wh)
    document = utility.sign_document(limit.encode(), UnattributedQuestion.content_type)
    return question_of(utility, UNATTRIBUTED, meter, bounds, document)


@contextmanager
def refusing_unattributed(question: UnattributedQuestion) -> Iterator[None]:
    """Turn a hub's refusal into what it means: nothing shows how little is in no slot."""
    try:
        yield
    except HubRefused as refused:
        limit_wh = UnattributedLimit.decode(
            SignedParts.decode(question.document, question.content_type).payload
        ).limit_wh
        raise VerificationFailed(
            "unattributed",
            f"the hub neither shows that at most {limit_wh:,} Wh are in no slot nor opens how much"
            f" it is ({refused})",
        ) from None


def enter_unattributed(
    utility: LimitingUtility, question: UnattributedQuestion, answer: bytes
) -> "LedgerEntry":
    """Verify an answer about unattributed energy, and enter it."""
    verified = verify(utility, UNATTRIBUTED, question, answer)
    return enter(utility, verified, verified.result.certified)


def require_limits(
    limits: BillLimits,
    entries: "Iterable[LedgerEntry]",
    period: Period,
    register: bytes,
    verified: VerifiedBill,
) -> None:
    """Return if a verified bill keeps to the utility's limits; raise `VerificationFailed` if not.

    `entries` are the meter's in the ledger. `register` is the import register: of what is fed in,
    energy in no slot is the customer's loss.
    """
    share = limits.estimated_permille
    if share is not None and 1000 * verified.estimated > share * verified.slots:
        raise VerificationFailed(
            "estimated",
            f"{verified.estimated} of {verified.slots} slots are estimated; the limit is {share} in"
            " 1,000",
        )
    limit_wh = _limit_of(limits, period)
    days = tuple(day for day in verified.certified if day.content.register == register)
    if limit_wh is None or not days:
        return
    bounds = (verified.begin, verified.end)
    # Of these very days: another version of them may have hidden something else.
    digest = digest_of_days(days)
    if not any(one.content["days"] == digest for one in _answers(entries, bounds, limit_wh)):
        raise VerificationFailed(
            "unattributed",
            f"nothing shows that at most {limit_wh:,} Wh are in no slot, and how much it is was not"
            " opened",
        )


def _limit_of(limits: BillLimits, period: Period) -> int | None:
    per_day = limits.unattributed_wh_per_day
    return None if per_day is None else per_day * ((period.last - period.first).days + 1)


def _bounds(entry: "LedgerEntry") -> tuple[object, object]:
    return entry.content["begin"], entry.content["end"]


def _answers(
    entries: "Iterable[LedgerEntry]", bounds: tuple[int, int], limit_wh: int
) -> "list[LedgerEntry]":
    """Return the entries that bound a period's unattributed energy so low, or open it."""
    return [
        entry
        for entry in entries
        if entry.kind == UNATTRIBUTED.kind
        and _bounds(entry) == bounds
        and ("opened_wh" in entry.content or int(entry.content["limit_wh"]) <= limit_wh)
    ]
