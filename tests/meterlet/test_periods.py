# SPDX-License-Identifier: Apache-2.0
"""One way to say a period: the same options, with both days included, in every command."""

import json
from collections.abc import Iterator
from datetime import date

import pytest
import rich_click as click
from click.testing import CliRunner

from meterlet.commands.common import days_options, json_option, period_options
from meterlet.commands.lazy import LazyGroup
from meterlet.commands.main import main
from protocols.metrology import Period
from tests.support.command import ROOT

PERIOD_OPTIONS = {"--month", "--quarter", "--year", "--from", "--until"}
ALONE = {
    ("authority", "revoke"): {"--from"},  # for good
    ("applet", "new"): set[str](),
    ("inspect", "consents", "narrow"): {"--until"},  # of the consent, as its --holds-until
    ("utility", "enrol"): {"--from"},  # the contract's first day
    ("utility", "contract", "open"): {"--from"},
    ("utility", "contract", "close"): {"--until"},
}
"""Commands that name one end of something that is no period asked about."""


@click.command()
@period_options()
@json_option
def whole(period: Period, as_json: bool) -> None:
    click.echo(str(period))


@click.command()
@period_options(required=False, about="Of it. ")
def perhaps(period: Period | None) -> None:
    click.echo(str(period))


@click.command()
@days_options("UTC")
def bounded(first: date | None, last: date | None) -> None:
    click.echo(f"{first} {last}")


def said(command: click.Command, *arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(command, arguments, env={"NO_COLOR": "1", "COLUMNS": "200"})
    return done.exit_code, " ".join(done.output.split())


@pytest.mark.parametrize(
    ("arguments", "first", "last"),
    [
        (("--month", "2024-02"), "2024-02-01", "2024-02-29"),
        (("--quarter", "2025-Q4"), "2025-10-01", "2025-12-31"),
        (("--year", "2025"), "2025-01-01", "2025-12-31"),
        (("--from", "2025-03-10", "--until", "2025-04-09"), "2025-03-10", "2025-04-09"),
        (("--from", "2025-03-10"), "2025-03-10", "2025-03-10"),
    ],
)
def test_a_period_is_said_in_one_of_four_ways(
    arguments: tuple[str, ...], first: str, last: str
) -> None:
    period = Period(date.fromisoformat(first), date.fromisoformat(last))
    assert said(whole, *arguments) == said(perhaps, *arguments) == (0, str(period))
    until = None if len(arguments) == 2 and arguments[0] == "--from" else last
    assert said(bounded, *arguments) == (0, f"{first} {until}")


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ((), "say which period: --month, --quarter, --year, or --from and --until"),
        (("--month", "2025-03", "--year", "2025"), "--month and --year: say the period in one way"),
        (("--quarter", "2025-Q1", "--from", "2025-03-01"), "--quarter and --from"),
        (("--month", "2025-03", "--until", "2025-03-31"), "--month and --until"),
        (("--until", "2025-03-31"), "--until goes with --from"),
        (("--month", "2025-13"), "'2025-13' is not a month; write it as 2025-03"),
        (("--month", "2025-Q1"), "is not a month"),
        (("--month", "2025"), "is not a month"),
        (("--quarter", "2025-03"), "is not a quarter; write it as 2025-Q1"),
        (("--quarter", "2025-Q5"), "is not a quarter"),
        (("--year", "25"), "is not a year; write it as 2025"),
        (("--year", "2025-01"), "is not a year"),
        (("--from", "10.03.2025"), "does not match the format"),
    ],
)
def test_anything_else_is_a_usage_error_that_says_why(arguments: tuple[str, ...], why: str) -> None:
    code, output = said(whole, *arguments)
    assert (code, why in output.replace("│ ", "").replace(" │", "")) == (2, True), output


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("--from", "2025-03-31", "--until", "2025-03-01"), "first day, 2025-03-31, is after"),
        (("--from", "1850-01-01"), "only the years 1970 to 2199"),
        (("--until", "2200-01-01", "--from", "2199-12-31"), "only the years 1970 to 2199"),
    ],
)
def test_days_that_make_no_period_are_refused_in_a_line(
    arguments: tuple[str, ...], why: str
) -> None:
    for command in (whole, bounded):
        code, output = said(command, *arguments)
        assert (code, why in output) == (2, True), output


def test_without_a_period_the_command_has_one_of_its_own_and_bounds_may_stand_alone() -> None:
    assert said(perhaps) == (0, "None")
    assert said(bounded) == (0, "None None")
    assert said(bounded, "--until", "2025-03-31") == (0, "None 2025-03-31")
    assert "Of it. A calendar quarter, as 2025-Q1." in said(perhaps, "--help")[1]


def commands(
    group: click.Command, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    yield path, group
    if isinstance(group, click.Group):
        context = click.Context(group)
        for name in group.list_commands(context):
            command = group.get_command(context, name)
            assert command is not None
            yield from commands(command, (*path, name))


def test_every_command_that_asks_about_days_has_all_the_options_or_none() -> None:
    assert isinstance(main, LazyGroup)
    asking = 0
    for path, command in commands(main):
        names = {name for one in command.params for name in one.opts} & PERIOD_OPTIONS
        if names == PERIOD_OPTIONS:
            asking += 1
        else:
            assert names == ALONE.get(path, set()), path
    assert asking >= 18


def test_the_last_day_is_in_a_price_too(tmp_path_factory: pytest.TempPathFactory) -> None:
    file = tmp_path_factory.mktemp("readings") / "home.csv"
    rows = [f"2025-03-0{day}T{hour:02}:00:00,1" for day in (1, 2, 3) for hour in range(24)]
    file.write_text("time,home\n" + "\n".join(rows) + "\n")
    price = (
        "tariff", "price", str(ROOT / "examples" / "tariffs" / "it-bioraria-2025.toml"), str(file),
        "--column", "home", "--interval", "1h", "--zone", "Europe/Rome", "--json", "--no-slots",
    )  # fmt: skip
    wanted = {
        ("--from", "2025-03-01", "--until", "2025-03-02"): 48,
        ("--from", "2025-03-02", "--until", "2025-03-02"): 24,
        ("--until", "2025-03-01"): 24,
        ("--from", "2025-03-02"): 48,
        (): 72,
    }
    for period, hours in wanted.items():
        done = CliRunner().invoke(main, [*price, *period])
        facts = json.loads(done.stdout)
        assert (done.exit_code, facts["missing_slots"]) == (0, []), facts
        used = [one["quantity"] for one in facts["items"] if one["component"] == "excise duty"]
        assert used == [1000 * hours], facts
