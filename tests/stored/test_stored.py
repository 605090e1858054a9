# SPDX-License-Identifier: Apache-2.0
"""What earlier releases have stored is opened, shown as it was, and gone on with; nothing is lost.

The archives are described in README.md beside this file.
"""

import json
import sqlite3
import tarfile
from contextlib import closing
from pathlib import Path
from shutil import copytree
from typing import Any, Final

import pytest
from click.testing import CliRunner

from hub.device import Device
from hub.inspection.api.tokens import Tokens
from hub.inspection.store import open_inspection
from hub.machine.machine import AppletMachine
from meterlet.commands.main import main
from protocols.aggregation.split_key import KeyShare
from tests.stored.make import METERS, PASSPHRASE, SHOWN
from tests.support.command import ROOT, serving_hub
from tests.support.locks import held
from utility_server.grid.concentrator.hubs import read_hubs
from utility_server.grid.mdms.workspace import Mdms
from utility_server.keys import read_secret
from utility_server.packed_days import unpack_days

HERE = Path(__file__).parent
RELEASES = sorted(path.name for path in HERE.iterdir() if path.name[0].isdigit())
NEVER_LOST = {
    "hub.db": (
        "reading", "certified_day", "card_package", "aggregation_release",
    ),
    "residents.db": ("resident",),
    "inspection.db": ("api_token",),
    "utility.db": ("ledger_entry", "evidence", "enrolment"),
    "mdms.db": ("aggregate", "worth", "release", "budget", "member"),
}  # fmt: skip
"""Tables whose rows stay, byte by byte, by the file that they are in."""
SEALED = "disclosure_entry", "disclosure_bytes", "applet_output"
"""Tables of the hub whose rows are as many as they were, and sealed where they lay in clear."""


