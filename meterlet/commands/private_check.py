# SPDX-License-Identifier: Apache-2.0
"""Whether hubs will answer private bills under a tariff: asked before it is signed.

The rules are those of the release guard, for a hub that was asked nothing else about the period,
and for consents as the shipped billing applet asks for them: the ordinary one, and the one by bits
for prices that are further apart.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from importlib.resources import files
from typing import Any, Final

from applets.billing.charges import plan_bill
from hub.disclosure import ConsentTerms, ReleaseRefused, ReleaseRequest, number_of
from hub.disclosure.guard import check_alone
from hub.installer import terms_of
from hub.machine.manifest import Manifest
from protocols.metrology import Period
from tariffs import Register, Tariff, TariffError

CONSENTS: Final = {"ordinary": "manifest.toml", "by bits": "dynamic.toml"}
"""The manifests of the billing applet, each with what it asks consent to."""
REGISTERS: Final = {Register.IMPORT: "", Register.EXPORT: "1-0:2.8.0*255"}
MOST_MONTHS: Final = 36
CHANGES: Final = {
    "price": "bring the lowest prices up or the highest down, round to fewer decimals,"
    " or have it billed under the consent by bits",
    "size": "round the total to larger units",
    "fineness": "let charges depend on eight hours of the period or more",
    "window": "let charges depend on the whole period",
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
    consents = {name: _terms(manifest) for name, manifest in CONSENTS.items()}
    day = date.fromordinal(tariff.valid_from.toordinal())
    if day.day > 1:
        day = (day.replace(day=1) + timedelta(days=32)).replace(day=1)
    for _ in range(MOST_MONTHS):
        after = (day + timedelta(days=32)).replace(day=1)
        if after > tariff.valid_until:
            return
        yield _bill(tariff, Period.month(day.year, day.month), slot_minutes, consents)
        day = after


def private_period(tariff: Tariff, period: Period, slot_minutes: int = 15) -> PrivateBill:
    """Return whether the bill of one period would be answered."""
    consents = {name: _terms(manifest) for name, manifest in CONSENTS.items()}
    return _bill(tariff, period, slot_minutes, consents)


def _bill(
    tariff: Tariff,
    period: Period,
    slot_minutes: int,
    consents: Mapping[str, Mapping[str, ConsentTerms]],
) -> PrivateBill:
    begin, end = period.bounds(tariff.zone)
    starts = range(begin, end, 60 * slot_minutes)
    try:
        plan = plan_bill(tariff, starts, 60 * slot_minutes, [0] * len(starts), begin, end)
    except TariffError as error:
        return PrivateBill(period, None, rule="tariff", reason=str(error))
    registers = [REGISTERS[one] for one in plan.registers]
    number = number_of(plan.total, begin, 60 * slot_minutes, len(starts), registers)
    rule = reason = ""
    for name, terms in consents.items():
        who = next(iter(terms.values()))
        request = ReleaseRequest(
            who.applet, who.package, who.recipient, who.purpose,
            period.day_count, (number,), tariff.digest,
        )  # fmt: skip
        try:
            check_alone(request, {kind: terms[kind] for kind in request.kinds})
        except ReleaseRefused as refused:
            rule, reason = rule or refused.rule, reason or refused.reason
        else:
            return PrivateBill(period, name, number.bits, rule, reason)
    return PrivateBill(period, None, number.bits, rule, reason)


def _terms(manifest: str) -> dict[str, ConsentTerms]:
    text = (files("applets.billing") / manifest).read_text(encoding="utf-8")
    return {one.statement: one for one in terms_of(Manifest.from_toml(text), bytes(32))}
