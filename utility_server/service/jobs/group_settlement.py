# SPDX-License-Identifier: Apache-2.0
"""Settlements by one number of all customers of a supplier, which the MDMS opens: a run.

Each region is a round of the MDMS, and a slice of the run. A round may take minutes: a thread of
its own works on these runs. What is known of a region is kept when its round is over; a service
that dies in the middle has that round asked for again. The MDMS tells a number that it knows
without asking a hub, unless the run says to ask again.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from protocols.metrology import Period
from tariffs import PriceIndex
from utility_server.errors import ServiceRefused
from utility_server.grid.private_settlement import (
    PrivateSettlement,
    PrivateSettlementRequest,
    settle_privately,
)
from utility_server.retail.claim_runs import ClaimItems
from utility_server.retail.failures import printed
from utility_server.service.jobs.bill_run import Slice
from utility_server.service.jobs.store import Facts, Job

KIND: Final = "group-settlement-run"
MOST_LISTED: Final = 250
"""Of one region, meters that are in no sum and are named; a group has fewer homes."""


@dataclass(frozen=True, slots=True)
class GroupOrder:
    """What a run is to do."""

    document: bytes
    """SHA-256 of the index, which `ClaimItems` keeps."""
    about: Mapping[str, str | int]
    """What people are told of the index."""
    period: Period
    zone: str
    regions: Sequence[tuple[str, str]]
    """A supplier, and a region of its customers; each region once."""
    resolution_minutes: int
    """0: of the index."""
    value_bits: int
    is_again: bool

    def facts(self) -> Facts:
        """Return it as it is kept."""
        return {
            "document": self.document,
            "about": dict(self.about),
            "period": f"{self.period.first}..{self.period.last}",
            "zone": self.zone,
            "regions": [list(one) for one in self.regions],
            "resolution": self.resolution_minutes,
            "bits": self.value_bits,
            "again": self.is_again,
        }

    @classmethod
    def of(cls, facts: Facts) -> "GroupOrder":
        """Return what was kept."""
        return cls(
            document=bytes(facts["document"]),
            about=facts["about"],
            period=Period.parse(facts["period"]),
            zone=facts["zone"],
            regions=[(str(supplier), str(region)) for supplier, region in facts["regions"]],
            resolution_minutes=facts["resolution"],
            value_bits=facts["bits"],
            is_again=bool(facts["again"]),
        )


@dataclass(frozen=True, slots=True)
class GroupSettlementRun:
    """Works on such runs."""

    items: ClaimItems
    mdms: Path | None
    """The folder of the MDMS that runs the rounds; None: this service has none."""
    now: Callable[[], int]

    def work(self, job: Job, is_cancelled: Callable[[], bool]) -> Slice:
        """Settle the next region, unless the run is cancelled."""
        if self.mdms is None:
            raise ServiceRefused("this service has no MDMS")
        order = GroupOrder.of(job.parameters)
        known = list(job.result.get("regions", ()))
        total = len(order.regions)
        if len(known) < total and not is_cancelled():
            where = order.regions[len(known)]
            index = PriceIndex.decode(self.items.document(order.document))
            request = PrivateSettlementRequest(
                [where], order.period, order.zone, order.resolution_minutes or None,
                order.value_bits, order.is_again,
            )  # fmt: skip
            came = settle_privately(self.mdms, index, request, lambda _line: None)
            known.append(_facts(*where, came))
        due = self.now() if len(known) < total else None
        return Slice(len(known), total, {**job.result, "regions": known}, due)

    def cancel(self, job: Job) -> Slice:
        """End a run where it stands."""
        return Slice(job.done, job.total, job.result, None)


def _facts(supplier: str, region: str, came: PrivateSettlement) -> dict[str, Any]:
    """Return what is kept of a region."""
    is_settled = supplier in came.exact
    return {
        "supplier": supplier,
        "region": region,
        "exact": str(came.exact[supplier]) if is_settled else "",
        "homes": came.homes.get(supplier, 0),
        "missing": came.missing,
        "left_out": len(came.unsettled),
        "unsettled": [[one["meter"], printed(one["why"])] for one in came.unsettled[:MOST_LISTED]],
        "spoiled": [printed(why) for why in came.spoiled[:MOST_LISTED]],
        "unopened": [printed(why) for why in came.unopened],
        "known_before": any(one["known_before"] for one in came.groups),
    }
