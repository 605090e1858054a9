# SPDX-License-Identifier: Apache-2.0
"""Operators' second factor: whoever has the password alone, or a code alone, does not come in."""

import base64
import re
import sqlite3
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.service import ORIGIN, Clock, Served, new_utility, served
from utility_server.errors import AccessProblem, StoreError, TooManySignIns
from utility_server.service.access.operators import FREE_FAILURES, LONGEST_WAIT_SECONDS, Operators
from utility_server.service.access.roles import Role
from utility_server.service.access.second_factor import STEP_SECONDS, NewFactor, hotp, step_of
from utility_server.service.access.settings import needs_second_factor
from utility_server.service.application import create_service
from utility_server.service.console import sign_in

PASSWORD = "correct horse battery"
OTHERS = "another horse battery"


@pytest.fixture(scope="module")
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, clock: Clock) -> Iterator[Served]:
    folder = new_utility(tmp_path_factory.mktemp("second") / "utility")
    with served(folder, create_service, now=clock) as service:
        yield service


@pytest.fixture
def operators(service: Served, clock: Clock) -> Operators:
    """Those of the service, with anna and bert, none of whom has failed of late."""
    clock.now += 2 * 86_400
    operators = service.parts.operators
    for known in operators.all():
        operators.remove(known.name)
    assert operators.factors.left() == {}
    for name, password in (("anna", PASSWORD), ("bert", OTHERS)):
        operators.add(name, password, frozenset({Role.BILLING}))
    return operators


def code_of(made: NewFactor, moment: int) -> str:
    return hotp(base64.b32decode(made.secret), step_of(moment))


def comes_in(operators: Operators, code: str, password: str = PASSWORD, name: str = "anna") -> bool:
    return operators.sign_in(name, password, "10.0.0.1", code) is not None


def test_a_password_alone_or_a_code_alone_opens_nothing(operators: Operators, clock: Clock) -> None:
    made = operators.add_factor("anna")
    right = code_of(made, clock.now)
    wrong = f"{(int(right) + 1) % 10**6:06}"
    for code in ("", wrong, right[:-1], right + "0", "０" * 6, "-", "A" * 16, "9" * 5_000):
        assert not comes_in(operators, code)
        clock.now += LONGEST_WAIT_SECONDS
    assert not comes_in(operators, code_of(made, clock.now), "wrong horse battery")
    clock.now += LONGEST_WAIT_SECONDS
    # The code that was shown beside a wrong password is not spent by it.
    assert comes_in(operators, code_of(made, clock.now))
    assert comes_in(operators, "", OTHERS, "bert")  # who has none needs none


def test_a_code_counts_once_and_no_earlier_one_after_it(operators: Operators, clock: Clock) -> None:
    made = operators.add_factor("anna")
    clock.now += 10 * STEP_SECONDS
    early, now = code_of(made, clock.now - STEP_SECONDS), code_of(made, clock.now)
    assert comes_in(operators, f" {now[:3]} {now[3:]} ")  # as people type it
    assert not comes_in(operators, now)
    assert not comes_in(operators, early)
    clock.now += STEP_SECONDS
    assert not comes_in(operators, now)
    assert comes_in(operators, code_of(made, clock.now))


def test_a_code_counts_a_step_early_or_late_and_no_longer(
    operators: Operators, clock: Clock
) -> None:
    made = operators.add_factor("anna")
    clock.now += 1_000 - clock.now % STEP_SECONDS
    for steps in (-3, -2, 2, 3, 100):
        assert not comes_in(operators, code_of(made, clock.now + steps * STEP_SECONDS))
        clock.now += LONGEST_WAIT_SECONDS
    for steps in (-1, 0, 1):
        clock.now += 10 * STEP_SECONDS
        assert comes_in(operators, code_of(made, clock.now + steps * STEP_SECONDS))


