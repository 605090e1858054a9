# SPDX-License-Identifier: Apache-2.0
"""Answers made without hubs verify as those of hubs do, each for its own meter alone."""

from dataclasses import replace
from datetime import date
from itertools import pairwise
from pathlib import Path

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


def test_each_meter_is_billed_what_its_home_has_used_and_nothing_is_made_twice(
    tmp_path: Path,
) -> None:
    kept = StoredAnswers(
        folder=tmp_path / "answers", period=WEEK, meters=3, homes=2, slot_minutes=60
    )
    with Utility.create(tmp_path / "utility") as utility:
        signed = utility.sign(TARIFF)
        made = dict(kept.make(utility, signed))
        assert sorted(made) == [1, 2, 3]
        written = {path: path.stat().st_mtime_ns for path in made.values()}
        made[2].unlink()
        assert dict(kept.make(utility, signed)) == made
        assert {path for path, time in written.items() if path.stat().st_mtime_ns != time} == {
            made[2]
        }
        totals, certifiers = {}, set()
        for number, path in made.items():
            bundle = BillBundle.decode(path.read_bytes())
            certifiers.add(bundle.certifier)
            billed = utility.verify(BillQuestion.decode(bundle.question), bundle.answer)
            assert billed.invoice.meter == kept.meter(number).meter
            totals[number] = f"{billed.verified.total:f}"
    assert len(certifiers) == 3
    homes = {number: total_of(kept.meter(number)) for number in (1, 2)}
    assert homes[1] != homes[2]
    assert totals == {1: homes[1], 2: homes[2], 3: homes[1]}


def test_a_renamed_meter_answers_for_itself_alone(tmp_path: Path) -> None:
    kept = StoredAnswers(folder=tmp_path, period=WEEK, meters=2, homes=1, slot_minutes=60)
    home = CertifiedHome.certify(kept.meter(1), WEEK)
    with Utility.create(tmp_path / "utility") as utility:
        made = dict(kept.make(utility, utility.sign(TARIFF)))
        first, second = (BillBundle.decode(made[number].read_bytes()) for number in (1, 2))
        question = BillQuestion.decode(second.question)
        with pytest.raises(VerificationFailed):
            utility.verify(question, first.answer)
        question = utility.question(question.about.meter, WEEK, utility.sign(TARIFF))
        meter, link, days = home.renamed(2), NO_DAY, list[CertifiedDay]()
        for one in meter.days:  # under the second's name, by the first's certifier
            content = replace(one.content, previous=link)
            days.append(CertifiedDay.sign(content, home.keys.signing_key))
            link = days[-1].link
        forged = replace(meter, days=tuple(days)).answer(question, TARIFF)
        with pytest.raises(VerificationFailed) as refused:
            utility.verify(question, forged.encode())
        assert refused.value.check == "signature"
