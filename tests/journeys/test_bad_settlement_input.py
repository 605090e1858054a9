# SPDX-License-Identifier: Apache-2.0
"""Settlement, indices and profiles given what they should not be: one line, the right code."""

from pathlib import Path

import pytest

from tests.support.command import run_meterlet

INDEX = "time,price\n2025-03-01T00:00:00Z,1.5\n2025-03-01T01:00:00Z,-2\n"
IMPORT = [
    "--series",
    "spot",
    "--currency",
    "EUR",
    "--column",
    "price",
    "--unit",
    "ct/kWh",
    "--step",
    "60",
]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bad")
    (folder / "spot.csv").write_text(INDEX)
    assert run_meterlet("utility", "init", folder / "grid").returncode == 0
    made = run_meterlet("index", "import", folder / "spot.csv", *IMPORT, "-o", folder / "ok.index")
    assert made.returncode == 0, made.stderr
    (folder / "junk").write_bytes(b"\xa3\x00junk")
    (folder / "fine.csv").write_text("meter,supplier,hub\n0a01,A,127.0.0.1:1\n")
    (folder / "head.csv").write_text("meter,hub\n0a01,127.0.0.1:1\n")
    (folder / "rows.csv").write_text("meter,supplier,hub\nxyz,A,127.0.0.1:1\n")
    return folder


def settle(index: str, *more: str) -> list[str]:
    return ["utility", "settle", "--utility", "{}/grid", "--index", "{}/" + index, *more]


MARCH = ("--month", "2025-03", "--customers")


@pytest.mark.parametrize(
    ("words", "code", "line"),
    [
        (["index", "show", "{}/junk"], 1, "{}/junk: document: "),
        (["index", "show", "{}/none"], 1, "{}/none: No such file"),
        (["index", "show", "{}/ok.index", "--key", "{}/grid/public.pem"], 3, "{}/ok.index: not a"),
        (["index", "import", "{}/junk", *IMPORT, "-o", "{}/new"], 1, "{}/junk: not UTF-8"),
        (["index", "import", "{}/spot.csv", *IMPORT, "-o", "{}/ok.index"], 1, "exists already"),
        (["profile", "show", "{}/junk"], 1, "{}/junk: not JSON"),
        (settle("junk", *MARCH, "{}/fine.csv"), 1, "{}/junk: "),
        (settle("ok.index", *MARCH, "{}/none.csv"), 1, "{}/none.csv: No such file"),
        (settle("ok.index", *MARCH, "{}/head.csv"), 4, "{}/head.csv:1: the header is meter"),
        (settle("ok.index", *MARCH, "{}/rows.csv"), 4, "{}/rows.csv:2: not meter"),
        (settle("ok.index", *MARCH, "{}/fine.csv", "--bundles", "{}/grid"), 1, "exists already"),
        (settle("ok.index", "--sums", "A={}/junk"), 4, "{}/junk: not JSON"),
    ],
)
def test_it_is_one_line_that_names_the_place(
    place: Path, words: list[str], code: int, line: str
) -> None:
    ran = run_meterlet(*(word.replace("{}", str(place)) for word in words))
    assert (ran.returncode, ran.stdout) == (code, "")
    (said,) = ran.stderr.splitlines()
    assert said.startswith("meterlet: ")
    assert line.replace("{}", str(place)) in said
    assert not (place / "new").exists()


def test_customers_that_cannot_be_asked_are_named_and_nothing_is_entered(place: Path) -> None:
    words = settle("ok.index", *MARCH, "{}/fine.csv", "--json")
    ran = run_meterlet(*(word.replace("{}", str(place)) for word in words))
    assert ran.returncode == 4
    assert "1 customers are not settled; 0a01: meter 0a01 is not enrolled" in ran.stderr
    assert '"settled": 0' in ran.stdout
