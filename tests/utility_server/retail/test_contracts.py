# SPDX-License-Identifier: Apache-2.0
"""Contracts: who may be asked about which days, and which days of a contract are billed."""

import json
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from applets.billing.statement import LEAST_DAYS
from hub.machine.manifest import Manifest
from meterlet.commands.main import main
from protocols.metrology import GridError, Period
from tariffs.source import load_toml
from tests.support.enrolment import GOOD
from tests.support.postgresql import change
from utility_server.errors import (
    AlreadyBilled,
    ContractRefused,
    NoContract,
    StoreError,
    UnknownCustomer,
)
from utility_server.retail.claims import (
    BILL,
    PROFILE,
    SETTLEMENT,
    UNATTRIBUTED,
    bounds_of,
)
from utility_server.retail.contracts import Contract, Cycle, Progress
from utility_server.retail.utility import Utility

BILLING = Path(__file__).resolve().parents[3] / "applets" / "billing"
TARIFF = Path(__file__).resolve().parents[3] / "meterlet" / "demo" / "tariff.toml"
METER = GOOD.meter
TODAY = date(2025, 7, 15)


def days(first: str, last: str) -> Period:
    return Period(date.fromisoformat(first), date.fromisoformat(last))


@pytest.fixture
def utility(tmp_path: Path) -> Iterator[Utility]:
    with Utility.create(tmp_path / "utility") as utility:
        utility.customers.enrol(GOOD.encode())
        yield utility


def bill(utility: Utility, period: Period) -> None:
    begin, end = period.bounds(GOOD.zone)
    utility.ledger.append(1, "bill", METER, {"begin": begin, "end": end}, str(period).encode())


def question(utility: Utility, period: Period) -> None:
    utility.question(METER, period, utility.sign(load_toml(TARIFF.read_text())))


def test_without_a_contract_on_record_all_days_are_of_one_that_keeps_its_name(
    utility: Utility,
) -> None:
    (only,) = utility.contracts.of_meter(METER)
    assert (only.is_implicit, only.last, len(only.account)) == (True, None, 16)
    bill(utility, Period.month(2025, 3))
    for period in (Period.month(2025, 2), Period.quarter(2026, 1)):
        assert utility.contracts.of(METER, *period.bounds(GOOD.zone)) == only
    closed = utility.contracts.close(METER, date(2025, 5, 9))
    assert closed == Contract(only.account, METER, date(2025, 3, 1), date(2025, 5, 9))
    assert utility.contracts.of_meter(METER) == [closed]


def test_who_moves_in_is_asked_about_no_day_before_and_who_moves_out_about_none_after(
    utility: Utility,
) -> None:
    for aid in (SETTLEMENT.aid, PROFILE.aid):
        utility.customers.enrol(replace(GOOD, applet=aid).encode())
    first = utility.contracts.open(METER, date(2025, 1, 10))
    assert utility.contracts.open(METER, date(2025, 1, 10)) == first  # the same again
    first = utility.contracts.close(METER, date(2025, 3, 9))
    second = utility.contracts.open(METER, date(2025, 3, 12))
    assert first.account != second.account
    assert utility.contracts.covering(METER, days("2025-01-10", "2025-03-09")) == first
    assert utility.contracts.covering(METER, days("2025-03-12", "2030-01-01")) == second
    for period in (
        days("2025-01-09", "2025-01-31"),
        days("2025-03-01", "2025-03-10"),
        days("2025-03-11", "2025-03-31"),
        days("2025-03-10", "2025-03-11"),
        Period.month(2025, 3),
    ):
        with pytest.raises(NoContract, match=f"{period.first} to {period.last} is not within one"):
            question(utility, period)
        for claim in (BILL, SETTLEMENT, PROFILE, UNATTRIBUTED):  # whatever is asked
            with pytest.raises(NoContract):
                bounds_of(utility, claim, METER, period)
    question(utility, days("2025-03-01", "2025-03-09"))
    question(utility, days("2025-03-12", "2025-03-31"))


