# SPDX-License-Identifier: Apache-2.0
import csv
import gzip
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import date
from functools import cache

import pytest
from flint import fmpq
from hypothesis import given
from hypothesis import strategies as st

from hub.device import Description, Device
from hub.disclosure import ConsentTerms, Form, Number, ReleaseRequest
from hub.inspection.attack.appliances import Activation, Appliance, PowerCurve, detect
from hub.inspection.attack.attack import attack
from hub.inspection.attack.reconstruction import _least_squares, curve_known_to
from hub.inspection.errors import InspectionError
from hub.inspection.export.by_consent import consent_to_export, export_readings
from hub.inspection.views.slots import slots_between
from hub.meters.emulated import emulated_meter_id
from hub.meters.simulator import SyntheticHousehold
from protocols.metrology import ACTIVE_ENERGY_IMPORT, Period
from tests.support.releases import sum_request
from tests.support.shared import SHARED, no_real_data

HOMES = SHARED / "data" / "households"
DAYS = Period(date(2025, 3, 3), date(2025, 3, 6))
NOW = 1_741_500_000


@pytest.fixture(scope="module")
def minutely(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Device]:
    description = Description(emulated_meter_id(3), (ACTIVE_ENERGY_IMPORT,), "Europe/Berlin", 15)
    folder = tmp_path_factory.mktemp("minutely") / "hub"
    with Device.create(folder, description, now=lambda: NOW) as device:
        house = SyntheticHousehold("Europe/Berlin")
        readings = house.readings(DAYS.first, DAYS.last, 60)
        device.main.vault.append(device.main.channel, readings)
        device.main.certify()
        yield device


def tell(device: Device, recipient: str, forms: Sequence[tuple[int, ...]], minutes: int) -> None:
    """Release weighted sums over all days to a recipient."""
    terms = ConsentTerms(
        b"applet", b"package", recipient, "billing", "linear", 1, minutes, 99, 64, date(2030, 1, 1)
    )
    device.disclosure.grant(terms)
    begin, _ = DAYS.bounds("Europe/Berlin")
    for weights in forms:
        device.disclosure.permit(
            sum_request(
                b"applet", b"package", recipient, "billing", 4,
                Form(begin, 900, weights), bytes(32),
            )
        )  # fmt: skip


def test_what_left_for_a_bill_shows_no_appliance_that_the_curve_does(minutely: Device) -> None:
    day, night = (1,) * 48 * 4, (0,) * 48 * 4
    tell(minutely, "supplier", [day + night, night + day], 60)
    view = attack(minutely, DAYS)
    assert {one.appliance for one in view.house.activations} >= {Appliance.KETTLE}
    assert view.house.found == len(view.house.activations) > 5
    told = view.recipients["supplier"]
    assert (told.found, told.activations) == (0, ())
    assert len(set(told.curve.watts)) == 2
    begin, end = DAYS.bounds("Europe/Berlin")
    slots = slots_between(minutely, begin, end)
    half = sum(slots.use_wh[:192]) * 3600 // (192 * 900)
    assert told.curve.watts[0] == half


def test_readings_that_were_exported_are_seen_as_finely_as_they_went(minutely: Device) -> None:
    consent = consent_to_export(minutely, "doctor", "sleep", 15, DAYS, date(2030, 1, 1))
    export_readings(minutely, consent.number)
    begin, end = DAYS.bounds("Europe/Berlin")
    curve = curve_known_to(minutely, ["doctor"], begin, end)
    slots = slots_between(minutely, begin, end)
    assert list(curve.watts) == [use * 4 for use in slots.use_wh]
    hourly = consent_to_export(minutely, "nurse", "sleep", 60, DAYS, date(2030, 1, 1))
    export_readings(minutely, hourly.number)
    coarse = curve_known_to(minutely, ["nurse"], begin, end)
    assert coarse.watts[:4] == [sum(slots.use_wh[:4])] * 4
    assert attack(minutely, DAYS).recipients["doctor"].curve == curve


