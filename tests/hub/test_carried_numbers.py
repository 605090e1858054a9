# SPDX-License-Identifier: Apache-2.0
"""A hub's numbers that go on from earlier ones: what is kept, who may go on, what is on record."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path

import pytest

from hub.applet_host.desk import StatementDesk
from hub.applet_host.jobs import ProofJobs
from hub.applet_host.memory import AppletMemory, KeptState, forget_memory
from hub.applet_host.registers import granted_registers
from hub.applet_host.statements import HubStatements
from hub.device import Description, Device
from hub.disclosure import Release
from hub.installer import terms_of
from hub.machine.manifest import Manifest
from hub.machine.meter import WorkMeter
from hub.meters.emulated import emulated_meter_id
from hub.meters.simulator import SyntheticHousehold
from protocols.amounts import (
    Carried,
    Combine,
    Kept,
    Least,
    Metered,
    NumberAmount,
    QuotientRule,
    SlotForm,
    Sum,
    Total,
    encode_amounts,
)
from protocols.carried import CarriedState
from protocols.metrology import ACTIVE_ENERGY_IMPORT, CertifiedDay, CertifiedPeriod, Period
from protocols.platform.errors import Refusal, Refused
from protocols.platform.services import CarriedNumbers
from protocols.proofs import NumbersContext, numbers_check_on
from protocols.proofs.batch import verify_all
from protocols.proofs.carrying import carried_quantities, state_after
from sml_codec import Obis
from tests.support.applet_commands import at_work

ROOT = Path(__file__).resolve().parents[2]
ZONE, METER = "Europe/Berlin", emulated_meter_id(1)
NOW = 1_752_000_000
DESCRIPTION = Description(METER, (ACTIVE_ENERGY_IMPORT,), ZONE, 15)
PLAIN = Manifest.from_toml((ROOT / "applets/billing/manifest.toml").read_text())
MANIFEST = replace(
    PLAIN,
    statements=tuple(
        replace(one, memory_days=100, value_bits=30) if one.kind == "linear" else one
        for one in PLAIN.statements
    ),
)
MONTHS = [Period.month(2025, month) for month in (2, 3, 4, 5, 6)]
ACCOUNT = bytes(range(16))
LIMIT = 300_000
ENERGY = Carried("energy/2025", 0, 44)
PRICE = 30_000
"""In 10^-8 of the currency for a watt-hour; a third of it above the limit, of all months."""


def bill(slots: int, *, is_first: bool) -> Total:
    metered = (Metered(0, Sum(SlotForm(((0, slots, 1),)))),)
    steps: tuple[Combine | Least, ...] = (
        Combine(((0, 1), (1, 1))),
        Combine((), LIMIT),
        Least((1, 3)),
        Least((2, 3)),
        Combine(((0, PRICE // 3), (4, -2 * PRICE // 3), (5, 2 * PRICE // 3))),
    )
    carried: tuple[Carried, ...] = (ENERGY,)
    kept = (Kept(ENERGY.name, 2, 0, 44),)
    if is_first:
        steps = (
            Combine((), LIMIT),
            Least((0, 1)),
            Combine(((0, PRICE // 3), (2, 2 * PRICE // 3))),
        )
        carried, kept = (), (Kept(ENERGY.name, 0, 0, 44),)
    return Total(metered, steps, 10**6, QuotientRule.HALF_UP, carried, kept)


@dataclass(slots=True)
class Home:
    device: Device
    manifest: Manifest = MANIFEST
    nonces: int = 0
    states: list[CarriedState] = field(default_factory=list)

    def consent(self) -> None:
        for terms in terms_of(self.manifest, b"package"):
            self.device.disclosure.grant(terms)

    @property
    def memory(self) -> AppletMemory:
        return AppletMemory(self.device.database, self.manifest.aid)

    def opening(self, period: Period, account: bytes = ACCOUNT) -> CarriedState:
        return CarriedState.opening(METER, account, period.bounds(ZONE)[0])

    def slots(self, period: Period) -> int:
        begin, end = period.bounds(ZONE)
        return (end - begin) // 900

    def ask(
        self, state: CarriedState, period: Period, numbers: list[NumberAmount] | None = None,
        nonce: bytes | None = None,
    ) -> CarriedNumbers:  # fmt: skip
        self.nonces += 1
        numbers = numbers or [bill(self.slots(period), is_first=not state.number)]
        given = nonce or self.nonces.to_bytes(16, "big")
        device = self.device
        with at_work(device.database) as stack:
            desk = StatementDesk.of(
                device, self.manifest, b"package", stack, WorkMeter(), ProofJobs(device.now)
            )
            statements = HubStatements(
                self.manifest.aid, b"package", self.manifest,
                granted_registers(device.registers, self.manifest), str(Obis(ACTIVE_ENERGY_IMPORT)),
                device.disclosure, stack, desk,
            )  # fmt: skip
            return statements.carry_numbers(
                ACTIVE_ENERGY_IMPORT, *period.bounds(ZONE), encode_amounts(numbers),
                bytes(32) + given, state.encode(),
            )  # fmt: skip

    def verify(
        self, state: CarriedState, period: Period, told: CarriedNumbers, nonce: bytes
    ) -> tuple[int, CarriedState]:
        """Check an answer as its recipient does."""
        begin, end = period.bounds(ZONE)
        numbers = [bill(self.slots(period), is_first=not state.number)]
        context = NumbersContext(
            METER, (ACTIVE_ENERGY_IMPORT,), begin, end, 15, bytes(32), "supplier", "billing",
            nonce, state.digest,
        )  # fmt: skip
        days = CertifiedPeriod(tuple(map(CertifiedDay.decode, told.certified_days)))
        stated, check = numbers_check_on(
            context, [days.source(needs_slots=False)], numbers, told.proof, "the bill",
            carried_quantities(state, numbers),
        )  # fmt: skip
        verify_all([check])
        return stated.values[0], state_after(state, end, numbers, stated.kept)

    def use(self, period: Period) -> int:
        return sum(wh for day in self.device.main.uses(period) for wh in day.uses)

    def releases(self) -> list[Release]:
        return self.device.disclosure.releases()


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("template") / "hub"
    with Device.create(folder, DESCRIPTION, now=lambda: NOW) as device:
        house = SyntheticHousehold(ZONE)
        device.store(list(house.readouts(date(2025, 2, 1), date(2025, 6, 30))))
        assert device.certify() == 150
    return folder


@pytest.fixture
def home(template: Path, tmp_path: Path) -> Iterator[Home]:
    import shutil

    shutil.copytree(template, tmp_path / "hub")
    with Device.open(tmp_path / "hub", now=lambda: NOW) as device:
        one = Home(device)
        one.consent()
        yield one


def chain(home: Home, count: int) -> list[CarriedState]:
    """Bill the first months one after another and return the states, the opening one first."""
    states = [home.opening(MONTHS[0])]
    for month in MONTHS[:count]:
        told = home.ask(states[-1], month)
        states.append(CarriedState.decode(told.state))
    return states


def test_months_in_a_row_come_to_what_their_energy_together_costs(home: Home) -> None:
    state, due, energy = home.opening(MONTHS[0]), 0, 0
    for month in MONTHS[:3]:
        told = home.ask(state, month)
        value, after = home.verify(state, month, told, home.nonces.to_bytes(16, "big"))
        assert told.values == (value,)
        assert CarriedState.decode(told.state) == after
        due, energy, state = due + value, energy + home.use(month), after
    exact = energy * PRICE // 3 + min(energy, LIMIT) * (2 * PRICE // 3)
    assert energy > LIMIT, "the limit is passed, or nothing is tried"
    assert abs(due * 10**6 - exact) < 3 * 10**6
    assert home.memory.states()[-1].openings[ENERGY.name][0] == energy


def test_what_a_number_goes_on_from_is_on_record_as_told(home: Home) -> None:
    chain(home, 3)
    first, second, third = home.releases()
    assert [len(one.numbers) for one in (first, second, third)] == [1, 2, 3]
    assert [len(one.own) for one in (first, second, third)] == [1, 1, 1]
    begins = [month.bounds(ZONE)[0] for month in MONTHS[:3]]
    assert [number.begin for number in third.numbers] == [begins[2], *begins[:2]]
    assert third.form.begin == begins[2]
    assert {number.is_recalled for number in third.numbers[1:]} == {True}
    assert third.bits == third.numbers[0].bits <= 30


def test_without_memory_in_the_consent_nothing_goes_on(home: Home) -> None:
    [consent] = [c for c in home.device.disclosure.consents() if c.terms.statement == "linear"]
    states = chain(home, 1)
    narrowed = home.device.disclosure.narrow(consent.number, replace(consent.terms, memory_days=31))
    with pytest.raises(Refused) as raised:
        home.ask(states[-1], MONTHS[1])
    assert raised.value.refusal is Refusal.NO_CONSENT
    entry = list(home.device.disclosure.log.entries("refusal"))[-1]
    assert "59 days back" in entry.facts["why"]
    assert narrowed.terms.memory_days == 31
    with pytest.raises(ValueError, match="allow more"):
        home.device.disclosure.narrow(narrowed.number, replace(narrowed.terms, memory_days=32))


def test_a_number_goes_no_further_back_than_the_consent_says(home: Home) -> None:
    states = chain(home, 3)  # 1 February to 30 April: 89 days
    with pytest.raises(Refused) as raised:
        home.ask(states[-1], MONTHS[3])  # 120
    assert raised.value.refusal is Refusal.NO_CONSENT
    assert len(home.releases()) == 3


def test_a_state_of_somebody_else_is_not_gone_on_from(home: Home) -> None:
    states = chain(home, 1)
    [value] = states[-1].values
    for state, refusal in (
        (replace(states[-1], account=bytes(16)), Refusal.NOT_FOUND),
        (replace(states[-1], previous=bytes(32)), Refusal.NOT_FOUND),
        (replace(states[-1], number=2), Refusal.NOT_FOUND),
        (replace(states[-1], values=(replace(value, point=b"\2" + bytes(32)),)), Refusal.NOT_FOUND),
        (replace(states[-1], meter=b"other"), Refusal.MALFORMED),
        (replace(states[-1], end=states[-1].end + 86_400), Refusal.MALFORMED),
    ):
        with pytest.raises(Refused) as raised:
            home.ask(state, MONTHS[1])
        assert raised.value.refusal is refusal
    with pytest.raises(Refused) as raised:
        home.ask(states[0], MONTHS[0], [bill(home.slots(MONTHS[0]), is_first=False)])
    assert raised.value.refusal is Refusal.MALFORMED
    assert len(home.releases()) == 1


def test_the_same_question_has_the_same_answer_and_tells_nothing_new(home: Home) -> None:
    states = chain(home, 2)
    again = home.ask(states[1], MONTHS[1], nonce=(2).to_bytes(16, "big"))
    assert CarriedState.decode(again.state) == states[2]
    assert len(home.releases()) == 2
    assert len(home.memory.states()) == 2
    told = home.ask(states[2], MONTHS[2])
    assert home.ask(states[1], MONTHS[1], nonce=(2).to_bytes(16, "big")) == again
    assert len(home.memory.states()) == 3, "an answer that comes again makes no later one void"
    assert CarriedState.decode(told.state).number == 3


def test_a_state_is_used_once(home: Home) -> None:
    states = chain(home, 2)
    other = Period(MONTHS[1].first, MONTHS[2].last)
    with pytest.raises(Refused) as raised:
        home.ask(states[1], other)
    assert raised.value.refusal is Refusal.NO_CONSENT
    assert "gone on from" in list(home.device.disclosure.log.entries("refusal"))[-1].facts["why"]


def test_the_last_bill_can_be_asked_for_again_and_those_after_it_are_void(home: Home) -> None:
    states = chain(home, 3)
    told = home.ask(states[1], MONTHS[1])
    after = CarriedState.decode(told.state)
    assert after.number == 2
    assert after != states[2], "another proof has other commitments"
    assert [one.state for one in home.memory.states()] == [states[1], after]
    with pytest.raises(Refused) as raised:
        home.ask(states[3], MONTHS[3])
    assert raised.value.refusal is Refusal.NOT_FOUND
    home.ask(after, MONTHS[2])


def test_what_is_carried_is_sealed_and_goes_with_the_applet(home: Home) -> None:
    states = chain(home, 1)
    [kept] = home.memory.states()
    assert KeptState.decode(kept.encode()) == kept
    [row] = home.device.database.connection.execute("SELECT * FROM carried_state").fetchall()
    value = kept.openings[ENERGY.name][0]
    assert all(value.to_bytes(3, "big") not in bytes(str(part), "utf-8") for part in row)
    assert str(value) not in repr(kept)
    forget_memory(home.device.database, home.manifest.aid)
    with pytest.raises(Refused):
        home.ask(states[1], MONTHS[1])


def test_accounts_do_not_know_of_each_other(home: Home) -> None:
    states = chain(home, 1)
    other = CarriedState.opening(METER, bytes(16), MONTHS[1].bounds(ZONE)[0])
    told = home.ask(other, MONTHS[1])
    assert told.values != home.ask(states[1], MONTHS[1]).values
    assert {one.state.account for one in home.memory.states()} == {ACCOUNT, bytes(16)}
    only = [n for n in home.releases()[1].numbers if n.is_recalled]
    assert only == []


def test_numbers_with_memory_are_not_opened_without_a_state(home: Home) -> None:
    period = MONTHS[0]
    device = home.device
    with at_work(device.database) as stack:
        desk = StatementDesk.of(
            device, MANIFEST, b"package", stack, WorkMeter(), ProofJobs(device.now)
        )
        statements = HubStatements(
            MANIFEST.aid, b"package", MANIFEST, granted_registers(device.registers, MANIFEST),
            str(Obis(ACTIVE_ENERGY_IMPORT)), device.disclosure, stack, desk,
        )  # fmt: skip
        with pytest.raises(Refused) as raised:
            statements.open_numbers(
                ACTIVE_ENERGY_IMPORT, *period.bounds(ZONE),
                encode_amounts([bill(home.slots(period), is_first=True)]), bytes(48),
            )  # fmt: skip
    assert raised.value.refusal is Refusal.MALFORMED


def test_a_key_rotation_keeps_what_is_carried(home: Home) -> None:
    states = chain(home, 1)
    before = home.memory.states()
    home.device.rotate_vault_key()
    home.device.close()
    with Device.open(home.device.folder, now=lambda: NOW) as device:
        again = Home(device)
        assert again.memory.states() == before
        again.ask(states[1], MONTHS[1], nonce=bytes(16))
