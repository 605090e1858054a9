# SPDX-License-Identifier: Apache-2.0
"""A bill by the real commands: killed at each step, or said twice at once, it exists once."""

import json
import signal
import subprocess

import pytest
from sqlalchemy import update

from tests.support import crowd
from tests.support.command import environment, run_meterlet
from tests.support.dialling import bills, shown_to_the_resident
from tests.support.quick_program import program
from tests.support.soak import sampled
from tests.support.town import METER, Town, done, refused
from tests.support.waiting import PATIENCE, wait_until
from utility_server.database import hub_delivery_table, writing
from utility_server.retail.utility import Utility

STEPS = {
    "the answer came, and is not kept": ("HeadEnd.ask", 1, "asked"),
    "the answer is kept": ("Questions.answered", 1, "answered"),
    "the bill is entered": ("Utility.verify", 1, "entered"),
    "the hub has the invoice": ("HeadEnd.ask", 2, "entered"),
    "the delivery is noted": ("Questions.delivered", 1, "delivered"),
}


def waiting(town: Town) -> list[tuple[str, int | None]]:
    """Return the states of what waits, and the invoices."""
    told = json.loads(done("utility", "status", "--utility", town.utility, "--json"))
    return [(one["state"], one["invoice"]) for one in told["waiting"]]


@pytest.mark.parametrize(
    "step", sampled(STEPS, ["the answer is kept", "the hub has the invoice"]), ids=str
)
def test_a_command_that_is_killed_is_gone_on_with(town: Town, step: str) -> None:
    point, times, state = STEPS[step]
    deliver = "utility", "deliver", "--utility", town.utility
    with town.serving() as address:
        request = [*map(str, town.request(address))]
        dying = crowd.started(crowd.command_and_die, request, point, times)
        dying.join()
        assert dying.exitcode == -9
        entered = state in ("entered", "delivered")
        assert waiting(town) == ([] if state == "delivered" else [(state, 1 if entered else None)])
        if state == "asked":  # the same question, and the same answer
            done(*request)
        said = done(*deliver)
        assert said.startswith(
            {"answered": "verified: ", "entered": "delivered: invoice 1 to meter "}.get(
                state, "nothing to deliver"
            )
        )
        assert done(*deliver) == "nothing to deliver\n"
    assert done("utility", "status", "--utility", town.utility).startswith("nothing waits")
    assert bills(town) == shown_to_the_resident(town) == [1]


def test_what_is_said_twice_at_once_is_one_bill_and_what_is_not_reached_waits(town: Town) -> None:
    with town.serving() as address:
        request = tuple(map(str, (*town.request(address), "--json")))
        told = crowd.at_once(crowd.command, [request] * 2)
        assert [code for code, _ in told] == [0, 0]
        first, second = (json.loads(printed) for _, printed in told)
        assert first["invoice"] == second["invoice"] == 1
        assert waiting(town) == []
        dying = crowd.started(crowd.command_and_die, request, "Utility.verify", 1)
        dying.join()
    where = "--utility", town.utility
    assert waiting(town) == [("entered", 2)]
    nowhere = "--meter", METER, "--hub", "127.0.0.1:1", "--json"
    unreached = run_meterlet("utility", "deliver", *where, *nowhere)
    assert unreached.returncode == 1
    assert "1 could not go on: 127.0.0.1:1: " in json.loads(unreached.stderr)["message"]
    told_of = json.loads(unreached.stdout)
    assert [one["invoice"] for one in told_of["failed"]] == [2]
    assert told_of["delivered"] == []
    assert waiting(town) == [("entered", 2)]
    with town.serving() as address:
        done("utility", "deliver", *where, "--meter", METER, "--hub", address)
    assert bills(town) == shown_to_the_resident(town) == [1, 2]


@pytest.mark.process
def test_a_deliverer_goes_on_beside_others_and_loses_nothing_when_it_is_killed(town: Town) -> None:
    watch = "utility", "deliver", "--utility", str(town.utility), "--watch", "--json"
    with town.serving() as address:
        request = [*map(str, town.request(address))]
        crowd.started(crowd.command_and_die, request, "Utility.verify", 1).join()
        # Killed when the hub has the invoice, and that is not noted.
        dying = crowd.started(crowd.command_and_die, watch, "HeadEnd.ask", 1)
        dying.join()
        assert dying.exitcode == -9
        assert waiting(town) == [("entered", 1)]
        with Utility.open(town.utility) as utility, writing(utility.engine) as connection:
            connection.execute(update(hub_delivery_table).values(lease=0))  # as after a minute
        running = subprocess.Popen(
            [*program(), *watch], stdout=subprocess.PIPE, text=True, env=environment()
        )
        with running:
            assert running.stdout is not None
            told = [json.loads(running.stdout.readline()) for _ in range(2)]
            wait_until(lambda: waiting(town) == [], "that it is noted")
            # Asked by another process, which delivers it itself.
            done(*town.request(address))
            running.send_signal(signal.SIGTERM)
            said, _ = running.communicate(timeout=PATIENCE)
        assert running.returncode == 0
        assert [one["event"] for one in told] == ["ready", "delivered"]
        assert told[1]["invoice"] == 1
        assert json.loads(said.splitlines()[-1])["event"] == "stopped"
    assert bills(town) == shown_to_the_resident(town) == [1, 2]
    code, line = refused(*watch[:-1], "--meter", METER)
    assert (code, "--watch is for all customers" in line) == (2, True)


def test_a_question_is_withdrawn_and_asked_anew(town: Town) -> None:
    march = "--utility", town.utility, "--meter", METER, "--month", "2025-03"
    none = "no question waits for a bill of 2025-03-01 to 2025-03-31"
    assert none in refused("utility", "withdraw", *march)[1]
    with town.serving() as address:
        request = [*map(str, town.request(address))]
        crowd.started(crowd.command_and_die, request, "Questions.answered", 1).join()
        assert done("utility", "withdraw", *march).startswith("withdrawn: the question for 2025-03")
        assert waiting(town) == []
        assert done("utility", "deliver", "--utility", town.utility) == "nothing to deliver\n"
        done(*request)
    assert bills(town) == [1]
    assert none in refused("utility", "withdraw", *march)[1]
    assert "--hub goes with --meter" in refused(
        "utility", "deliver", "--utility", town.utility, "--hub", "h:1"
    )[1]  # fmt: skip
