# SPDX-License-Identifier: Apache-2.0
import math
import os
import threading
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from statistics import fmean, stdev

import pytest
from sqlalchemy import make_url

from tests.support import crowd
from tests.support.mdms import aggregate, new_store, opened
from utility_server.grid.mdms.errors import BudgetSpent
from utility_server.grid.mdms.load_curves import LoadCurve, load_curve
from utility_server.grid.mdms.publishing import Mechanism, Publisher
from utility_server.grid.mdms.store import AggregateStore
from utility_server.grid.privacy_notice import epsilon_of, parse_rho

pytestmark = pytest.mark.one_database

RHO = 10**8  # a tenth


@pytest.fixture
def store(tmp_path: Path) -> Iterator[AggregateStore]:
    store = new_store(tmp_path)
    store.add(aggregate(date(2025, 5, 1), 14, bits=13))
    yield store
    store.close()


def exact(store: AggregateStore, days: int = 14) -> LoadCurve:
    place = store.spans()[0]
    return load_curve(store, "North", place.begin, place.begin + 86_400 * days)


def test_without_a_budget_nothing_is_published(store: AggregateStore) -> None:
    with pytest.raises(BudgetSpent, match="0 of 0 left"):
        Publisher(store).publish(exact(store), 1, Mechanism.GAUSSIAN)


def test_a_budget_is_spent_to_the_last_billionth_and_not_beyond(store: AggregateStore) -> None:
    publisher = Publisher(store)
    publisher.grant("North", 3 * RHO)
    for days in (1, 2, 3):
        publisher.publish(exact(store, days), RHO, Mechanism.GAUSSIAN)
        assert publisher.budget("North").spent == days * RHO
    with pytest.raises(BudgetSpent, match="North: ρ = 1e-09 asked for, 0 of 0.3 left"):
        publisher.publish(exact(store, 4), 1, Mechanism.GAUSSIAN)
    assert publisher.budget("North").spent == 3 * RHO
    assert publisher.budget("South").left == 0


def publish_one(ready: Callable[[], object], place: str, keys: Path, days: int) -> str:
    """Publish so many days, worth a tenth; return what came of it."""
    store = AggregateStore.open(make_url(place), keys, os.urandom)
    curve = exact(store, days)
    ready()
    try:
        Publisher(store).publish(curve, RHO, Mechanism.GAUSSIAN)
    except BudgetSpent:
        return "refused"
    finally:
        store.close()
    return "published"


def test_processes_at_once_spend_no_more_than_was_granted(
    store: AggregateStore, tmp_path: Path
) -> None:
    publisher = Publisher(store)
    publisher.grant("North", 2 * RHO)
    place = store.engine.url.render_as_string(hide_password=False)
    calls = [(place, tmp_path / "keys", days) for days in range(1, 6)]
    came = crowd.at_once(publish_one, calls)
    assert sorted(came) == ["published"] * 2 + ["refused"] * 3
    assert (publisher.budget("North").spent, publisher.releases("North")) == (2 * RHO, 2)


def test_a_regions_groups_are_paid_from_its_budget(store: AggregateStore) -> None:
    store.add(aggregate(date(2025, 5, 1), 1, region="East/1"))
    publisher = Publisher(store)
    publisher.grant("East", 2 * RHO)
    for region in ("East", "East/1"):
        publisher.publish(load_curve(store, region), RHO, Mechanism.GAUSSIAN)
    assert publisher.budget("East/1").left == publisher.budget("East").left == 0
    assert publisher.releases("East") == 2
    with pytest.raises(BudgetSpent):
        publisher.publish(load_curve(store, "East/1"), 1, Mechanism.LAPLACE)


def test_a_refused_question_draws_no_noise(store: AggregateStore) -> None:
    drawn: list[int] = []

    def sample(_mechanism: object, values: list[int]) -> list[int]:
        drawn.append(len(values))
        return values

    publisher = Publisher(store, sample)
    with pytest.raises(BudgetSpent):
        publisher.publish(exact(store), RHO, Mechanism.GAUSSIAN)
    assert not drawn


