# SPDX-License-Identifier: Apache-2.0
"""The grid operator's commands, as an operator types them."""

import json
import xml.etree.ElementTree as ET
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from meterlet.commands.main import main
from tests.support.mdms import aggregate, new_mdms


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MDMS that knows five weeks of the region North."""
    folder = tmp_path_factory.mktemp("operator") / "mdms"
    with new_mdms(folder) as office:
        office.store.add(aggregate(date(2025, 5, 5), 35, bits=13))
    return folder


def run_meterlet(*arguments: object) -> Result:
    """Run a command in this process: starting one for each takes longer than what it does."""
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def ask(folder: Path, *arguments: object, code: int = 0) -> dict[str, Any]:
    verb, *others = arguments
    done = run_meterlet("mdms", verb, "--mdms", folder, "--json", *others)
    assert done.exit_code == code, done.stderr
    facts: dict[str, Any] = json.loads(done.stdout)
    return facts


def refusal(folder: Path, *arguments: object) -> tuple[int, str]:
    verb, *others = arguments
    done = run_meterlet("mdms", verb, "--mdms", folder, *others)
    assert done.stdout == ""
    return done.exit_code, done.stderr


def test_a_query_shows_the_curve_and_what_it_comes_to(folder: Path) -> None:
    facts = ask(folder, "query", "--region", "North", "--from", "2025-05-06", "--until",
                "2025-05-06", "--budget")  # fmt: skip
    expected = aggregate(date(2025, 5, 5), 35).sums_wh[48:96]
    assert [slot["wh"] for slot in facts["slots"]] == list(expected)
    assert facts["slots"][0]["start"] == "2025-05-05T22:00:00Z"
    assert facts["statistics"]["total_wh"] == sum(expected)
    assert facts["noise"] is None
    assert facts["budget"]["rho_left"] == "0"


def test_what_is_published_with_noise_is_paid_for_and_refused_beyond_the_budget(
    folder: Path,
) -> None:
    day = ("--region", "North", "--from", "2025-05-07", "--until", "2025-05-07")
    code, why = refusal(folder, "query", *day, "--rho", "0.1")
    assert code == 5
    assert why == "meterlet: region North: ρ = 0.1 asked for, 0 of 0 left\n"
    ask(folder, "budget", "--region", "North", "--rho", "0.15")
    noisy = ask(folder, "query", *day, "--rho", "0.1", "--budget")
    assert noisy["noise"]["published_before"] is False
    assert noisy["budget"]["rho_left"] == "0.05"
    again = ask(folder, "query", *day, "--rho", "0.1", "--budget")
    assert again["slots"] == noisy["slots"]
    assert again["budget"]["rho_left"] == "0.05"
    code, why = refusal(folder, "plot", *day, "--rho", "0.06", "-o", folder.parent / "no.svg")
    assert code == 5
    assert not (folder.parent / "no.svg").exists()


def test_residents_are_told_of_the_budget_by_a_notice_that_only_the_operator_can_sign(
    folder: Path,
) -> None:
    notice, operator = folder.parent / "north.notice", folder / "public.pem"
    ask(folder, "notice", "--region", "North", "-o", notice)
    shown = run_meterlet("inspect", "privacy", notice, "--operator", operator, "--json")
    facts = json.loads(shown.stdout)
    assert facts["releases"] == 1
    assert facts["budget"] == ask(folder, "budget", "--region", "North")["budget"]
    data = notice.read_bytes()
    for at, code in ((len(data) - 1, 3), (len(data) // 3, 3), (0, 4)):
        notice.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        altered = run_meterlet("inspect", "privacy", notice, "--operator", operator)
        assert altered.exit_code == code
        assert altered.stdout == ""
    notice.write_bytes(data + b"\0")
    assert run_meterlet("inspect", "privacy", notice, "--operator", operator).exit_code == 4


def test_a_plot_is_a_picture_and_never_overwrites_one(folder: Path) -> None:
    picture = folder.parent / "north.svg"
    facts = ask(folder, "plot", "--region", "North", "-o", picture, "--forecast", 2)
    assert facts["slots"] == 35 * 48
    root = ET.fromstring(picture.read_text())
    assert sum(node.tag.endswith("path") for node in root.iter()) > 4
    before = picture.read_bytes()
    code, why = refusal(folder, "plot", "--region", "North", "-o", picture)
    assert code == 1
    assert str(picture) in why
    assert picture.read_bytes() == before


def test_a_forecast_says_how_wrong_each_method_was(folder: Path) -> None:
    facts = ask(folder, "forecast", "--region", "North", "--days", 2, "--evaluate", 3)
    assert len(facts["slots"]) == 96
    assert all(isinstance(slot["wh"], int) for slot in facts["slots"])
    errors = {one["method"]: one["mape"] for one in facts["errors"]}
    assert errors["autoregression"] < errors["profile"]
    assert set(errors) == {"autoregression", "profile", "week before"}


def test_a_balance_that_does_not_close_leaves_with_3(folder: Path) -> None:
    expected = aggregate(date(2025, 5, 5), 35)
    sound, leaking = folder.parent / "sound.csv", folder.parent / "leaking.csv"
    rows = list(zip(expected.bounds, expected.sums_wh, strict=False))
    lines = [f"{_iso(start)},{wh + 100 + start // 1800 % 5}" for start, wh in rows]
    sound.write_text("start,wh\n" + "\n".join(lines))
    lines = [f"{_iso(start)},{wh + 400 + start // 1800 % 5}" for start, wh in rows]
    leaking.write_text("start,wh\n" + "\n".join(lines))
    closed = ask(folder, "balance", "--region", "North", "--feeder", sound, "--no-load", "204")
    assert closed["discrepancy"] is False
    open_ = ask(
        folder, "balance", "--region", "North", "--feeder", leaking, "--no-load", "204", code=3
    )
    assert open_["discrepancy"] is True
    assert open_["test"].startswith("HAC t-test")
    assert open_["residual_wh"] == pytest.approx(300 * len(rows), rel=0.01)


def _iso(time: int) -> str:
    return datetime.fromtimestamp(time, UTC).isoformat()


def test_a_rotation_changes_keys_and_nothing_else(folder: Path) -> None:
    before = ask(folder, "query", "--region", "North")
    facts = ask(folder, "rotate")
    assert facts["rows_sealed"] >= 1
    assert facts["wrapping_keys_destroyed"] == 1
    assert ask(folder, "query", "--region", "North") == before


@pytest.mark.parametrize(
    ("arguments", "code", "why"),
    [
        (("query", "--region", "South"), 4, "region South: no sum is stored"),
        (("query", "--region", "North", "--from", "2026-01-01"), 4, "no sum of that time"),
        (("query", "--region", "North", "--resolution", "7"), 4, "7-minute slots"),
        (("query", "--region", "North", "--rho", "0"), 2, "a decimal above 0"),
        (("budget", "--region", "Nor\nth"), 1, "1 to 64 letters"),
        (("forecast", "--region", "North", "--until", "2025-05-12"), 1, "3 weeks"),
        (("balance", "--region", "North", "--feeder", "/dev/null"), 4, "share 0 slots"),
        (("balance", "--region", "North", "--feeder", "/dev/null", "--loss", "100"), 2, "100"),
        (("admit", "/dev/null"), 1, "/dev/null"),
        (("serve", "--concentrator", "nowhere", "--concentrator-key", "/dev/null"), 1, "HOST:PORT"),
    ],
)
def test_what_cannot_be_done_is_one_line_with_its_exit_code(
    folder: Path, arguments: tuple[str, ...], code: int, why: str
) -> None:
    found, said = refusal(folder, *arguments)
    assert (found, why in said) == (code, True), said
    assert code == 2 or said.count("\n") == 1


def test_an_mdms_is_made_in_an_empty_folder_only(folder: Path, tmp_path: Path) -> None:
    done = run_meterlet("mdms", "init", folder)
    assert done.exit_code == 1
    assert "not empty" in done.stderr
    done = run_meterlet("authority", "init", tmp_path / "authority", "--json")
    pem = tmp_path / "authority" / "public.pem"
    made = run_meterlet("mdms", "init", tmp_path / "mdms", "--authority", pem, "--json")
    assert made.exit_code == 0, made.stderr
    certify = ("authority", "certify", "--authority", tmp_path / "authority", "--region", "North")
    names = ("--meter", "0a0b", "--certifier", bytes(range(32)).hex())
    done = run_meterlet(*certify, *names, "-o", tmp_path / "0a0b.cert")
    assert done.exit_code == 0, done.stderr
    admitted = ask(tmp_path / "mdms", "admit", tmp_path / "0a0b.cert")
    assert admitted["admitted"] == [{"meter": "0a0b", "region": "North"}]
    code, why = refusal(folder, "admit", tmp_path / "0a0b.cert")
    assert code == 1
    assert "no authority that this MDMS trusts" in why


def test_without_its_process_an_mdms_aggregates_nothing(folder: Path) -> None:
    done = run_meterlet(
        "utility", "aggregate", "--mdms", folder, "--region", "North", "--month", "2025-03"
    )
    assert done.exit_code == 1
    assert "mdms.sock" in done.stderr
    assert "mdms serve" in done.stderr


def test_a_split_key_leaves_no_whole_one_behind_and_overwrites_no_share(tmp_path: Path) -> None:
    share, made = tmp_path / "trustee.share", tmp_path / "mdms"
    done = run_meterlet("mdms", "init", made, "--trustee-share", share)
    assert done.exit_code == 0, done.stderr
    assert share.stat().st_mode & 0o777 == 0o600
    assert (made / "keys" / "paillier.share").exists()
    assert not (made / "keys" / "paillier.key").exists()
    before = share.read_bytes()
    done = run_meterlet("mdms", "init", tmp_path / "other", "--trustee-share", share)
    assert done.exit_code == 1
    assert str(share) in done.stderr
    assert share.read_bytes() == before
    assert not (tmp_path / "other").exists()
