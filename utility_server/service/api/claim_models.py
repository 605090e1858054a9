# SPDX-License-Identifier: Apache-2.0
"""What goes over the interface of settlements and profiles of many customers."""

from typing import Annotated, Final, Literal

from pydantic import Field, StringConstraints

from applets.profiling.messages import MOST_STEP, Method
from utility_server.service.api.models import (
    Base64Text,
    Days,
    HostPort,
    MeterText,
    Model,
    MonthText,
)

LONGEST_DOCUMENT: Final = 1_000_000
"""Of an index or a set of profiles in Base64; a request has 1 MiB at most."""
MOST_SUPPLIERS: Final = 1_000
MOST_NAMED: Final = 10_000

SupplierName = Annotated[
    str, StringConstraints(pattern=r"^[^\x00-\x1f\x7f]*$", min_length=1, max_length=60)
]
RegionName = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._/-]{0,63}$", max_length=64)
]
ZoneName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_+/-]{1,64}$", max_length=64)]


class _Order(Model):
    period: Days | None = None
    month: MonthText | None = Field(default=None, description="A whole month, instead of a period.")
    addresses: dict[MeterText, HostPort] = Field(
        {}, max_length=MOST_NAMED, description="Where hubs are asked; others dial in."
    )
    tries: int = Field(5, ge=1, le=20)
    retry_seconds: int = Field(300, ge=1, le=86_400)
    wait_seconds: int = Field(
        0, ge=0, le=31_536_000, description="How long hubs are waited for; 0: until cancelled."
    )


class NewSettlementRun(_Order):
    """A settlement: of a period or a month, over suppliers' customers."""

    index: Base64Text = Field(
        max_length=LONGEST_DOCUMENT,
        description="The price index, not signed or signed by this utility, in Base64.",
    )
    suppliers: dict[SupplierName, list[MeterText]] = Field(
        min_length=1, max_length=MOST_SUPPLIERS,
        description="Each supplier's customers. Of a single one, an empty list is all customers.",
    )  # fmt: skip


class NewProfileRun(_Order):
    """Profiles of customers: which of several load profiles each is most like."""

    profiles: Base64Text = Field(
        max_length=LONGEST_DOCUMENT, description="The set of profiles, in Base64."
    )
    method: Method = Field(
        Method.MATCH,
        description="What hubs tell: the best match alone, a score for each, or a sample.",
    )
    one_in: int | None = Field(
        default=None, ge=2, le=MOST_STEP, description="Of a sample: one reading in so many."
    )
    meters: list[MeterText] = Field([], max_length=MOST_NAMED, description="Empty: all customers.")


class ClaimRunState(Model):
    """A run over many customers, and how far it is."""

    run: str
    kind: str
    state: str
    created: str
    changed: str
    period: Days
    done: int
    total: int
    counts: dict[str, int] = Field(description="Customers by state.")
    facts: dict[str, str | int] = Field(description="What was asked under.")
    reason: str | None = Field(description="In a word, why it has failed.")
    why: str | None


class ClaimRunItem(Model):
    """One customer of a run."""

    meter: str
    supplier: str | None
    state: str
    period: Days | None
    tries: int
    next_try: str | None
    reason: str | None = Field(
        description="In a word, why it does not go on: `hub-6985` is a hub's refusal."
    )
    why: str | None = Field(description="The same in a sentence.")
    entry: int | None = Field(description="The number of the ledger's entry.")
    value: str | None = Field(
        description="What was proved: in 10^-9 of the currency, or the best profile's name."
    )
    missing_slots: int | None


class SupplierShareModel(Model):
    """What a supplier's customers used was worth."""

    supplier: str
    customers: int = Field(description="How many are settled.")
    exact: str = Field(description="In 10^-9 of the currency.")
    share: str = Field(description="To the penny; the shares add up to the total.")


class SettlementResult(Model):
    """What a settlement has come to by now."""

    run: str
    state: str
    period: Days
    series: str
    revision: int
    currency: str
    suppliers: list[SupplierShareModel]
    total: str
    settled: int
    unsettled: int = Field(description="Customers who are left out, or whose answer is to come.")
    missing_slots: int
    provisional: bool = Field(description="Whether somebody is left out, or a slot has no reading.")


class NewGroupSettlementRun(Model):
    """A settlement by one number of all customers of a supplier, which the MDMS opens."""

    period: Days | None = None
    month: MonthText | None = Field(default=None, description="A whole month, instead of a period.")
    index: Base64Text = Field(
        max_length=LONGEST_DOCUMENT,
        description="The price index, not signed or signed by this utility, in Base64.",
    )
    regions: dict[SupplierName, list[RegionName]] = Field(
        min_length=1, max_length=MOST_SUPPLIERS,
        description="The regions of each supplier's customers; each region once.",
    )  # fmt: skip
    zone: ZoneName = Field(description="Whose days are meant.")
    resolution_minutes: Literal[5, 15, 30, 60] | None = Field(
        default=None, description="Minutes that have one price; the index's step unless given."
    )
    value_bits: int = Field(
        20, ge=8, le=32, description="No customer's use in a slot may reach 2^BITS Wh."
    )
    again: bool = Field(
        False, description="Ask the hubs although the number is known; they count it."
    )


class LeftOut(Model):
    """A home that is in no sum."""

    meter: str
    why: str


class SettledRegion(Model):
    """What came of a region."""

    supplier: str
    region: str
    exact: str | None = Field(description="In 10^-9 of the currency; null: it was not opened.")
    homes: int
    missing_slots: int
    known_before: bool = Field(description="Whether no hub was asked for it now.")
    left_out: int = Field(description="How many homes are in no sum.")
    unsettled: list[LeftOut]
    problems: list[str] = Field(
        description="Why the sum is not there or not right, or who has tried to spoil it."
    )


class GroupSettlementSummary(Model):
    """A settlement by one number of each region, and how far it is."""

    run: str
    state: str
    created: str
    changed: str
    period: Days
    zone: str
    series: str
    revision: int
    currency: str
    done: int = Field(description="Regions that were asked about.")
    total: int
    reason: str | None = Field(description="In a word, why it has failed.")
    why: str | None


class GroupSettlementState(GroupSettlementSummary):
    """The same, with what has come of it by now."""

    suppliers: list[SupplierShareModel]
    total_share: str
    provisional: bool
    regions: list[SettledRegion]
