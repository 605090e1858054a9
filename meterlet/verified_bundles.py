# SPDX-License-Identifier: Apache-2.0
"""Bundles that a supplier hands out, verified offline: bills, settlements and profiles.

A bundle holds a question, a hub's answer and the public keys that signed the tariff (or the index,
or the request) and the meter's days. Whoever verifies says which keys are to be trusted; without
`supplier` and `certifier` they are the bundle's own, and the result says which those are.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from applets.billing.statement import VerifiedBill
from applets.common.questions import About
from meterlet.key_files import KeyFileProblem, public_key
from protocols.canonical.day_zone import zone_named
from protocols.carried import CarriedState
from protocols.errors import MeterletError
from protocols.metrology import ExchangedMeter, Period
from tariffs import Bill, BillItem
from tariffs.invoice import CorrectedSlots
from utility_server.errors import CannotVerify, VerificationFailed
from utility_server.retail.claims import BILL, PROFILE, SETTLEMENT
from utility_server.retail.corrected_bills import (
    BillCorrection,
    corrected_slots,
    correction_between,
)
from utility_server.retail.verification import (
    BillBundle,
    ProfilingBundle,
    SettlementBundle,
    decode_bundle,
)

PublicKey = Ed25519PublicKey | bytes | str | os.PathLike[str]
"""An Ed25519 key: itself, its 32 bytes, these in hex, or the path of its PEM file.

A text is hex, a path is a `pathlib.Path`.
"""


@dataclass(frozen=True, slots=True)
class BundleResult:
    """What every verified bundle says."""

    meter: str
    """The meter's identification, in hex."""
    begin: datetime
    end: datetime
    """The period, on the meter's local clock; it ends before this moment."""
    supplier: str
    """Who signed the tariff, the index or the request: the Ed25519 key in hex."""
    certifier: str
    """Who signed the meter's days: the Ed25519 key in hex."""
    missing_slots: int
    """Slots without a reading: they are not billed, and the amount is provisional."""

    @property
    def period(self) -> Period:
        """The same as local days, both ends included."""
        return Period(self.begin.date(), (self.end - timedelta(seconds=1)).date())


@dataclass(frozen=True, slots=True)
class BillLine:
    """A line of the invoice."""

    name: str
    """The charge in the tariff, with its band where it has one."""
    kind: str
    quantity: int | None
    """None where only the amount was told, as of energy in a private bill."""
    unit: str
    """`Wh`, `W`, `day`, `month`, `quarter`, `year`, `period`, or empty."""
    amount: Decimal
    """Exact, in the bill's currency."""


@dataclass(frozen=True, slots=True)
class BundleMemory:
    """Which state of which account a bill goes on from, and which it leaves for the next one."""

    account: str
    """The contract, in hex: it names nobody."""
    bill: int
    """How many bills the account has with this one."""
    before: str
    """The digest of the state that the bill goes on from, in hex."""
    after: str
    """The digest of the one that it leaves."""
    carried: tuple[str, ...]
    """The names of the values that it leaves: committed to, and told to nobody."""
    paid: Decimal
    """What was paid in advance since the bill before."""
    is_last: bool = False
    """Whether the contract ends with it: it settles all, and no bill goes on from it."""


@dataclass(frozen=True, slots=True)
class VerifiedBillBundle(BundleResult):
    """A bill that is right."""

    tariff: str
    currency: str
    total: Decimal
    """What is to be paid, rounded by the tariff's rule."""
    lines: tuple[BillLine, ...]
    """What it is made of, of release 0.1 alone: the hub tells nothing but the total."""
    bits: int
    """The size of the total in its smallest unit, which is the number that the hub told for it."""
    exact: Bill | None = field(repr=False)
    """The bill as exact integers; of release 0.1 alone."""
    corrected: tuple[CorrectedSlots, ...] = ()
    """The days of which readings came late or were replaced after they had been certified."""
    verified: VerifiedBill | None = field(default=None, repr=False, compare=False)
    """The bill as it was checked, to compare with others."""
    memory: BundleMemory | None = None
    """None under a tariff without memory: the bill is of its own period alone."""
    exchanges: tuple[ExchangedMeter, ...] = ()
    """The meters that were exchanged within the period."""