def test_one_code_shown_by_many_at_once_lets_one_in(operators: Operators, clock: Clock) -> None:
    made = operators.add_factor("anna")
    for code in (code_of(made, clock.now), made.recovery[0]):
        shown = operators.factors.look("anna", code)
        came: list[bool] = []

        def use(shown: object = shown, came: list[bool] = came) -> None:
            came.append(operators.factors.use("anna", shown))  # type: ignore[arg-type]

        threads = [threading.Thread(target=use) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(came) == [False] * 7 + [True]


def test_a_recovery_code_counts_once_and_for_its_operator_alone(operators: Operators) -> None:
    made, other = operators.add_factor("anna"), operators.add_factor("bert")
    assert not comes_in(operators, other.recovery[0])
    assert comes_in(operators, made.recovery[0])
    assert not comes_in(operators, made.recovery[0])
    assert comes_in(operators, made.recovery[1].lower().replace("-", " "))
    assert operators.factors.left() == {"anna": 8, "bert": 10}
    again = operators.add_factor("anna")
    assert not comes_in(operators, made.recovery[2])
    assert comes_in(operators, again.recovery[2])


def test_guessing_codes_with_the_right_password_costs_time(
    operators: Operators, clock: Clock
) -> None:
    """Three hours are some 40 guesses at a million codes, of which three count."""
    made = operators.add_factor("anna")
    for guess in range(FREE_FAILURES):
        assert not comes_in(operators, f"{guess:06}")
    with pytest.raises(TooManySignIns):
        comes_in(operators, code_of(made, clock.now))
    guesses, end = 0, clock.now + 3 * 3600
    while clock.now < end:
        try:
            operators._count("anna", "10.0.0.1")
            guesses += 1
        except TooManySignIns as error:
            clock.now += error.seconds
    assert guesses < 50


def test_where_it_is_required_nobody_comes_in_without(
    operators: Operators, clock: Clock, tmp_path: Path
) -> None:
    strict = replace(operators, needs_factor=True)
    with pytest.raises(AccessProblem, match="no second factor"):
        operators.remove_factor("bert")
    assert comes_in(operators, "", OTHERS, "bert")
    assert not comes_in(strict, "", OTHERS, "bert")
    made = operators.add_factor("bert")
    assert comes_in(strict, code_of(made, clock.now), OTHERS, "bert")
    for text, needs in (
        ("", False),
        ('[operators]\nsecond_factor = "optional"\n', False),
        ('[operators]\nsecond_factor = "required"\n', True),
    ):
        (tmp_path / "service.toml").write_text(text)
        assert needs_second_factor(tmp_path) is needs
    for text in (
        '[operators]\nsecond_factor = "yes"\n', "[operators]\nsecond_factor = true\n",
        '[operators]\nsecond_facto = "required"\n', "operators = 1\n", '[operator]\nx = "y"\n',
    ):  # fmt: skip
        (tmp_path / "service.toml").write_text(text)
        with pytest.raises(AccessProblem):
            needs_second_factor(tmp_path)


def test_the_database_alone_makes_no_codes(
    operators: Operators, service: Served, clock: Clock
) -> None:
    made = operators.add_factor("anna")
    secret = base64.b32decode(made.secret)
    engine = operators.engine
    if engine.dialect.name == "sqlite":
        with sqlite3.connect(str(engine.url.database)) as database:
            dump = "\n".join(database.iterdump())
        database.close()
        texts = (made.secret, secret.hex().upper(), *made.recovery)
        assert not [one for one in texts if one in dump or one.replace("-", "") in dump]
    stolen = replace(operators.factors, storage_key=bytes(32))
    with pytest.raises(StoreError, match="another key"):
        stolen.look("anna", "000000")
    # Nor is a sealed secret anybody else's: it is bound to its operator.
    with pytest.raises(StoreError, match="another key"):
        with engine.connect() as connection:
            sealed = connection.exec_driver_sql(
                "SELECT sealed FROM operator_factor WHERE name = 'anna'"
            ).scalar_one()
        operators.factors._opened("bert", bytes(sealed))
    assert code_of(made, clock.now) not in str(service.log)


def test_the_sign_in_page_asks_for_both_and_says_the_same_to_all_who_fail(
    operators: Operators, service: Served, clock: Clock
) -> None:
    made = operators.add_factor("anna")

    def come(name: str, password: str, code: str) -> tuple[int, str]:
        asked = service.client.get("/sign-in")
        found = re.search(r'name="token" value="([0-9a-f]+)"', asked.text)
        assert found is not None
        data = {"token": found[1], "name": name, "password": password, "code": code}
        answer = service.client.post("/sign-in", data=data, headers={"Origin": ORIGIN})
        told = re.search(r'id="problem">([^<]*)<', answer.text)
        return answer.status_code, "" if told is None else told[1]

    clock.now += 10 * STEP_SECONDS
    right = code_of(made, clock.now)
    refusal = (403, sign_in.REFUSED)
    assert come("anna", PASSWORD, "") == refusal
    assert come("anna", "wrong horse battery", right) == refusal
    assert come("nobody", PASSWORD, right) == refusal
    assert come("anna", PASSWORD, right) == (200, "")
    assert service.client.get("/tariffs").status_code == 200
    # Another second factor ends what was signed in with the one of before.
    operators.add_factor("anna")
    assert service.client.get("/tariffs").status_code == 303
    assert right not in str(service.log)
    assert 'autocomplete="one-time-code"' in service.client.get("/sign-in").text