def test_the_refusal_says_which_contracts_there_are(utility: Utility) -> None:
    utility.contracts.open(METER, date(2025, 1, 10))
    utility.contracts.close(METER, date(2025, 3, 9))
    utility.contracts.open(METER, date(2025, 3, 10))
    with pytest.raises(NoContract) as refused:
        question(utility, Period.month(2025, 3))
    assert str(refused.value) == (
        f"meter {METER.hex()}: 2025-03-01 to 2025-03-31 is not within one contract; there is one"
        " from 2025-01-10 until 2025-03-09 and one from 2025-03-10 on: ask for days of one"
    )


def test_contracts_do_not_overlap_and_bills_stay_within_theirs(utility: Utility) -> None:
    contracts = utility.contracts
    with pytest.raises(ContractRefused, match="no contract on record and no bill"):
        contracts.close(METER, date(2025, 3, 31))
    bill(utility, Period.month(2025, 3))
    with pytest.raises(ContractRefused, match="has bills from 2025-03-01 on"):
        contracts.open(METER, date(2025, 4, 1))
    (implicit,) = contracts.of_meter(METER)
    opened = contracts.open(METER, date(2025, 2, 20))  # it says since when the bills' contract is
    assert opened.account == implicit.account
    with pytest.raises(ContractRefused, match="has a contract from 2025-02-20 on"):
        contracts.open(METER, date(2025, 4, 1))
    with pytest.raises(ContractRefused, match="is billed until 2025-03-31"):
        contracts.close(METER, date(2025, 3, 30))
    with pytest.raises(ContractRefused, match="cannot end on 2025-02-19"):
        contracts.close(METER, date(2025, 2, 19))
    contracts.close(METER, date(2025, 4, 2))
    assert contracts.close(METER, date(2025, 4, 9)).last == date(2025, 4, 9)  # it was later
    with pytest.raises(ContractRefused, match="until 2025-04-09: open .* from 2025-04-10 on"):
        contracts.open(METER, date(2025, 4, 9))
    second = contracts.open(METER, date(2025, 4, 10))
    with pytest.raises(ContractRefused, match="has bills: close it"):
        contracts.drop(METER, opened.account)
    assert contracts.drop(METER, second.account) == second
    with pytest.raises(ContractRefused, match="has no contract"):
        contracts.drop(METER, second.account)
    assert [one.account for one in contracts.of_meter(METER)] == [opened.account]
    for wrong in (date(1969, 12, 31), date(2200, 1, 1)):
        with pytest.raises(GridError):
            contracts.open(METER, wrong)
    for call in (contracts.open, contracts.close):
        with pytest.raises(UnknownCustomer):
            call(b"nobody", date(2025, 5, 1))


def test_a_period_that_was_billed_in_part_stays_refused(utility: Utility) -> None:
    bill(utility, Period.month(2025, 2))
    question(utility, Period.month(2025, 2))
    for period in (Period.quarter(2025, 1), days("2025-02-28", "2025-03-09")):
        with pytest.raises(AlreadyBilled, match="invoice 1 bills a part"):
            question(utility, period)
    question(utility, days("2025-03-10", "2025-04-09"))  # what is between is not billed yet
    contract = utility.contracts.of_meter(METER)[0]
    bill(utility, days("2025-03-10", "2025-04-09"))
    progress = utility.contracts.progress(contract, TODAY)
    assert progress.unbilled == (days("2025-03-01", "2025-03-09"), days("2025-04-10", "2025-07-14"))
    due = progress.due(Cycle.MONTH, date(2000, 1, 10))
    assert due == days("2025-03-01", "2025-03-09")


