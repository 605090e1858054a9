# SPDX-License-Identifier: Apache-2.0
"""Answers made without hubs verify as those of hubs do, each for its own meter alone."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date
from itertools import pairwise

import pytest

from applets.billing.messages import BillQuestion
from meterlet.fleet.homes import EmulatedHome
from meterlet.fleet.stored_answers import CertifiedHome, StoredAnswers
from protocols.metrology import NO_DAY, CertifiedDay, Period
from tariffs import compute_bill
from tariffs.source import load_toml
from tests.support.command import ROOT
from utility_server.errors import VerificationFailed
from utility_server.retail.utility import Utility
from utility_server.retail.verification import BillBundle

TARIFF = load_toml((ROOT / "examples" / "tariffs" / "de-modul3-2025.toml").read_text())
WEEK = Period(date(2025, 3, 3), date(2025, 3, 9))


def total_of(home: EmulatedHome) -> str:
    """Return what the tariff makes of a home's readings themselves."""
    readings = home.readings(WEEK)
    uses = [after.register_wh - before.register_wh for before, after in pairwise(readings)]
    begin, end = WEEK.bounds(home.zone)
    starts = [one.time for one in readings[:-1]]
    seconds = 60 * home.slot_minutes
    return compute_bill(TARIFF, starts, seconds, uses, begin=begin, end=end).total


@dataclass(frozen=True)
class Made:
    """Answers of three meters of two homes, which were asked."""

    kept: StoredAnswers
    utility: Utility
    bundles: dict[int, BillBundle]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    folder = tmp_path_factory.mktemp("stored")
    kept = StoredAnswers(folder=folder / "answers", period=WEEK, meters=3, homes=2, slot_minutes=60)
    with Utility.create(folder / "utility") as utility:
        paths = dict(kept.make(utility, utility.sign(TARIFF)))
        bundles = {number: BillBundle.decode(path.read_bytes()) for number, path in paths.items()}
        yield Made(kept, utility, bundles)


def test_what_is_there_already_is_not_made_again(made: Made) -> None:
    files = sorted(made.kept.folder.iterdir())
    written = [file.stat().st_mtime_ns for file in files]
    again = dict(made.kept.make(made.utility, made.utility.sign(TARIFF)))
    assert sorted(again) == sorted(made.bundles) == [1, 2, 3]
    assert sorted(again.values()) == files
    assert [file.stat().st_mtime_ns for file in files] == written


def test_each_meter_is_billed_what_its_home_has_used(made: Made) -> None:
    totals = {}
    for number, bundle in made.bundles.items():
        question = BillQuestion.decode(bundle.question)
        billed = made.utility.verify(question, bundle.answer)
        assert billed.invoice.meter == made.kept.meter(number).meter
        totals[number] = f"{billed.verified.total:f}"
    assert len({bundle.certifier for bundle in made.bundles.values()}) == 3
    homes = {number: total_of(made.kept.meter(number)) for number in (1, 2)}
    assert homes[1] != homes[2]
    assert totals == {1: homes[1], 2: homes[2], 3: homes[1]}


def test_a_renamed_meter_answers_for_itself_alone(made: Made) -> None:
    utility, home = made.utility, CertifiedHome.certify(made.kept.meter(1), WEEK)
    meter, link, days = home.renamed(3), NO_DAY, list[CertifiedDay]()
    question = utility.question(meter.series.meter, WEEK, utility.sign(TARIFF))
    with pytest.raises(VerificationFailed):
        utility.verify(question, made.bundles[1].answer)
    question = utility.question(meter.series.meter, WEEK, utility.sign(TARIFF))
    for one in meter.days:  # under the third's name, by the first's certifier
        content = replace(one.content, previous=link)
        days.append(CertifiedDay.sign(content, home.keys.signing_key))
        link = days[-1].link
    forged = replace(meter, days=tuple(days)).answer(question, TARIFF)
    with pytest.raises(VerificationFailed) as refused:
        utility.verify(question, forged.encode())
    assert refused.value.check == "signature"
