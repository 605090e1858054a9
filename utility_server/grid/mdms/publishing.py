# SPDX-License-Identifier: Apache-2.0
"""Differential privacy of what is published: noise from OpenDP, and a budget for each region.

Neighbours are two worlds in which one home's whole use of the published time differs, within the
bound B = 2^value_bits − 1 Wh that the rounds put on each of its slots (the number of homes is
public). n slots then differ by at most B·√n in the L2 and B·n in the L1 norm. OpenDP's mechanisms
add discrete noise, sampled exactly:

    gaussian   ρ-zCDP (Bun, Steinke 2016; Canonne, Kamath, Steinke 2020), σ = B·√n / √(2ρ)
    laplace    ε-DP, which is ε²/2-zCDP; b = B·n / ε

ρ adds up over releases, those of a region's groups included. It is spent in the transaction that
keeps the noisy answer, before anybody sees it, and refused when the region's budget does not cover
it. The same question is answered with the same noise again, which costs nothing. All that is
worked out from a noisy curve (statistics, a picture, a forecast) tells no more than the curve.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import Enum
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, func, insert, select, update

from protocols.canonical import cbor
from utility_server.database import reading, writing
from utility_server.errors import StoreError
from utility_server.grid.mdms.aggregates import check_region
from utility_server.grid.mdms.errors import BudgetSpent, MdmsError
from utility_server.grid.mdms.load_curves import LoadCurve
from utility_server.grid.mdms.store import AggregateStore, budget_table, release_table
from utility_server.grid.privacy_notice import NANO, Budget

if TYPE_CHECKING:
    from opendp.mod import Measurement


class Mechanism(Enum):
    """Whose noise."""

    GAUSSIAN = "gaussian"
    LAPLACE = "laplace"


@dataclass(frozen=True, slots=True)
class Published:
    """A curve with noise in it: a use may come out below zero."""

    curve: LoadCurve
    mechanism: Mechanism
    nano_rho: int
    """What it cost, when it was asked for first."""
    deviation_wh: int
    """The noise's standard deviation in each slot."""
    was_known: bool
    """Whether it had been published before, and cost nothing now."""


@dataclass(frozen=True, slots=True)
class Publisher:
    """Publishes curves under the regions' budgets."""

    store: AggregateStore
    sample: Callable[["Measurement", list[int]], list[int]] = field(
        default=lambda mechanism, exact: list(mechanism(exact)), repr=False
    )
    """Draws from a mechanism; OpenDP's own generator unless a test says otherwise."""

    def grant(self, region: str, nano_rho: int) -> Budget:
        """Set what a region's releases may spend together; never below what is spent."""
        region = _whole(region)
        with writing(self.store.engine) as connection:
            known = _budget(connection, region)
            if known.spent > nano_rho:
                raise BudgetSpent(f"region {region}: more than that is spent already")
            # Nothing that was read is written back: what is spent meanwhile stays spent.
            changed = connection.execute(
                update(budget_table)
                .where(budget_table.c.region == region, budget_table.c.spent <= nano_rho)
                .values(nano_rho=nano_rho)
            )
            if not changed.rowcount:
                connection.execute(
                    insert(budget_table).values(region=region, nano_rho=nano_rho, spent=0)
                )
        return Budget(region, nano_rho, known.spent)

    def budget(self, region: str) -> Budget:
        """Return the budget that a region's releases are paid from; 0 where none was granted."""
        with reading(self.store.engine) as connection:
            return _budget(connection, _whole(region))

    def releases(self, region: str) -> int:
        """Return how many answers were paid from a region's budget."""
        count = select(func.count()).where(release_table.c.region == _whole(region))
        with reading(self.store.engine) as connection:
            return int(connection.execute(count).scalar_one())

    def publish(self, curve: LoadCurve, nano_rho: int, mechanism: Mechanism) -> Published:
        """Return the curve with noise that is worth `nano_rho`, spent before it is returned.

        Raises `BudgetSpent`, having told nothing, where the region's budget does not cover it.
        """
        question = _question(curve, nano_rho, mechanism)
        noise, deviation = _mechanism(curve, nano_rho, mechanism)
        with writing(self.store.engine) as connection:
            self.store.check_keys(connection)
            row = connection.execute(
                select(release_table).where(release_table.c.question == question)
            ).one_or_none()
            region = _whole(curve.region)
            place = (region, question)
            if row is not None:
                plain = self.store.sealer.open("release", row.key, place, row.sealed)
                noisy, was_known = _numbers(plain), True
            else:
                _spend(connection, region, nano_rho)
                noisy, was_known = self.sample(noise, list(curve.uses_wh)), False
                sealed = self.store.sealer.seal("release", place, cbor.encode(noisy))
                connection.execute(
                    insert(release_table).values(
                        question=question,
                        region=region,
                        nano_rho=nano_rho,
                        key=self.store.sealer.current,
                        sealed=sealed,
                    )
                )
        if len(noisy) != len(curve.slots):
            raise StoreError(f"region {curve.region}: a release is not what this program writes")
        # What homes lacked is told by nothing that is published: it was not noised.
        noisy_curve = replace(curve, uses_wh=tuple(noisy), missing=0)
        return Published(noisy_curve, mechanism, nano_rho, deviation, was_known)