@dataclass(frozen=True, slots=True)
class VerifiedSettlementBundle(BundleResult):
    """What a customer used, at a price index, that is right."""

    series: str
    revision: int
    currency: str
    value: int
    """In 10^-9 of the currency."""


@dataclass(frozen=True, slots=True)
class VerifiedProfileBundle(BundleResult):
    """Which of several load profiles a customer is like, rightly."""

    profiles: str
    method: str
    best: str


AnyResult = VerifiedBillBundle | VerifiedSettlementBundle | VerifiedProfileBundle


def verify_bill(
    bundle: bytes | str | os.PathLike[str],
    *,
    supplier: PublicKey | None = None,
    certifier: PublicKey | None = None,
) -> VerifiedBillBundle:
    """Return the bill in a bundle (its bytes, or the path of its file) if it is right.

    Raises `VerificationFailed` if it is wrong, with the check that found it and, where that is
    known, the difference; also where another than `supplier` or `certifier` has signed. Raises
    `CannotVerify` where what would show it is missing, and `OSError` for an unreadable file.
    """
    verified = verify_bundle(bundle, supplier=supplier, certifier=certifier)
    if not isinstance(verified, VerifiedBillBundle):
        raise CannotVerify("a bundle of another kind, not of a bill")
    return verified


def verify_bundle(
    bundle: bytes | str | os.PathLike[str],
    *,
    supplier: PublicKey | None = None,
    certifier: PublicKey | None = None,
) -> AnyResult:
    """Return what a bundle of any kind says if it is right; raise as `verify_bill` does."""
    return check_bundle(read_bundle(bundle), supplier, certifier)


def correction_of(old: VerifiedBillBundle, new: VerifiedBillBundle) -> BillCorrection | None:
    """Return what corrections made of a bill: the difference, and for which days.

    None where no slot was corrected in between. Raises `VerificationFailed` where the bills are not
    of one meter and period, or of other days.
    """
    about = [(one.meter, one.begin, one.end, one.supplier, one.certifier) for one in (old, new)]
    if about[0] != about[1] or old.verified is None or new.verified is None:
        raise VerificationFailed("chain", "the bills are not of one meter, period and supplier")
    return correction_between(old.verified, new.verified)


def verify_chain(
    bundles: Sequence[bytes | str | os.PathLike[str]],
    *,
    supplier: PublicKey | None = None,
    certifier: PublicKey | None = None,
) -> tuple[VerifiedBillBundle, ...]:
    """Return the bills in bundles if each is right and goes on from the one before it.

    Of tariffs with memory alone. Raises as `verify_bill` does, under the name `memory` where a bill
    goes on from another one.
    """
    bills = tuple(verify_bill(bundle, supplier=supplier, certifier=certifier) for bundle in bundles)
    require_chain(bills)
    return bills


def require_chain(bills: Sequence[AnyResult]) -> None:
    """Return if each bill goes on from the state that the one before it has left.

    Raises `VerificationFailed`, under the name `memory`, where one does not.
    """
    last: BundleMemory | None = None
    for place, bill in enumerate(bills, start=1):
        memory = bill.memory if isinstance(bill, VerifiedBillBundle) else None
        if memory is None:
            raise VerificationFailed(
                "memory", f"bundle {place} is no bill that goes on from others"
            )
        if last is not None and last.is_last and memory.account == last.account:
            raise VerificationFailed(
                "memory",
                f"bundle {place} is bill {memory.bill} of the account, and bill {last.bill} before"
                " it was the contract's last one, from which none goes on",
            )
        if last is not None and (memory.account, memory.before) != (last.account, last.after):
            whose = "the same" if memory.account == last.account else "another"
            raise VerificationFailed(
                "memory",
                f"bundle {place} is bill {memory.bill} of {whose} account, and does not go on from"
                f" what bill {last.bill} before it has left",
            )
        last = memory


