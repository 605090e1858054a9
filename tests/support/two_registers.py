# SPDX-License-Identifier: Apache-2.0
"""A household with a meter of two registers, certified, and its bill's answer, honest or forged."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date

from applets.billing.charges import Plan, plan_bill
from applets.billing.messages import BillAnswer, BillQuestion
from applets.billing.statement import PURPOSE, RECIPIENT, VerifiedBill, check_bill
from applets.common.questions import About
from hub.certifier import Certification, Certifier, CertifierKeys
from hub.meters.replay import CsvReplay, EnergyUnit, parse_zone
from hub.readings import Reading, ReadingFlag, Readout
from protocols.metrology import (
    ACTIVE_ENERGY_EXPORT,
    ACTIVE_ENERGY_IMPORT,
    Period,
    Series,
)
from protocols.proofs import NumbersContext, Source, open_numbers, registers_by_slots
from tariffs import Bill, Register, Tariff, billed_registers, combine_states, compute_bill
from tariffs.source import load_toml
from tests.support.shared import SHARED, require_shared
from tests.support.statements import sent

SOLAR_HOME = SHARED / "data/households/ausgrid_customer12_2011-07_2012-06_30min_pv.csv.gz"
KEYS = CertifierKeys(bytes(range(32)), bytes(range(32, 64)))
REGISTERS = {
    Register.IMPORT: bytes.fromhex("0100010800ff"),
    Register.EXPORT: bytes.fromhex("0100020800ff"),
}
NONCE = bytes(16)
SLOT = 1800
HEAD = """
format = 1
name = "feed-in"
revision = 1
currency = "EUR"
zone = "{zone}"
valid_from = 2011-01-01
valid_until = 2014-01-01
rounding = {{ rule = "half-up", decimals = 2 }}
"""
CREDIT = '[[charge]]\nname = "sun"\nkind = "feed-in"\nprice = "0.0794"\n'
ENERGY = '[[charge]]\nname = "energy"\nkind = "energy"\nprice = "0.2"\n'


def series(meter: bytes, zone: str, register: Register) -> Series:
    return Series(meter, REGISTERS[register], zone, SLOT // 60)


OBIS = {Register.IMPORT: ACTIVE_ENERGY_IMPORT, Register.EXPORT: ACTIVE_ENERGY_EXPORT}


@dataclass(frozen=True)
class Home:
    """What one meter's certifier has signed of a period."""

    period: Period
    certified: Mapping[Register, tuple[Certification, ...]]
    zone: str = "Europe/London"
    meter: bytes = b"SUN"

    @property
    def bounds(self) -> tuple[int, int]:
        return self.period.bounds(self.zone)

    @property
    def starts(self) -> list[int]:
        days = self.certified[Register.IMPORT]
        return [t for one in days for t in one.use.grid.boundaries()[:-1]]

    def energy(self, register: Register) -> list[int]:
        return [wh for one in self.certified[register] for wh in one.use.uses]

    def states(self, registers: Sequence[Register]) -> list[int]:
        both = [[s for one in self.certified[r] for s in one.use.states] for r in registers]
        return combine_states(both)

    def question(self) -> BillQuestion:
        return BillQuestion(About(self.meter, *self.bounds, NONCE), b"signed")

    def plan(self, tariff: Tariff) -> Plan:
        states = self.states(billed_registers(tariff, *self.bounds))
        return plan_bill(tariff, self.starts, SLOT, states, *self.bounds)

    def context(self, tariff: Tariff, registers: Sequence[Register]) -> NumbersContext:
        return NumbersContext(
            self.meter, tuple(REGISTERS[one] for one in registers), *self.bounds, SLOT // 60,
            tariff.digest, RECIPIENT, PURPOSE, NONCE,
        )  # fmt: skip

    def source(self, register: Register, *, by_slots: bool = False) -> Source:
        """Return a register's certified uses, with their openings."""
        certifier, days = self._certifier(register), self.certified[register]
        opening = certifier.opening(days, needs_slots=by_slots)
        return sent(certifier, days, by_slots=by_slots).source(opening, needs_slots=by_slots)

    def days(self, register: Register, *, by_slots: bool = False) -> tuple[bytes, ...]:
        period = sent(self._certifier(register), self.certified[register], by_slots=by_slots)
        return tuple(day.encode() for day in period.days)

    def _certifier(self, register: Register) -> Certifier:
        return Certifier(series(self.meter, self.zone, register), KEYS)

    def prove(self, tariff: Tariff, sources: Mapping[Register, Source] | None = None) -> BillAnswer:
        """Return the answer over these sources, or the honest ones."""
        plan = self.plan(tariff)
        needed = registers_by_slots([plan.total], len(plan.registers))
        by_slots = dict(zip(plan.registers, needed, strict=True))
        known = sources or {
            one: self.source(one, by_slots=slots) for one, slots in by_slots.items()
        }
        (number,), proof = open_numbers(
            self.context(tariff, plan.registers), list(known.values()), [plan.total], bytes(32)
        )
        return BillAnswer(
            self.meter, *self.bounds, NONCE, plan.amount_of(number), tariff.digest, proof,
            {REGISTERS[one]: self.days(one, by_slots=slots) for one, slots in by_slots.items()},
        )  # fmt: skip

    def answer(self, tariff: Tariff) -> BillAnswer:
        """Return the honest answer."""
        return self.prove(tariff)

    def check(
        self, tariff: Tariff, data: bytes, feed_in: bytes | None = REGISTERS[Register.EXPORT]
    ) -> VerifiedBill:
        known = series(self.meter, self.zone, Register.IMPORT)
        return check_bill(
            self.question(), data, tariff, self.period, known, KEYS.public_key, feed_in
        )

    def plain(self, tariff: Tariff) -> Bill:
        """Return the bill as the resident works it out from readings."""
        begin, end = self.bounds
        registers = billed_registers(tariff, begin, end)
        return compute_bill(
            tariff, self.starts, SLOT, self.energy(Register.IMPORT), self.states(registers),
            export_wh=self.energy(Register.EXPORT) if Register.EXPORT in registers else None,
            begin=begin, end=end,
        )  # fmt: skip