@pytest.mark.parametrize(
    ("cycle", "begins", "due"),
    [
        (Cycle.MONTH, "2000-01-01", ("2025-03-07", "2025-04-30")),
        (Cycle.MONTH, "2000-01-07", ("2025-03-07", "2025-04-06")),
        (Cycle.MONTH, "2030-05-10", ("2025-03-07", "2025-04-09")),
        (Cycle.QUARTER, "2000-01-01", ("2025-03-07", "2025-06-30")),
        (Cycle.QUARTER, "2025-02-15", ("2025-03-07", "2025-05-14")),
        (Cycle.YEAR, "2000-01-01", ("2025-03-07", "2025-12-31")),
        (Cycle.YEAR, "2024-03-08", ("2025-03-07", "2026-03-07")),
        (Cycle.YEAR, "2024-03-07", ("2025-03-07", "2026-03-06")),
    ],
)
def test_the_next_period_ends_with_the_cycle(
    cycle: Cycle, begins: str, due: tuple[str, str]
) -> None:
    contract = Contract(bytes(16), METER, date(2025, 3, 7))
    progress = Progress(contract, (), TODAY)
    assert progress.due(cycle, date.fromisoformat(begins)) == days(*due)


def test_a_stretch_of_fewer_days_than_hubs_tell_of_goes_with_the_days_beside_it() -> None:
    contract = Contract(bytes(16), METER, date(2025, 3, 7), date(2025, 7, 20))
    new_year = date(2025, 1, 1)
    progress = Progress(contract, (), TODAY)
    assert progress.due(Cycle.MONTH, new_year) == days("2025-03-07", "2025-04-30")
    assert progress.due(Cycle.MONTH, new_year, 1) == days("2025-03-07", "2025-03-31")
    june = replace(progress, billed=(days("2025-03-07", "2025-05-31"),))
    assert june.due(Cycle.MONTH, new_year) == days("2025-06-01", "2025-07-20")
    assert june.due(Cycle.MONTH, new_year, 20) == Period.month(2025, 6)
    before = replace(june, billed=(*june.billed, days("2025-06-21", "2025-07-20")))
    assert before.due(Cycle.MONTH, new_year) == days("2025-06-01", "2025-06-20")  # all there is
    assert (
        min(
            statement.minimum_days
            for name in ("manifest.toml", "dynamic.toml")
            for statement in Manifest.from_toml((BILLING / name).read_text()).statements
        )
        == LEAST_DAYS
    )


def test_the_last_bill_is_of_the_days_up_to_the_last_one() -> None:
    contract = Contract(bytes(16), METER, date(2025, 3, 7), date(2025, 7, 20))
    billed = (days("2025-03-07", "2025-03-31"), Period.quarter(2025, 2))
    progress = Progress(contract, billed, TODAY)
    due = progress.due(Cycle.QUARTER, date(2025, 1, 1), 20)
    assert due == days("2025-07-01", "2025-07-20")
    assert not progress.is_over(due)
    done = Progress(contract, (*billed, due), date(2025, 7, 21))
    assert (done.unbilled, done.due(Cycle.YEAR, date(2025, 1, 1))) == ((), None)
    with pytest.raises(ContractRefused, match="begins on the 1st to the 28th"):
        done.due(Cycle.MONTH, date(2025, 1, 29))
    nothing = Progress(Contract(bytes(16), METER, None), (), TODAY)
    assert (nothing.unbilled, nothing.due(Cycle.MONTH, date(2025, 1, 1))) == ((), None)


@given(
    st.dates(date(1990, 1, 1), date(2100, 1, 1)),
    st.dates(date(1990, 1, 1), date(2100, 1, 1)).map(lambda day: day.replace(day=1 + day.day % 28)),
    st.sampled_from(list(Cycle)),
    st.integers(1, 2000),
    st.integers(1, 40),
)
def test_one_period_after_another_bills_every_day_once(
    first: date, begins: date, cycle: Cycle, length: int, least: int
) -> None:
    last = first + timedelta(days=length)
    contract, billed = Contract(bytes(16), METER, first, last), list[Period]()
    while due := Progress(contract, billed, last).due(cycle, begins, least):
        assert len(billed) < 80
        if billed:
            assert (due.first.day, (due.first.month - begins.month) % cycle.months) == (
                begins.day, 0,
            )  # fmt: skip
        billed.append(due)
        assert due.day_count >= least or due == Period(first, last)
    all_days = [day for period in billed for day in period.days("UTC")]
    assert all_days == list(Period(first, last).days("UTC"))