def test_the_same_question_gets_the_same_noise_and_costs_nothing(
    store: AggregateStore, tmp_path: Path
) -> None:
    publisher = Publisher(store)
    publisher.grant("North", 2 * RHO)
    first = publisher.publish(exact(store), RHO, Mechanism.GAUSSIAN)
    store.rotate()
    other = opened(tmp_path)
    again = Publisher(other).publish(exact(other), RHO, Mechanism.GAUSSIAN)
    assert again.curve == first.curve
    assert (first.was_known, again.was_known) == (False, True)
    assert publisher.budget("North").spent == RHO
    other.close()


def test_other_questions_get_other_noise(store: AggregateStore) -> None:
    publisher = Publisher(store)
    publisher.grant("North", 10 * RHO)
    curve = exact(store)
    answers = [
        publisher.publish(curve, RHO, Mechanism.GAUSSIAN).curve.uses_wh,
        publisher.publish(curve, RHO + 1, Mechanism.GAUSSIAN).curve.uses_wh,
        publisher.publish(curve, RHO, Mechanism.LAPLACE).curve.uses_wh,
        publisher.publish(exact(store, 13), RHO, Mechanism.GAUSSIAN).curve.uses_wh,
    ]
    assert len({answer[0] for answer in answers}) == 4


@pytest.mark.parametrize("mechanism", list(Mechanism))
def test_the_noise_has_the_deviation_that_the_bound_and_the_price_demand(
    store: AggregateStore, mechanism: Mechanism
) -> None:
    publisher = Publisher(store)
    publisher.grant("North", RHO)
    curve = exact(store)
    published = publisher.publish(curve, RHO, mechanism)
    noise = [a - b for a, b in zip(published.curve.uses_wh, curve.uses_wh, strict=True)]
    bound, count = 2**13 - 1, len(curve.slots)
    expected = {
        Mechanism.GAUSSIAN: bound * math.sqrt(count) / math.sqrt(2 * 0.1),
        Mechanism.LAPLACE: math.sqrt(2) * bound * count / math.sqrt(2 * 0.1),
    }[mechanism]
    assert published.deviation_wh == pytest.approx(expected, abs=1)
    assert stdev(noise) == pytest.approx(expected, rel=0.25)  # 672 draws: 9 deviations
    assert abs(fmean(noise)) < 6 * expected / math.sqrt(count)
    assert published.curve.missing == 0


def test_many_who_ask_at_once_spend_no_more_than_there_is(
    store: AggregateStore, tmp_path: Path
) -> None:
    Publisher(store).grant("North", 3 * RHO)
    outcomes: list[str] = []

    def ask(days: int) -> None:
        mine = opened(tmp_path)
        try:
            Publisher(mine).publish(exact(mine, days), RHO, Mechanism.GAUSSIAN)
            outcomes.append("told")
        except BudgetSpent:
            outcomes.append("refused")
        finally:
            mine.close()

    threads = [threading.Thread(target=ask, args=(days,)) for days in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["refused"] * 5 + ["told"] * 3
    assert Publisher(store).budget("North").left == 0


def test_a_budget_is_not_lowered_below_what_is_spent(store: AggregateStore) -> None:
    publisher = Publisher(store)
    publisher.grant("North", RHO)
    publisher.publish(exact(store), RHO, Mechanism.GAUSSIAN)
    with pytest.raises(BudgetSpent, match="spent already"):
        publisher.grant("North", RHO - 1)
    assert publisher.grant("North", 2 * RHO).left == RHO


def test_rho_is_told_as_epsilon_rounded_up() -> None:
    assert epsilon_of(0) == 0
    assert epsilon_of(10**9) == pytest.approx(1 + 2 * math.sqrt(math.log(1e6)), abs=1e-3)


@pytest.mark.parametrize("text", ["0", "-1", "1e-10", "nan", "1/3", "1001", "", "a"])
def test_a_price_is_a_decimal_of_nine_places(text: str) -> None:
    with pytest.raises(ValueError):
        parse_rho(text)
    assert parse_rho("0.05") == 5 * 10**7