def certified(home: Home, readouts: Sequence[Readout]) -> Home:
    """Return the home with every day of its period certified from what its meter showed."""
    columns = {
        register: [readout.readings[obis] for readout in readouts]
        for register, obis in OBIS.items()
    }
    done: dict[Register, tuple[Certification, ...]] = {}
    for register, readings in columns.items():
        certifier = Certifier(series(home.meter, home.zone, register), KEYS)
        days: list[Certification] = []
        for day in home.period.days(home.zone):
            days.append(certifier.certify(day, readings, days[-1] if days else None))
        done[register] = tuple(days)
    return replace(home, certified=done)


def drawn_home(
    seed: int,
    gaps: Sequence[range] = (),
    period: Period = Period(date(2013, 3, 25), date(2013, 4, 8)),  # noqa: B008 - frozen
    meter: bytes = b"SUN",
    missing: Mapping[Register, range] = {},
) -> Home:
    """A home out of the hat, over the clock change in spring.

    Slots in `gaps` are estimated, those in `missing` were not in that register.
    """

    def read(register: Register, place: int, time: int, wh: int) -> Reading:
        stood = place - 1 in missing.get(register, ())
        return Reading(time, wh, ReadingFlag.RESUMED if stood else ReadingFlag.NONE)

    dice, home = random.Random(seed), Home(period, {}, meter=meter)
    begin, end = home.bounds
    drawn, fed_in, readouts = 0, 500_000, []
    for place, time in enumerate(range(begin, end + 1, SLOT)):
        if not any(place in gap for gap in gaps):
            both = {Register.IMPORT: drawn, Register.EXPORT: fed_in}
            readouts.append(
                Readout({OBIS[one]: read(one, place, time, wh) for one, wh in both.items()})
            )
        hour = place % 48 // 2
        fed_in += dice.randrange(1500) if 8 <= hour < 17 else 0
        drawn += dice.choice((40, 90, 700)) + dice.randrange(300)
    return certified(home, readouts)


def real_home(period: Period, zone: str = "Australia/Sydney") -> Home:
    """A month of the Ausgrid home with panels, whose two registers are metered gross."""
    home = Home(period, {}, zone, b"AUSGRID")
    columns = {ACTIVE_ENERGY_IMPORT: "consumption_kWh", ACTIVE_ENERGY_EXPORT: "pv_generation_kWh"}
    zone_of_file = parse_zone("Etc/GMT-10")
    replay = CsvReplay(require_shared(SOLAR_HOME), columns, EnergyUnit.KWH, SLOT, zone_of_file)
    return certified(home, list(replay.readouts(*home.bounds)))


def tariff_of(*charges: str, zone: str = "Europe/London", head: str = "") -> Tariff:
    return load_toml(HEAD.format(zone=zone) + head + "".join(charges))