@pytest.fixture(scope="module", params=RELEASES)
def stored(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Everything that a release has stored; to be copied, not used."""
    folder = tmp_path_factory.mktemp(f"stored-{request.param}")
    for archive in sorted((HERE / request.param).glob("*.tar.xz")):
        with tarfile.open(archive) as tar:
            tar.extractall(folder, filter="data")
    return folder


@pytest.fixture
def town(stored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, which is the working folder."""
    copytree(stored, tmp_path / "town")
    monkeypatch.chdir(tmp_path / "town")
    return tmp_path / "town"


def run(*arguments: object, code: int = 0) -> str:
    """Run a command in this process, for speed; return what it printed."""
    done = CliRunner().invoke(main, [*map(str, arguments)], env={"NO_COLOR": "1"})
    assert done.exit_code == code, done.output
    return done.stdout


def rows(folder: Path) -> dict[tuple[str, str], list[tuple[Any, ...]]]:
    """Return what is in the tables whose rows stay, by file and table."""
    found = {}
    for name, tables in NEVER_LOST.items():
        for path in sorted(folder.rglob(name)):
            with closing(sqlite3.connect(path)) as connection:
                for table in tables:
                    content = connection.execute(f"SELECT * FROM {table}").fetchall()
                    found[str(path.relative_to(folder)), table] = content
    return found


def certified_days(folder: Path) -> dict[Path, list[tuple[Any, ...]]]:
    """Return the utilities' certified days, which releases keep in other tables since."""
    found = {}
    for path in sorted(folder.rglob("utility.db")):
        with closing(sqlite3.connect(path)) as connection:
            tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
            if "certified_chain" in tables:
                query = "SELECT meter, register, counter, previous, digest FROM certified_chain"
                days = connection.execute(query).fetchall()
            else:
                days = [
                    (meter, register, first + place, day.previous, day.digest)
                    for meter, register, first, packed in connection.execute(
                        "SELECT meter, register, first, days FROM certified_span"
                    )
                    for place, day in enumerate(unpack_days(packed))
                ]
        found[path.relative_to(folder)] = sorted(days)
    return found


def sealed_counts(folder: Path) -> dict[tuple[Path, str], int]:
    """Return how many rows the tables have that are sealed since."""
    counts = {}
    for path in sorted(folder.rglob("hub.db")):
        with closing(sqlite3.connect(path)) as connection:
            for table in SEALED:
                (counts[path, table],) = connection.execute(
                    f"SELECT count(*) FROM {table}"
                ).fetchone()
    return counts


def key_files(folder: Path) -> dict[Path, bytes]:
    """Return the files of keys, which nobody but their owner's command changes."""
    patterns = "*.key", "*.pem", "*.share"
    paths = [path for pattern in patterns for path in folder.rglob(pattern)]
    return {path.relative_to(folder): path.read_bytes() for path in paths}


WORKED_OUT: Final = "known", "raw_readings_left_house"
"""What follows from releases; release 0.1 worked it out in a way that was wrong (docs/guard.md)."""


def holds(new: Any, old: Any) -> bool:
    """Tell whether all that an old answer says is said by a new one; it may say more."""
    if isinstance(old, dict) and isinstance(new, dict):
        stated = {name: value for name, value in old.items() if name not in WORKED_OUT}
        return all(name in new and holds(new[name], value) for name, value in stated.items())
    if isinstance(old, list) and isinstance(new, list):
        return len(new) == len(old) and all(map(holds, new, old))
    return bool(new == old)


def test_all_is_shown_as_the_release_has_shown_it_and_nothing_is_lost(
    town: Path, machine: AppletMachine
) -> None:
    """The ledger, and bundles, are verified again on the way."""
    assert machine is not None  # built before a command would build it
    before, keys, counts = rows(town), key_files(town), sealed_counts(town)
    days = certified_days(town)
    assert all(days.values())
    stored_tables = {table for (_, table), content in before.items() if content}
    assert stored_tables == {table for tables in NEVER_LOST.values() for table in tables}
    for name, command in SHOWN.items():
        old = json.loads((town / "shown" / f"{name}.json").read_text())
        new = json.loads(run(*command, "--json"))
        # What somebody can work out at most is counted otherwise now; nobody is left out.
        knew, known = old.pop("known", {}), new.get("known", {})
        assert knew.keys() <= known.keys(), name
        assert new.get("raw_readings_left_house", 0) >= old.pop("raw_readings_left_house", 0), name
        assert all(known[who]["in_words"]["en"] for who in knew), name
        assert holds(new, old), (name, new, old)
    after = rows(town)
    for table, content in before.items():
        width = len(content[0]) if content else 0  # a migration adds columns at the end
        assert [row[:width] for row in after[table]] == content, table
    assert key_files(town) == keys
    assert sealed_counts(town) == counts
    assert certified_days(town) == days


def test_a_hub_answers_new_questions_and_the_resident_sees_them(
    town: Path, machine: AppletMachine
) -> None:
    assert machine is not None
    ask = "utility", "request", "bill", "--utility", "utility", "--month", "2025-03", "--json"
    run("applet", "build", ROOT / "applets" / "billing", "--key", "vendor.key", "-o", "new.cap")
    for hub, tariff in (("home", "plain"), ("solar", "feed-in")):
        before = json.loads((town / "shown" / f"{hub}-releases.json").read_text())
        first = json.loads((town / "shown" / f"{tariff}-bundle.json").read_text())
        with serving_hub(Path(hub).resolve()) as address:
            where = "--meter", METERS[hub], "--hub", address, "--tariff", f"{tariff}.cose"
            refused = CliRunner().invoke(main, [*map(str, (*ask[:-1], *where))])
            # The stored applet tells exact amounts: the guard lets it tell them no more.
            assert refused.exit_code == 5
            assert "6985 (it may not tell: the resident's consents do not" in refused.stderr
        office = f"new-{hub}"
        run("utility", "init", office)
        run("applet", "delete", "--hub", hub, "F04D544C010101")
        run("applet", "install", "--hub", hub, "new.cap", "--yes", "--recipient",
            f"{office}/public.pem", "--enrolment", f"{office}.json")  # fmt: skip
        run("utility", "enrol", "--utility", office, f"{office}.json")
        with serving_hub(Path(hub).resolve()) as address:
            where = "--meter", METERS[hub], "--hub", address, "--tariff", f"{tariff}.toml"
            ask_anew = "utility", "request", "bill", "--utility", office, "--month", "2025-03"
            billed = json.loads(run(*ask_anew, *where, "--json", "--bundle", "new.bundle"))
        assert billed["total"] == first["total"]
        run("bill", "verify", "new.bundle", "--supplier", f"{office}/public.pem")
        (town / "new.bundle").unlink()
        after = json.loads(run("inspect", "releases", "--hub", hub, "--json"))
        assert len(after["released"]) > len(before["released"])
        shown = json.loads(run("inspect", "bill", "--hub", hub, "--proof", "--json"))
        assert (shown["verdict"], shown["invoice"]) == ("matches", billed["invoice"])
    entries = json.loads(run("utility", "ledger", "--utility", "utility", "--json"))["entries"]
    old = json.loads((town / "shown" / "ledger.json").read_text())["entries"]
    assert len(entries) == len(old)  # what the hub refuses is no answer


def test_readings_go_on_where_they_ended(town: Path) -> None:
    for hub, more in (("home", ()), ("solar", ("--solar", "5"))):
        days = "synthetic", "--from", "2025-04-01", "--until", "2025-04-03"
        run("hub", "ingest", "--hub", hub, *days, *more)
        status = json.loads(run("hub", "status", "--hub", hub, "--json"))
        assert (status["certified_days"], status["last_day"]) == (34, "2025-04-03")


def test_residents_tokens_and_consents_are_as_they_were(town: Path) -> None:
    from hub.inspection.web import ResidentRole, Residents

    with Residents.open(town / "home", lambda: 2_000_000_000, bytes) as residents:
        assert [(one.name, one.role) for one in residents.all()] == [
            ("anna", ResidentRole.OWNER),
            ("ben", ResidentRole.READER),
        ]
        assert residents.verify("anna", PASSPHRASE) is not None
    text = json.loads((town / "token.json").read_text())["token"]
    with Device.open(town / "home") as device, open_inspection(device) as database:
        assert Tokens(database, device).authenticate(text).name == "display"
    listed = json.loads(run("inspect", "consents", "list", "--hub", "home", "--json"))["consents"]
    older = [one["number"] for one in listed if one["given_under_older_words"]]
    assert 1 in older
    run("inspect", "consents", "confirm", "--hub", "home", older[-1])
    said = run("inspect", "consents", "list", "--hub", "home")
    assert said.count("given under older words") == len(older) - 1
    run("inspect", "consents", "revoke", "--hub", "home", 1)
    given = json.loads(run("inspect", "consents", "list", "--hub", "home", "--json"))["consents"]
    assert given[0]["revoked"]


def test_a_snapshot_of_the_card_is_restored(town: Path, machine: AppletMachine) -> None:
    assert machine is not None
    listed = json.loads((town / "shown" / "home-applets.json").read_text())
    aid = "F04D544C010103"
    run("applet", "delete", "--hub", "home", aid)
    assert aid not in run("applet", "list", "--hub", "home", "--json")
    run("hub", "restore", "--hub", "home", "home.snapshot")
    assert holds(json.loads(run("applet", "list", "--hub", "home", "--json")), listed)


def test_packages_are_installed_on_a_new_hub(town: Path, machine: AppletMachine) -> None:
    assert machine is not None
    run("hub", "init", "new", "--serial", 9, "--vendor", "vendor.key.pub")
    for name in ("billing", "settlement", "profiling", "aggregation", "busiest-hour"):
        run("applet", "install", "--hub", "new", f"{name}.cap", "--yes",
            "--recipient", "utility/public.pem", "--enrolment", f"new-{name}.json")  # fmt: skip
    for name in ("home-billing", "solar-billing", "home-settlement", "compared-profiling"):
        run("utility", "init", f"for-{name}")
        run("utility", "enrol", "--utility", f"for-{name}", f"{name}.json")


def test_the_operators_go_on(town: Path) -> None:
    region = "--mdms", "curves/mdms", "--region", "Demonstration"
    run("mdms", "query", *region, "--rho", "0.2", "--json")
    left = json.loads(run("mdms", "budget", *region, "--json"))["budget"]["rho_left"]
    assert left == "0.2"
    for name, rows_sealed in (("curves", 3), ("worths", 1)):  # each row is opened on the way
        rotated = json.loads(run("mdms", "rotate", "--mdms", f"{name}/mdms", "--json"))
        assert rotated["rows_sealed"] == rows_sealed
    curve = json.loads((town / "shown" / "curve.json").read_text())
    assert holds(json.loads(run("mdms", "query", *region, "--json"))["slots"], curve["slots"])
    meter = "0a014d544c0000000009"
    run("authority", "certify", "--authority", "curves/authority", "--region", "Demonstration",
        "--meter", meter, "--certifier", "11" * 32, "-o", "meter.certificate")  # fmt: skip
    run("mdms", "admit", "--mdms", "curves/mdms", "meter.certificate")
    with Mdms.open(town / "curves/mdms") as mdms:
        assert len(mdms.members.of_region("Demonstration")) == 6
        ours, theirs = mdms.paillier, read_secret(town / "curves" / "trustee.share")
        assert isinstance(ours, KeyShare)
        assert KeyShare.decode(theirs).public_key == ours.public_key
    assert len(read_hubs(town / "curves" / "hubs.json")) == 5


NEWER = {
    "home/hub.db": (("hub", "status", "--hub", "home"), "component = 'vault'"),
    "home/inspection.db": (("inspect", "tokens", "list", "--hub", "home"), "1"),
    "home.snapshot": (("hub", "restore", "--hub", "home", "home.snapshot"), "component = 'card'"),
    "home/residents.db": (("inspect", "users", "list", "--hub", "home"), "1"),
    "utility/utility.db": (("utility", "ledger", "--utility", "utility"), "1"),
    "curves/mdms/mdms.db": (("mdms", "rotate", "--mdms", "curves/mdms"), "1"),
}


@pytest.mark.parametrize("name", NEWER)
def test_a_file_of_a_newer_release_is_refused_in_a_line_and_left_as_it_was(
    town: Path, name: str
) -> None:
    command, which = NEWER[name]
    Device.open(town / "home").close()  # brought to this release: only what is newer stays as it is
    with closing(sqlite3.connect(town / name)) as connection:
        connection.execute(f"UPDATE schema_version SET version = 99 WHERE {which}")
        connection.commit()
    before, kept = (town / name).read_bytes(), rows(town / "home")
    done = CliRunner().invoke(main, [*command])
    assert done.exit_code == 1
    (line,) = done.stderr.splitlines()
    assert Path(name).name in line
    assert "version 99, this release knows" in line
    assert (town / name).read_bytes() == before
    assert rows(town / "home") == kept  # hub.db may have been brought up to date before


def test_a_description_of_a_newer_release_is_refused_in_a_line(town: Path) -> None:
    path = town / "home" / "hub.toml"
    path.write_text("format = 99\n" + path.read_text())
    before = path.read_text()
    done = CliRunner().invoke(main, ["hub", "status", "--hub", "home"])
    assert done.exit_code == 1
    assert done.stderr.startswith("meterlet: home/hub.toml: its format is 99, this release knows")
    assert len(done.stderr.splitlines()) == 1
    assert path.read_text() == before


def test_a_snapshot_is_not_restored_under_another_process(
    town: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("meterlet.commands.reader.PATIENCE_SECONDS", 0.5)
    Device.open(town / "home").close()  # brought to this release, so that opening waits for nobody
    with held(town / "home" / "hub.db"):
        done = CliRunner().invoke(main, ["hub", "restore", "--hub", "home", "home.snapshot"])
    line = "meterlet: the database home/hub.db is busy; another meterlet process holds it\n"
    assert (done.exit_code, done.stderr) == (1, line)
    run("hub", "restore", "--hub", "home", "home.snapshot")