def read_bundle(bundle: bytes | str | os.PathLike[str]) -> BillBundle:
    """Return a bundle that is not verified yet; raise `CannotVerify` where it is none."""
    if isinstance(bundle, bytes):
        return decode_bundle(bundle)
    try:
        return decode_bundle(Path(bundle).read_bytes())
    except CannotVerify as error:
        raise CannotVerify(f"{bundle}: {error}") from None


def check_bundle(
    evidence: BillBundle, supplier: PublicKey | None, certifier: PublicKey | None
) -> AnyResult:
    """Return what a bundle says if it is right; raise as `verify_bill` does."""
    if supplier is not None and _key(supplier) != evidence.supplier:
        raise VerificationFailed("supplier", "signed for another supplier")
    if certifier is not None and _key(certifier) != evidence.certifier:
        raise VerificationFailed("certifier", "of another certifier")
    match evidence:
        case SettlementBundle():
            return _settlement(evidence)
        case ProfilingBundle():
            return _profile(evidence)
        case _:
            return _bill(evidence)


def _key(key: PublicKey) -> bytes:
    """Return the 32 bytes of a key; raise `MeterletError` where it is none."""
    try:
        match key:
            case Ed25519PublicKey():
                return key.public_bytes_raw()
            case bytes():
                raw = key
            case str():
                raw = bytes.fromhex(key)
            case _:
                return public_key(Path(key)).public_bytes_raw()
    except KeyFileProblem as error:
        raise MeterletError(str(error)) from error
    except ValueError:
        raw = b""
    if len(raw) != 32:
        raise MeterletError("a key is 32 bytes, or 64 hexadecimal digits")
    return raw


def _bill(evidence: BillBundle) -> VerifiedBillBundle:
    question, tariff, verified = BILL.verify(evidence, is_stored=True)
    exact = verified.exact
    number = int(verified.total.scaleb(tariff.rounding.decimals))
    return VerifiedBillBundle(
        *_common(question.about, evidence),
        len(verified.missing),
        tariff.name,
        verified.currency,
        verified.total,
        () if exact is None else tuple(_line(one, exact.exact_decimals) for one in exact.items),
        number.bit_length(),
        exact,
        corrected_slots(verified.certified),
        verified,
        None if verified.state is None else _memory(verified.state, verified),
        verified.exchanges,
    )


def _memory(state: CarriedState, verified: VerifiedBill) -> BundleMemory:
    return BundleMemory(
        state.account.hex(),
        state.number,
        state.previous.hex(),
        state.digest.hex(),
        tuple(value.name for value in state.values),
        Decimal(verified.paid).scaleb(-6),
        verified.is_last,
    )


def _line(item: BillItem, decimals: int) -> BillLine:
    name = f"{item.component} {item.label}".rstrip()
    amount = Decimal(item.amount_exact).scaleb(-decimals)
    return BillLine(name, item.kind, item.quantity, item.unit, amount)


def _settlement(evidence: SettlementBundle) -> VerifiedSettlementBundle:
    question, index, settled = SETTLEMENT.verify(evidence, is_stored=True)
    return VerifiedSettlementBundle(
        *_common(question.about, evidence),
        len(settled.missing),
        index.series,
        index.version,
        index.currency,
        settled.value,
    )


def _profile(evidence: ProfilingBundle) -> VerifiedProfileBundle:
    question, request, profiled = PROFILE.verify(evidence, is_stored=True)
    return VerifiedProfileBundle(
        *_common(question.about, evidence),
        profiled.missing,
        request.profiles.name,
        request.method.value,
        profiled.best,
    )


def _common(about: About, evidence: BillBundle) -> tuple[str, datetime, datetime, str, str]:
    """Return the first fields of every result."""
    return (
        about.meter.hex(),
        _moment(about.begin, evidence.zone),
        _moment(about.end, evidence.zone),
        evidence.supplier.hex(),
        evidence.certifier.hex(),
    )


def _moment(seconds: int, zone: str) -> datetime:
    return datetime.fromtimestamp(seconds, zone_named(zone))