def test_a_slot_that_was_told_by_itself_is_taken_off_the_sums(minutely: Device) -> None:
    begin, end = DAYS.bounds("Europe/Berlin")
    slots = slots_between(minutely, begin, end)
    count, place = len(slots), 40
    lone = tuple(int(number == place) for number in range(count))
    whole = Number("linear", (Form(begin, 900, (1,) * count),), 30)
    sample = Number("sample", (Form(begin, 900, lone, is_sample=True),), 17)
    for kind, minutes in (("linear", 60), ("sample", 1)):
        terms = ConsentTerms(
            b"a", b"p", "trader", "trade", kind, 1, minutes, 9, 64, date(2030, 1, 1)
        )
        minutely.disclosure.grant(terms)
    for number in (whole, sample):
        minutely.disclosure.permit(
            ReleaseRequest(b"a", b"p", "trader", "trade", 4, (number,), bytes(32))
        )
    curve = curve_known_to(minutely, ["trader"], begin, end)
    used = slots.use_wh[place]
    assert curve.watts[place] == 4 * used
    mean = (sum(slots.use_wh) - used) * 4 // (count - 1)
    assert set(curve.watts[:place]) | set(curve.watts[place + 1 :]) == {mean}


def test_somebody_who_was_told_nothing_knows_nothing(minutely: Device) -> None:
    curve = curve_known_to(minutely, ["stranger"], *DAYS.bounds("Europe/Berlin"))
    assert set(curve.watts) == {None}
    assert detect(curve) == []


def test_the_attack_looks_at_a_month_at_most(minutely: Device) -> None:
    with pytest.raises(InspectionError, match="31 days"):
        attack(minutely, Period(date(2025, 1, 1), date(2025, 2, 1)))


@given(
    st.lists(
        st.lists(st.integers(-50, 50), min_size=8, max_size=8).map(tuple), min_size=1, max_size=4
    ),
    st.lists(st.integers(0, 3000), min_size=8, max_size=8),
)
def test_the_curve_of_least_squares_fits_every_sum(
    forms: list[tuple[int, ...]], uses: list[int]
) -> None:
    columns = list(zip(*forms, strict=True))
    values = [sum(w * x for w, x in zip(form, uses, strict=True)) for form in forms]
    found = _least_squares(Counter(columns), values)
    for form, value in zip(forms, values, strict=True):
        fits = sum((w * found[c] for w, c in zip(form, columns, strict=True)), fmpq(0))
        assert fits == value
    # It is the shortest: the truth less the estimate is orthogonal to the estimate.
    rest = sum((found[c] * (x - found[c]) for x, c in zip(uses, columns, strict=True)), fmpq(0))
    assert rest == 0


def test_gaps_are_not_looked_across() -> None:
    watts: list[int | None] = [200] * 30 + [3000] * 3 + [None] * 5 + [200] * 30
    assert detect(PowerCurve(0, 60, [None] * 10)) == []
    assert detect(PowerCurve(0, 60, watts[:30] + [200] * 30)) == []
    watts = [200] * 30 + [3000] * 3 + [200] * 30 + [None] * 4 + [200] * 20 + [3000] * 2 + [200] * 9
    found = detect(PowerCurve(6000, 60, watts))
    assert [(one.appliance, one.begin, one.end) for one in found] == [
        (Appliance.KETTLE, 6000 + 60 * 30, 6000 + 60 * 33),
        (Appliance.KETTLE, 6000 + 60 * 87, 6000 + 60 * 89),
    ]


def test_a_dishwasher_heats_twice_and_a_washing_machine_once() -> None:
    dishes = [150] * 60 + [2150] * 20 + [250] * 15 + [2150] * 13 + [150] * 60
    [one] = detect(PowerCurve(0, 60, dishes))
    assert (one.appliance, one.begin, one.end) == (Appliance.DISHWASHER, 3600, 3600 + 48 * 60)
    wash = [150] * 60 + [2150] * 12 + [250] * 60
    [two] = detect(PowerCurve(0, 60, wash))
    assert two.appliance is Appliance.WASHING_MACHINE


