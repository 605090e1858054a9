# SPDX-License-Identifier: Apache-2.0
"""A home that was asked for three months' bills, and what it answered; none of it is entered."""

from dataclasses import dataclass
from pathlib import Path

from hub.machine.machine import AppletMachine
from protocols.enrolment import Enrolment
from protocols.metrology import Period
from tariffs.source import load_toml
from tests.support.year_home import make_year_home, opened

KNOWN = Period.parse("2025-03-01..2025-05-31")
MONTHS = [Period.month(2025, month) for month in (3, 4, 5)]
TARIFF_SOURCE = """
format = 1
name = "flat"
revision = 1
currency = "EUR"
zone = "Europe/Berlin"
valid_from = 2025-01-01
valid_until = 2026-01-01
rounding = { rule = "half-up", decimals = 2 }
[[charge]]
name = "energy"
kind = "energy"
price = "0.31"
"""
TARIFF = load_toml(TARIFF_SOURCE)


@dataclass(frozen=True, slots=True)
class AnsweredHome:
    """A folder with hub and utility, and the utility's questions with the hub's answers."""

    folder: Path
    enrolment: Enrolment
    asked: tuple[tuple[bytes, bytes], ...]


def make_answered_home(folder: Path, machine: AppletMachine) -> AnsweredHome:
    """Make it in a folder, to be copied."""
    enrolment = make_year_home(folder, machine, KNOWN)
    with opened(folder, machine, enrolment) as home:
        signed = home.utility.sign(TARIFF)
        questions = [home.utility.question(home.meter, month, signed) for month in MONTHS]
        asked = tuple((question.encode(), home.ask(question)) for question in questions)
    return AnsweredHome(folder, enrolment, asked)
