# SPDX-License-Identifier: Apache-2.0
"""Whether hubs will answer private bills under a tariff: asked before it is signed.

The rules are those of the release guard, for a hub that was asked nothing else about the period,
and for consents as the shipped billing applet asks for them: the ordinary one, and the one by bits
for prices that are further apart. Under a tariff with memory the bills of one contract are looked
at, month after month from its first one on, with the consent that lets them go on from each other.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from importlib.resources import files
from typing import Any, Final

from applets.billing.charges import plan_bill
from hub.disclosure import ConsentTerms, ReleaseRefused, ReleaseRequest, number_of
from hub.disclosure.guard import check_alone
from hub.disclosure.memory import MemoryStep, Remembered
from hub.disclosure.numbers import Number
from hub.installer import terms_of
from hub.machine.manifest import Manifest
from protocols.amounts import Carried, Total
from protocols.carried import CarriedState, CarriedValue
from protocols.metrology import Period
from tariffs import Register, Tariff, TariffError

CONSENTS: Final = {"ordinary": "manifest.toml", "by bits": "dynamic.toml"}
"""The manifests of the billing applet, each with what it asks consent to."""
CONSENTS_WITH_MEMORY: Final = {"with memory": "memory.toml"}
"""The same for tariffs with memory."""
CONSENT_WORDS: Final = {
    "ordinary": "the ordinary consent",
    "by bits": "the consent by bits",
    "with memory": "the consent with memory",
}
"""How each is named in a sentence."""
REGISTERS: Final = {Register.IMPORT: "", Register.EXPORT: "1-0:2.8.0*255"}
MOST_MONTHS: Final = 36
CHANGES: Final = {
    "price": "bring the lowest prices up or the highest down, round to fewer decimals,"
    " or have it billed under the consent by bits",
    "size": "round the total to larger units",
    "fineness": "let charges depend on eight hours of the period or more",
    "window": "let charges depend on the whole period",
    "memory": "let bills go on from less of the past",
    "period": "bill more days at once, as the rest of a month with the next one",
    "tariff": "change what the reason names",
}
"""What a supplier can do, by the rule that is broken."""


@dataclass(frozen=True, slots=True)
class PrivateBill:
    """Whether a period's bill would be answered."""

    period: Period
    consent: str | None
    """The name in `CONSENTS` of the first that suffices; None: it is not answered."""
    bits: int = 0
    """What the bill tells at most; 0 where there is none."""
    rule: str = ""
    """What the ordinary consent's bill breaks, or `tariff` where there is no bill to prove."""
    reason: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return what the command prints."""
        return {
            "from": str(self.period.first),
            "until": str(self.period.last),
            **({"month": str(self.period)} if len(str(self.period)) == len("2025-03") else {}),
            "answered": self.consent is not None,
            "consent": self.consent,
            "bits": self.bits or None,
            "rule": self.rule or None,
            "reason": self.reason or None,
            "change": CHANGES[self.rule] if self.rule else None,
        }


def private_months(tariff: Tariff, slot_minutes: int = 15) -> Iterator[PrivateBill]:
    """Yield each month that a tariff prices whole, up to `MOST_MONTHS`, oldest first."""
    consents, before = _consents(tariff), None
    day = date.fromordinal(tariff.valid_from.toordinal())
    if day.day > 1:
        day = (day.replace(day=1) + timedelta(days=32)).replace(day=1)
    for _ in range(MOST_MONTHS):
        after = (day + timedelta(days=32)).replace(day=1)
        if after > tariff.valid_until:
            return
        period = Period.month(day.year, day.month)
        bill, before = _bill(tariff, period, slot_minutes, consents, before)
        yield bill
        day = after


def private_period(tariff: Tariff, period: Period, slot_minutes: int = 15) -> PrivateBill:
    """Return whether the bill of one period would be answered, as the first of its contract."""
    return _bill(tariff, period, slot_minutes, _consents(tariff), None)[0]


@dataclass(frozen=True, slots=True)
class _Left:
    """What a bill with memory leaves for the next one: names alone, and what the guard knows."""

    state: CarriedState
    remembered: Remembered

    @classmethod
    def nothing(cls, begin: int) -> "_Left":
        """Return what the first bill of a contract goes on from."""
        return cls(CarriedState.opening(b"meter", bytes(16), begin), {})

    def after(self, total: Total, end: int, remembered: Remembered) -> "_Left":
        """Return what a bill leaves that has gone on from this."""
        values = [
            CarriedValue(Carried(one.name, one.low, one.bits), bytes(33)) for one in total.kept
        ]
        return _Left(self.state.following(end, values), remembered)


def _bill(
    tariff: Tariff,
    period: Period,
    slot_minutes: int,
    consents: Mapping[str, Mapping[str, ConsentTerms]],
    before: _Left | None,
) -> tuple[PrivateBill, _Left | None]:
    """Return whether a bill would be answered, and what it leaves under a tariff with memory."""
    begin, end = period.bounds(tariff.zone)
    seconds = 60 * slot_minutes
    starts = range(begin, end, seconds)
    if tariff.has_memory and before is None:
        before = _Left.nothing(begin)
    state = None if before is None else before.state
    try:
        plan = plan_bill(tariff, starts, seconds, [0] * len(starts), begin, end, state)
    except TariffError as error:
        return PrivateBill(period, None, rule="tariff", reason=str(error)), None
    registers = [REGISTERS[one] for one in plan.registers]
    if before is None:
        numbers = [number_of(plan.total, begin, seconds, len(starts), registers)]
        return _answered(tariff, period, numbers, consents), None
    step = MemoryStep(
        [plan.total], begin, seconds, len(starts), registers, [()] * len(registers),
        before.state.digest, before.remembered,
    )  # fmt: skip
    bill = _answered(tariff, period, step.numbers(), consents)
    return bill, before.after(plan.total, end, step.kept())


def _answered(
    tariff: Tariff,
    period: Period,
    numbers: Sequence[Number],
    consents: Mapping[str, Mapping[str, ConsentTerms]],
) -> PrivateBill:
    bits = numbers[0].bits
    rule = reason = ""
    for name, terms in consents.items():
        who = next(iter(terms.values()))
        request = ReleaseRequest(
            who.applet, who.package, who.recipient, who.purpose,
            period.day_count, tuple(numbers), tariff.digest,
        )  # fmt: skip
        try:
            check_alone(request, {kind: terms[kind] for kind in request.kinds})
        except ReleaseRefused as refused:
            rule, reason = rule or refused.rule, reason or refused.reason
        else:
            return PrivateBill(period, name, bits, rule, reason)
    return PrivateBill(period, None, bits, rule, reason)


def _consents(tariff: Tariff) -> dict[str, dict[str, ConsentTerms]]:
    manifests = CONSENTS_WITH_MEMORY if tariff.has_memory else CONSENTS
    return {name: _terms(manifest) for name, manifest in manifests.items()}


def _terms(manifest: str) -> dict[str, ConsentTerms]:
    text = (files("applets.billing") / manifest).read_text(encoding="utf-8")
    return {one.statement: one for one in terms_of(Manifest.from_toml(text), bytes(32))}