# On real homes, against what the appliances' own meters said

ON = {
    Appliance.KETTLE: (1000, 1, 1),
    Appliance.DISHWASHER: (1000, 60, 10),
    Appliance.WASHING_MACHINE: (1000, 60, 5),
    Appliance.MICROWAVE: (400, 2, 1),
}
"""Watts above which an appliance is on, minutes of pause that do not end a run, least minutes."""


def runs(watts: Sequence[float], above: int, gap: int, least: int) -> Iterator[tuple[int, int]]:
    start = last = None
    for place, value in enumerate([*watts, *[0.0] * (gap + 2)]):
        if value > above:
            start = place if start is None else start
            last = place
        elif start is not None and last is not None and place - last > gap:
            if last + 1 - start >= least:
                yield start, last + 1
            start = None


@cache
def home(name: str) -> tuple[list[int], list[Activation]]:
    """A home's curve by the minute, and when its appliances ran."""
    paths = sorted(HOMES.glob(f"{name}*.csv.gz"))
    if not paths:
        pytest.skip(no_real_data(HOMES / name))
    with gzip.open(paths[0], "rt") as file:
        rows = list(csv.DictReader(file))
    truth = [
        Activation(appliance, 60 * first, 60 * past, 0)
        for appliance, how in ON.items()
        for first, past in runs([float(row[f"{appliance}_W"] or 0) for row in rows], *how)
    ]
    return [int(float(row["aggregate_W"])) for row in rows], truth


def score(
    appliance: Appliance, found: Sequence[Activation], truth: Sequence[Activation]
) -> tuple[int, int]:
    """Precision and recall in percent."""
    ours = [one for one in found if one.appliance is appliance]
    real = [one for one in truth if one.appliance is appliance]
    right = sum(any(one.overlaps(other) for other in real) for one in ours)
    met = sum(any(one.overlaps(other) for other in ours) for one in real)
    return 100 * right // max(1, len(ours)), 100 * met // len(real)


@pytest.mark.parametrize(
    ("name", "minutes", "appliance", "precision", "recall"),
    [
        ("ukdale_house2", 1, Appliance.KETTLE, 95, 90),
        ("ukdale_house2", 1, Appliance.DISHWASHER, 97, 95),
        ("ukdale_house2", 1, Appliance.WASHING_MACHINE, 70, 90),
        ("ukdale_house2", 1, Appliance.MICROWAVE, 60, 80),
        ("ukdale_house2", 15, Appliance.DISHWASHER, 90, 90),
        ("ukdale_house2", 15, Appliance.KETTLE, 55, 65),
        ("refit_house2", 1, Appliance.KETTLE, 65, 85),
        ("refit_house2", 1, Appliance.DISHWASHER, 95, 85),
    ],
)
def test_the_attack_works_on_real_homes(
    name: str, minutes: int, appliance: Appliance, precision: int, recall: int
) -> None:
    watts, truth = home(name)
    coarse = [
        sum(watts[place : place + minutes]) // minutes
        for place in range(0, len(watts) - minutes + 1, minutes)
    ]
    found = detect(PowerCurve(0, 60 * minutes, coarse))
    measured = score(appliance, found, truth)
    assert measured[0] >= precision, measured
    assert measured[1] >= recall, measured


def test_an_attack_says_how_far_it_is_and_stops_when_told_to(minutely: Device) -> None:
    told: list[tuple[int, int]] = []
    view = attack(minutely, DAYS, lambda done, total: told.append((done, total)))
    curves = len(view.recipients) + 2
    assert told == [(done, curves) for done in range(curves)]

    def stop(done: int, _: int) -> None:
        if done == 1:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        attack(minutely, DAYS, stop)