@pytest.mark.sqlite_file
def test_a_database_of_version_4_gets_its_contracts_and_keeps_its_bills(tmp_path: Path) -> None:
    folder = tmp_path / "utility"
    with Utility.create(folder) as utility:
        utility.customers.enrol(GOOD.encode())
        bill(utility, Period.month(2025, 3))
    with sqlite3.connect(folder / "utility.db") as connection:
        connection.execute("DROP TABLE contract")
        connection.execute("UPDATE schema_version SET version = 4")
    connection.close()
    for _ in range(2):
        with Utility.open(folder) as utility:
            assert [one.is_implicit for one in utility.contracts.of_meter(METER)] == [True]
            assert len(utility.ledger.bills(METER)) == 1
            question(utility, Period.month(2025, 4))


@pytest.mark.parametrize(
    "damage",
    ["first = '2025-3-1'", "last = '2024-01-01'", "account = x'00'", "first = ''", "last = 'open'"],
)
def test_a_damaged_contract_is_named_and_nobody_is_asked(utility: Utility, damage: str) -> None:
    utility.contracts.open(METER, date(2025, 3, 1))
    change(utility.engine, f"UPDATE contract SET {damage}")
    with pytest.raises(StoreError, match="a contract on record"):
        question(utility, Period.month(2025, 4))


def meterlet(*arguments: object) -> tuple[int, str]:
    done = CliRunner().invoke(main, [*map(str, arguments)], env={"NO_COLOR": "1"})
    return done.exit_code, done.output


def test_moving_in_and_out_by_command(tmp_path: Path) -> None:
    folder, file = tmp_path / "utility", tmp_path / "enrolment"
    file.write_bytes(GOOD.encode())
    at = ("--utility", folder)
    assert meterlet("utility", "init", folder)[0] == 0
    assert meterlet("utility", "contract", "list", *at) == (0, "no meter is enrolled\n")
    code, said = meterlet("utility", "enrol", *at, file, "--from", "2025-03-10", "--json")
    account = json.loads(said)["account"]
    assert code == 0
    code, said = meterlet(
        "utility", "request", "bill", *at, "--meter", METER.hex(), "--tariff", TARIFF,
        "--month", "2025-03",
    )  # fmt: skip
    assert (code, "there is one from 2025-03-10 on" in said) == (4, True)
    close = ("utility", "contract", "close", *at, METER.hex(), "--until")
    assert meterlet(*close, "2025-04-09") == (
        0, f"meter {METER.hex()}: contract {account} from 2025-03-10 until 2025-04-09\n",
    )  # fmt: skip
    code, said = meterlet(*close, "2025-03-01")
    assert (code, "cannot end on 2025-03-01" in said) == (1, True)
    move_in = ("utility", "contract", "open", *at, METER.hex(), "--from", "2025-05-01", "--json")
    second = json.loads(meterlet(*move_in)[1])
    code, said = meterlet("utility", "contract", "list", *at, "--json")
    assert json.loads(said)["contracts"] == [
        {
            "meter": METER.hex(), "account": account, "from": "2025-03-10",
            "until": "2025-04-09", "on_record": True,
        },
        {key: value for key, value in second.items() if key != "schema"},
    ]  # fmt: skip
    code, said = meterlet(
        "utility", "contract", "show", *at, METER.hex(), "--cycle", "quarter", "--json"
    )
    first, later = json.loads(said)["contracts"]
    assert first["next"] == {"from": "2025-03-10", "until": "2025-04-09", "is_over": True}
    assert first["unbilled"] == [{"from": "2025-03-10", "until": "2025-04-09"}]
    assert later["next"]["until"] == "2025-06-30"
    code, said = meterlet("utility", "contract", "show", *at, METER.hex())
    assert "next        2025-03-10 to 2025-04-09, which is due" in said
    drop = ("utility", "contract", "drop", *at, METER.hex(), second["account"])
    assert meterlet(*drop)[1] == f"meter {METER.hex()}: forgot the contract from 2025-05-01 on\n"
    assert meterlet(*drop)[0] == 1
    assert meterlet("utility", "contract", "show", *at, "00")[0] == 1
