# SPDX-License-Identifier: Apache-2.0
import random
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from tests.support.mdms import aggregate, new_store
from utility_server.grid.mdms.balance import (
    Losses,
    _kolmogorov,
    _standard_error,
    balance,
    read_feeder,
)
from utility_server.grid.mdms.errors import AggregateMissing, MdmsError
from utility_server.grid.mdms.load_curves import LoadCurve, load_curve

LOSSES = Losses(no_load_w=400, share_ppm=25_000)


@pytest.fixture
def curve(tmp_path: Path) -> LoadCurve:
    store = new_store(tmp_path)
    store.add(aggregate(date(2025, 5, 1), 28))
    curve = load_curve(store, "North")
    store.close()
    return curve


def feeder_of(
    curve: LoadCurve, stolen_w: int = 0, since: float = 0, seed: int = 1
) -> dict[int, int]:
    """Return what a feeder's meter shows, with errors that last for hours."""
    dice, drift, shown = random.Random(seed), 0.0, {}
    for number, ((begin, end), wh) in enumerate(zip(curve.slots, curve.uses_wh, strict=True)):
        drift = 0.8 * drift + dice.gauss(0, 40)
        stolen = stolen_w * (end - begin) // 3600 if number >= since * len(curve.slots) else 0
        through = (wh + stolen + 200 + drift) / 0.975
        shown[begin] = round(through)
    return shown


def test_losses_are_no_load_and_a_share_rounded_once() -> None:
    assert LOSSES.of(10_000, 1800) == 200 + 250
    assert Losses(1, 0).of(0, 1800) == 1  # half a watt-hour, up
    assert Losses().of(10_000, 1800) == 0


def test_a_sound_feeder_balances(curve: LoadCurve) -> None:
    rejected = sum(
        balance(curve, feeder_of(curve, seed=seed), LOSSES).is_discrepant(0.01)
        for seed in range(40)
    )
    assert rejected <= 3  # at the level of 1 %, and a little more for the finite sample


def test_a_theft_of_a_hundredth_of_the_load_is_found(curve: LoadCurve) -> None:
    found = balance(curve, feeder_of(curve, stolen_w=250), LOSSES)
    assert found.is_discrepant(0.01)
    assert found.t > 0
    assert found.residual_wh == pytest.approx(250 * 24 * 28, rel=0.2)
    assert found.residual_wh == found.feeder_wh - found.sum_wh - found.losses_wh


def test_the_day_on_which_a_discrepancy_set_in_is_named(curve: LoadCurve) -> None:
    found = balance(curve, feeder_of(curve, stolen_w=900, since=0.6), LOSSES)
    assert found.onset_p < 0.01
    expected = curve.slots[int(0.6 * len(curve.slots))][0]
    assert abs(found.onset - expected) < 2 * 86_400
    steady = balance(curve, feeder_of(curve, stolen_w=900), LOSSES)
    assert steady.onset_p > 0.01


def test_the_standard_error_is_that_of_statsmodels() -> None:
    dice = random.Random(3)
    values = [dice.randrange(-500, 500) for _ in range(300)]
    # Here, since it needs a hundred megabytes, and one worker of several comes here.
    import statsmodels.api as sm

    fit = sm.OLS(np.array(values, dtype=float), np.ones(300)).fit(
        cov_type="HAC", cov_kwds={"maxlags": 12, "use_correction": False}
    )
    assert _standard_error(values, 12) == pytest.approx(float(fit.bse[0]))


def test_the_cusum_tests_quantiles_are_kolmogorovs() -> None:
    for x, p in ((1.224, 0.10), (1.358, 0.05), (1.628, 0.01)):
        assert _kolmogorov(x) == pytest.approx(p, abs=1e-3)
    assert _kolmogorov(0) == 1


def test_exact_residuals_make_no_division_by_nothing(curve: LoadCurve) -> None:
    shown = {begin: wh for (begin, _), wh in zip(curve.slots, curve.uses_wh, strict=True)}
    assert balance(curve, shown, Losses()).p == 1
    assert balance(curve, {time: wh + 1 for time, wh in shown.items()}, Losses()).p == 0


def test_too_few_common_slots_are_named(curve: LoadCurve) -> None:
    with pytest.raises(AggregateMissing, match="share 0 slots"):
        balance(curve, {}, Losses())


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("start,wh\n2025-05-01T00:00:00Z,1\nyesterday,2\n", "line 3"),
        ("2025-05-01T00:00:00Z,1.5\n", "line 1.*whole watt-hours"),
        ("2025-05-01T00:00:00Z,-1\n", "line 1"),
        ("2025-05-01T00:00:00Z,1,2\n", "line 1.*no more"),
        ("2025-05-01T00:00:00Z,1\n2025-05-01T00:00:00,2\n", "line 2.*already"),
        (f"2025-05-01T00:00:00Z,{1 << 60}\n", "line 1"),
        ('2025-05-01T00:00:00Z,"1\n', "line 1"),
    ],
)
def test_a_feeders_file_is_read_strictly(tmp_path: Path, text: str, why: str) -> None:
    path = tmp_path / "feeder.csv"
    path.write_text(text)
    with pytest.raises(MdmsError, match=why):
        read_feeder(path)


def test_a_feeders_file_is_read_in_utc_or_as_it_says(tmp_path: Path) -> None:
    path = tmp_path / "feeder.csv"
    path.write_text("start,wh\n2025-05-01T00:00:00,7\n2025-05-01T02:30:00+02:00,8\n")
    assert read_feeder(path) == {1746057600: 7, 1746059400: 8}
