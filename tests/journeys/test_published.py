# SPDX-License-Identifier: Apache-2.0
"""A resident who wants to be asked under public prices only, and the list that has them."""

import json
import shutil
from pathlib import Path

import pytest

from tests.support.town import LOAD_VARIABLE, TARIFF, Town, done, refused

NOT_ALLOWED = "6985 (it may not tell: the resident's consents do not allow it"


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Town:
    town = Town(tmp_path_factory.mktemp("public"))
    town.build()
    return town


def test_a_bill_is_answered_once_its_tariff_is_on_the_list_that_the_hub_has(
    town: Town, tmp_path: Path
) -> None:
    listed = json.loads(done("inspect", "consents", "list", "--hub", town.hub, "--json"))
    [linear] = [one for one in listed["consents"] if one["statement"] == "linear"]
    narrow = ("inspect", "consents", "narrow", "--hub", town.hub, linear["number"])
    done(*narrow, "--published", 1)
    assert "no public list" in done("hub", "published", "--hub", town.hub)
    utility = ("--utility", town.utility)
    with town.serving() as address:
        code, line = refused(*town.request(address, TARIFF, "--unpublished"))
        assert (code, NOT_ALLOWED in line) == (5, True)
        assert json.loads(done("utility", "published", *utility, "--json"))["entries"] == []
        code, _ = refused(*town.request(address))  # is on the list now; the hub has it not
        assert code == 5
        done("utility", "published", *utility, "-o", tmp_path / "one.list")
        taken = done("hub", "published", "take", "--hub", town.hub, tmp_path / "one.list")
        ours = json.loads(done("utility", "published", *utility, "--json"))
        assert ours["code"] in taken
        assert [entry["kind"] for entry in ours["entries"]] == ["tariff"]
        done(*town.request(address))

    released = json.loads(done("inspect", "releases", "--hub", town.hub, "--json"))
    [release] = released["released"]
    assert (release["published"]["number"], release["published"]["meters"]) == (1, 1)
    assert [one["why"].partition(":")[0] for one in released["refused"]] == ["published"] * 2

    done("utility", "publish", "tariff", *utility, LOAD_VARIABLE, "--meters", 240)
    done("utility", "published", *utility, "-o", tmp_path / "two.list")
    done("hub", "published", "take", "--hub", town.hub, tmp_path / "two.list")
    code, line = refused("hub", "published", "take", "--hub", town.hub, tmp_path / "one.list")
    assert (code, "get a newer one" in line) == (3, True)
    [shown] = json.loads(done("hub", "published", "--hub", town.hub, "--json"))["lists"]
    assert [entry["meters"] for entry in shown["entries"]] == [1, 240]
    at_one = done("hub", "published", "--hub", town.hub, "--at", 1)
    assert ours["code"] in at_one
    assert shown["code"] not in at_one
    assert ours["code"] == shown["entries"][0]["code"]


def test_a_list_of_another_utility_is_refused_unless_its_key_is_named(
    town: Town, tmp_path: Path
) -> None:
    hub = shutil.copytree(town.hub, tmp_path / "hub")
    other = tmp_path / "other"
    done("utility", "init", other)
    done("utility", "publish", "tariff", "--utility", other, TARIFF)
    done("utility", "published", "--utility", other, "-o", tmp_path / "their.list")
    take = ("hub", "published", "take", "--hub", hub, tmp_path / "their.list")
    code, line = refused(*take)
    assert (code, "signed by nobody whose applet is installed here" in line) == (3, True)
    code, line = refused(*take[:-1], other / "public.pem")
    assert (code, "not a published list" in line) == (3, True)
    done(*take, "--key", other / "public.pem")
    shown = json.loads(done("hub", "published", "--hub", hub, "--json"))["lists"]
    assert [one["applets"] for one in shown][-1] == []


def test_an_index_is_published_by_the_month_as_questions_carry_it(
    town: Town, tmp_path: Path
) -> None:
    rows = ["time,price", *(f"2025-03-{d:02}T{h:02}:00:00Z,{80 + h}" for d in range(1, 32)
                            for h in range(24))]  # fmt: skip
    rows.insert(1, "2025-02-28T23:00:00Z,70")
    source = tmp_path / "prices.csv"
    source.write_text("\n".join(rows) + "\n")
    index = tmp_path / "spot.index"
    done(
        "index", "import", source, "--column", "price", "--unit", "EUR/MWh", "--step", "60",
        "--series", "spot", "--currency", "EUR", "-o", index,
    )  # fmt: skip
    publish = ("utility", "publish", "index", "--utility", town.utility, index)
    first = json.loads(done(*publish, "--month", "2025-03", "--json"))
    assert json.loads(done(*publish, "--month", "2025-03", "--json")) == first  # once is enough
    entries = json.loads(done("utility", "published", "--utility", town.utility, "--json"))
    assert entries["entries"][-1]["name"] == (
        "spot, revision 1, 2025-02-28T23:00:00Z to 2025-03-31T22:00:00Z"
    )
    assert entries["entries"][-1]["digest"] == first["digest"]


def test_a_damaged_list_is_never_begun_anew(town: Town, tmp_path: Path) -> None:
    utility = shutil.copytree(town.utility, tmp_path / "utility")
    done("utility", "publish", "tariff", "--utility", utility, TARIFF)
    path = utility / "published.list"
    path.write_bytes(path.read_bytes()[:-1])
    code, line = refused("utility", "publish", "tariff", "--utility", utility, LOAD_VARIABLE)
    assert (code, "restore it" in line) == (1, True)
