# SPDX-License-Identifier: Apache-2.0
"""Requests of one rounded sum, with weights as they come: no amount on the wire has them all."""

from fractions import Fraction

from hub.disclosure import Form, Number, ReleaseRequest
from hub.disclosure.numbers import LARGEST_POWER_W
from protocols.amounts import Excess, Metered, Peaks, QuotientRule, Sum, Tiered, Total

CENT = 10**7
"""Prices are in 10^-9 of the currency a watt-hour, as in tariffs; what is told is in its cents."""


def number_of_sum(form: Form, coin: int = CENT) -> Number:
    most = LARGEST_POWER_W * form.slot_seconds // 3600
    low = sum(w for w in form.weights if w < 0) * most // coin
    high = sum(w for w in form.weights if w > 0) * most // coin
    sizes = {abs(weight) for weight in form.weights if weight}
    prices = (Fraction(min(sizes), coin), Fraction(max(sizes), coin)) if sizes else None
    return Number("linear", (form,), max(1, (high - low).bit_length()), prices)


def in_coins(amount: Sum | Tiered | Peaks | Excess, coin: int = CENT) -> Total:
    """Return an amount, told in units of so many of its own."""
    return Total((Metered(0, amount),), (), coin, QuotientRule.HALF_UP)


def sum_request(
    applet: bytes,
    package: bytes,
    recipient: str,
    purpose: str,
    days: int,
    form: Form,
    subject: bytes,
    coin: int = CENT,
) -> ReleaseRequest:
    number = number_of_sum(form, coin)
    return ReleaseRequest(applet, package, recipient, purpose, days, (number,), subject)
