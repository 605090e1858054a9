# SPDX-License-Identifier: Apache-2.0
"""Private settlement: one number of each supplier's customers, opened by the MDMS, and no more."""

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from protocols.metrology import GridError, Period
from sml_codec import Obis
from tariffs import PriceIndex, TariffError
from utility_server.errors import (
    CannotVerify,
    SettlementSpoiled,
    StoreError,
    UtilityError,
    VerificationFailed,
)
from utility_server.fan_out import InThreads
from utility_server.grid.concentrator.errors import ConcentratorRefused
from utility_server.grid.mdms.control_socket import Request, ask
from utility_server.retail.group_settlement import resolution_of

REGISTER: Final = Obis.parse("1-0:1.8.0*255").code


@dataclass(frozen=True, slots=True)
class PrivateSettlementRequest:
    """What an operator wants to have settled, and how."""

    regions: Sequence[tuple[str, str]]
    """A supplier, and a region of its customers; of each supplier one or more."""
    period: Period
    zone: str
    resolution_minutes: int | None
    """None: of the index."""
    value_bits: int
    is_again: bool

    def part_of(self, index: PriceIndex) -> PriceIndex:
        """Return what the period needs of an index; raise `CannotVerify` if it has not all."""
        try:
            return index.between(*self.period.bounds(self.zone))
        except (GridError, TariffError) as error:
            raise CannotVerify(f"the period: {error}") from None

    def of_region(self, part: PriceIndex, region: str) -> Request:
        """Return what the MDMS is asked about a region, at a part of an index."""
        return Request(
            region,
            REGISTER,
            self.period,
            self.zone,
            self.resolution_minutes or resolution_of(part),
            self.value_bits,
            index=part.encode(),
            is_again=self.is_again,
        )


@dataclass(slots=True)
class PrivateSettlement:
    """What came of it, by supplier."""

    exact: dict[str, int] = field(default_factory=dict)
    homes: dict[str, int] = field(default_factory=dict)
    groups: list[dict[str, Any]] = field(default_factory=list)
    missing: int = 0
    unsettled: list[dict[str, Any]] = field(default_factory=list)
    """Meters that are in no sum, and why."""
    spoiled: list[str] = field(default_factory=list)
    """Why a supplier's sum is not right, or who has tried to spoil it."""
    unopened: list[str] = field(default_factory=list)
    """Why a supplier's sum was not opened."""

    def take(self, supplier: str, index: bytes, facts: dict[str, Any]) -> None:
        """Take what the MDMS says of a supplier's customers, asked at the index of this digest.

        Raises `VerificationFailed` where it is about another one.
        """
        left_out = (*facts["absent"], *facts["refused"])
        why = {home["meter"]: f"{home['step']}: {home['why']}" for home in left_out}
        # Of a number that was known already, it is not known again why somebody is missing.
        unsettled = facts["left_out"] if facts["verified"] else why
        self.unsettled += [{"meter": m, "why": why.get(m, "not in the sum")} for m in unsettled]
        culprits = facts["culprits"]
        self.spoiled += [f"{supplier}: {home['who']}: {home['reason']}" for home in culprits]
        if not facts["verified"]:
            what = facts["void"] or "the sum does not open"
            (self.unopened if facts["void"] else self.spoiled).append(f"{supplier}: {what}")
            return
        if facts["index"] != index.hex():
            raise VerificationFailed("index", f"{supplier}: settled at another index than asked")
        self.exact[supplier] = self.exact.get(supplier, 0) + int(facts["worth"])
        self.homes[supplier] = self.homes.get(supplier, 0) + facts["homes"]
        self.missing += facts["missing_home_slots"]
        names = ("region", "round", "homes", "known_before", "bytes_sent", "bytes_received")
        self.groups.append({"supplier": supplier, **{name: facts[name] for name in names}})

    def require_whole(self) -> None:
        """Return if everything is settled.

        Raises `SettlementSpoiled` where a sum is wrong, `CannotVerify` where something is missing.
        """
        if self.spoiled:
            raise SettlementSpoiled("; ".join(self.spoiled))
        if self.unopened:
            raise CannotVerify("; ".join(self.unopened))
        if self.unsettled:
            first = self.unsettled[0]
            raise CannotVerify(
                f"{len(self.unsettled)} customers are not settled; {first['meter']}: {first['why']}"
            )


def settle_privately(
    mdms: Path,
    index: PriceIndex,
    request: PrivateSettlementRequest,
    say: Callable[[str], None],
    regions_at_once: int = 1,
) -> PrivateSettlement:
    """Have the MDMS run a round for each region; `say` gets what it says meanwhile.

    It is asked about so many regions at a time. What comes of it is taken in their order.

    A region of which there is no sum does not keep the others from being settled. Raises
    `CannotVerify` where the index has not all prices, `LineError` where no MDMS serves.
    """
    done, part = PrivateSettlement(), request.part_of(index)

    def asked(where: tuple[str, str]) -> list[dict[str, Any]] | UtilityError:
        region, found = where[1], list[dict[str, Any]]()
        try:
            for answer in ask(mdms, request.of_region(part, region)):
                if not isinstance(answer, str):
                    found.append(answer)
                else:
                    say(answer if regions_at_once == 1 else f"{region}: {answer}")
        except (VerificationFailed, CannotVerify, ConcentratorRefused, StoreError) as error:
            return error
        return found

    with closing(InThreads(regions_at_once).run(asked, request.regions)) as answers:
        for (supplier, region), answer in zip(request.regions, answers, strict=True):
            try:
                if isinstance(answer, UtilityError):
                    raise answer
                for facts in answer:
                    done.take(supplier, part.digest, facts)
            except VerificationFailed as failed:
                done.spoiled.append(f"{supplier}: region {region}: {failed}")
            except (CannotVerify, ConcentratorRefused, StoreError) as error:
                done.unopened.append(f"{supplier}: {error}")
    return done