def _numbers(plain: bytes) -> list[int]:
    value = cbor.decode(plain)
    return [wh for wh in value if isinstance(wh, int)] if isinstance(value, list) else []


def _whole(region: str) -> str:
    """Return the region that a group belongs to: a home is in the releases of both."""
    return check_region(region).partition("/")[0]


def _budget(connection: Connection, region: str) -> Budget:
    row = connection.execute(
        select(budget_table).where(budget_table.c.region == region)
    ).one_or_none()
    return Budget(region, 0, 0) if row is None else Budget(region, row.nano_rho, row.spent)


def _spend(connection: Connection, region: str, nano_rho: int) -> None:
    left = budget_table.c.nano_rho - budget_table.c.spent
    paid = connection.execute(
        update(budget_table)
        .where(budget_table.c.region == region, left >= nano_rho)
        .values(spent=budget_table.c.spent + nano_rho)
    )
    if not paid.rowcount:
        budget = _budget(connection, region)
        raise BudgetSpent(
            f"region {region}: ρ = {nano_rho / NANO:g} asked for,"
            f" {budget.left / NANO:g} of {budget.nano_rho / NANO:g} left"
        )


def _question(curve: LoadCurve, nano_rho: int, mechanism: Mechanism) -> bytes:
    """Return a question's name: slots, the rounds they came of, and how they are noised."""
    parts: list[Any] = [
        "meterlet release 1",
        curve.region,
        curve.resolution_minutes,
        [begin for begin, _ in curve.slots],
        list(curve.rounds),
        curve.value_bits,
        nano_rho,
        mechanism.value,
    ]
    return sha256(cbor.encode(parts)).digest()


def _mechanism(curve: LoadCurve, nano_rho: int, mechanism: Mechanism) -> tuple["Measurement", int]:
    """Return the mechanism that costs at most so much, and its noise's standard deviation."""
    try:
        import opendp.prelude as dp
    except ModuleNotFoundError as error:
        raise MdmsError("differential privacy needs OpenDP") from error
    dp.enable_features("contrib")
    bound, count, rho = (1 << curve.value_bits) - 1, len(curve.slots), nano_rho / NANO
    domain = dp.vector_domain(dp.atom_domain(T=dp.i64), size=count)
    if mechanism is Mechanism.GAUSSIAN:
        metric = dp.l2_distance(T=float)
        reach: float | int = math.nextafter(bound * math.sqrt(count), math.inf)
        scale = dp.binary_search_param(
            lambda scale: dp.m.make_gaussian(domain, metric, scale), d_in=reach, d_out=rho
        )
        return dp.m.make_gaussian(domain, metric, scale), math.ceil(scale)
    reach, epsilon = bound * count, math.nextafter(math.sqrt(2 * rho), 0)
    whole = dp.l1_distance(T=dp.i64)
    scale = dp.binary_search_param(
        lambda scale: dp.m.make_laplace(domain, whole, scale), d_in=reach, d_out=epsilon
    )
    return dp.m.make_laplace(domain, whole, scale), math.ceil(scale * math.sqrt(2))
