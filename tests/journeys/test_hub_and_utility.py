# SPDX-License-Identifier: Apache-2.0
"""Hub and utility as two parties run them, each command in a process of its own."""

import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import time
from pathlib import Path

import cbor2
import pytest

from hub.meters.emulated import emulated_meter_id, telegrams
from hub.readings import Reading
from protocols.canonical.hash_chain import GENESIS, seal
from tests.support.command import PROGRAM, ROOT, run_meterlet
from tests.support.soak import sampled
from tests.support.town import LOAD_VARIABLE, TARIFF, Town, done, refused
from tests.support.waiting import PATIENCE, wait_until

NOT_SERVED = "Connection refused; is `meterlet hub serve` running there?"


def dearer(folder: Path, euros: int) -> Path:
    """Return the tariff with a standing charge that is so many euros higher a day."""
    text = TARIFF.read_text()
    changed = re.sub(r'per_day = "0\.', f'per_day = "{euros}.', text)
    assert changed != text
    path = folder / f"dearer-{euros}.toml"
    path.write_text(changed)
    return path


def test_a_month_is_billed_as_often_as_was_agreed_and_no_more(town: Town, tmp_path: Path) -> None:
    bundle = tmp_path / "march.bundle"
    with town.serving() as address:
        bill = json.loads(done(*town.request(address, TARIFF, "--bundle", bundle, "--json")))
        assert (bill["verified"], bill["slots"], bill["missing_slots"]) == (True, 2972, [])
        code, line = refused(*town.request(address, TARIFF, "--bundle", bundle))
        assert (code, line) == (1, f"meterlet: {bundle}: exists already")  # and was not asked for
        # The same number again tells nothing new; six different ones about a month may be told.
        for before in range(1, 6):
            said = done(*town.request(address, dearer(tmp_path, before)))
            assert f"invoice {before + 1}, which replaces invoice {before}" in said
        code, line = refused(*town.request(address, dearer(tmp_path, 6)))
        assert (code, line) == (5, "meterlet: the hub refused: 6983 (asked too often)")
        assert "invoice 7, which replaces invoice 6" in done(*town.request(address))
        host, _, port = address.rpartition(":")
        code, line = refused("hub", "serve", "--hub", town.hub, "--host", host, "--port", port)
        assert (code, line) == (1, f"meterlet: {address}: Address already in use")
        later = [word if word != "2025-03" else "2025-05" for word in town.request(address)]
        code, line = refused(*later)
        assert (code, "6A83 (days of the period are not certified yet: " in line) == (4, True)
    assert "matches" in done("bill", "verify", bundle, "--supplier", town.utility / "public.pem")
    ledger = json.loads(done("utility", "ledger", "--utility", town.utility, "--json"))
    assert [entry["kind"] for entry in ledger["entries"]] == ["bill"] * 7
    shown = json.loads(done("inspect", "bill", "--hub", town.hub, "--json"))
    assert (shown["verdict"], shown["invoiced"]) == ("matches", bill["total"])
    assert (shown["invoice"], shown["replaces"]) == (7, 6)


def test_an_older_invoice_is_shown_by_its_number(town: Town) -> None:
    with town.serving() as address:
        first = json.loads(done(*town.request(address, TARIFF, "--json")))["invoice"]
        last = json.loads(done(*town.request(address, TARIFF, "--json")))["invoice"]
    shown = "inspect", "bill", "--hub", town.hub, "--json"
    assert json.loads(done(*shown))["invoice"] == last
    older = json.loads(done(*shown, "--invoice", first))
    assert (older["invoice"], older["replaced_by"]) == (first, last)
    assert f"invoice {last} takes its place" in done(*shown[:-1], "--invoice", first)
    code, line = refused(*shown, "--invoice", 99)
    assert (code, line) == (1, f"meterlet: there is no invoice 99; there are {first}, {last}")
    assert run_meterlet(*shown, "--invoice", first, "--forecast").returncode == 2


def test_the_list_of_consents_says_their_limits(town: Town) -> None:
    listed = done("inspect", "consents", "list", "--hub", town.hub)
    assert "28 days at least, corrections of 480 min at least" in listed


def test_a_revoked_consent_and_a_hub_that_is_off_are_told_apart(town: Town) -> None:
    with town.serving() as address:
        done("inspect", "consents", "revoke", "--hub", town.hub, 1)
        code, line = refused(*town.request(address))
        assert (code, "6985 (it may not tell: " in line) == (5, True)
    code, line = refused(*town.request(address))
    assert (code, line) == (1, f"meterlet: {address}: {NOT_SERVED}")
    entries = json.loads(done("utility", "ledger", "--utility", town.utility, "--json"))
    assert entries["entries"] == []


def test_a_load_variable_bill_is_checked_offline_and_needs_a_consent_of_its_own(
    town: Town, tmp_path: Path
) -> None:
    bundle = tmp_path / "march.bundle"
    with town.serving() as address:
        asked = town.request(address, LOAD_VARIABLE, "--bundle", bundle, "--json")
        bill = json.loads(done(*asked))
        assert (bill["verified"], bill["slots"]) == (True, 2972)
        listed = json.loads(done("inspect", "consents", "list", "--hub", town.hub, "--json"))
        (excess,) = [one for one in listed["consents"] if one["statement"] == "excess"]
        done("inspect", "consents", "revoke", "--hub", town.hub, excess["number"])
        code, line = refused(*town.request(address, LOAD_VARIABLE))
        assert (code, "6985 (it may not tell: " in line) == (5, True)
        done(*town.request(address))  # a bill without limits of power needs no such consent
    assert "matches" in done("bill", "verify", bundle, "--supplier", town.utility / "public.pem")
    data = bundle.read_bytes()
    bundle.write_bytes(data[:-100] + bytes([data[-100] ^ 1]) + data[-99:])
    assert run_meterlet("bill", "verify", bundle).returncode in (3, 4)


def test_another_suppliers_signature_is_not_replaced_by_ones_own(
    town: Town, tmp_path: Path
) -> None:
    done("utility", "init", tmp_path / "other")
    document = tmp_path / "tariff.cose"
    done("utility", "sign", "--utility", tmp_path / "other", TARIFF, "-o", document)
    code, line = refused(*town.request("127.0.0.1:1", document))
    assert (code, line.startswith(f"meterlet: {document}: ")) == (3, True)
    code, line = refused("utility", "sign", "--utility", town.utility, TARIFF, "-o", document)
    assert (code, "exists already" in line) == (1, True)
    ours = tmp_path / "ours.cose"
    done("utility", "sign", "--utility", town.utility, TARIFF, "-o", ours)
    code, line = refused(*town.request("127.0.0.1:1", ours))
    assert (code, line) == (1, f"meterlet: 127.0.0.1:1: {NOT_SERVED}")


def test_an_applet_whose_enrolment_cannot_be_written_is_not_installed(
    town: Town, tmp_path: Path
) -> None:
    hub, nowhere = tmp_path / "hub", tmp_path / "file" / "enrolment.json"
    (tmp_path / "file").touch()
    done("hub", "init", hub, "--serial", 2, "--vendor", town.folder / "vendor.key.pub")
    install = (
        "applet", "install", "--hub", hub, town.folder / "billing.cap", "--yes",
        "--recipient", town.utility / "public.pem", "--enrolment",
    )  # fmt: skip
    code, line = refused(*install, nowhere)
    assert (code, str(tmp_path / "file") in line) == (1, True)
    listed = json.loads(done("applet", "list", "--hub", hub, "--json"))
    assert "F04D544C010101" not in [entry["aid"] for entry in listed["entries"]]
    assert json.loads(done("inspect", "consents", "list", "--hub", hub, "--json"))["consents"] == []
    done(*install, tmp_path / "enrolment.json")
    code, line = refused("applet", "lock", "--hub", hub, "F04D544C010102")
    assert (code, line) == (1, "meterlet: there is no applet F04D544C010102")


def test_a_ledger_that_says_something_else_than_its_evidence_is_refused(town: Town) -> None:
    """The chain has no key: whoever rewrites it whole meets the bills themselves."""
    with town.serving() as address:
        done(*town.request(address))
    path = town.utility / "utility.db"
    connection = sqlite3.connect(path)
    ((body,),) = connection.execute("SELECT body FROM ledger_entry")
    entry = cbor2.loads(body)
    entry[4]["total"] = "1.00"
    forged = cbor2.dumps(entry, canonical=True)
    digest = seal(b"meterlet ledger 1", GENESIS, forged)
    connection.execute("UPDATE ledger_entry SET body = ?, digest = ?", (forged, digest))
    connection.commit()
    connection.close()
    code, line = refused("utility", "ledger", "--utility", town.utility)
    assert (code, line) == (3, "meterlet: ledger: entry 1: it does not say what was verified")


def readings_in(hub: Path) -> tuple[int, int]:
    status = json.loads(done("hub", "status", "--hub", hub, "--json"))
    return status["readings"], status["certified_days"]


@pytest.mark.parametrize("later", sampled([0, 0.1, 0.2, 0.3, 0.4, 0.6, 0.8], [0]))
def test_killing_an_ingest_leaves_all_of_a_file_or_nothing(tmp_path: Path, later: float) -> None:
    capture, hub = tmp_path / "line.bin", tmp_path / "hub"
    readings = (Reading(1_743_500_000 + 10 * n, n) for n in range(20_000))
    capture.write_bytes(b"".join(telegrams(emulated_meter_id(1), readings)))
    done("hub", "init", hub, "--serial", 1)
    for number, seconds in ((signal.SIGKILL, 1.5), (signal.SIGINT, 2.0), (signal.SIGKILL, 2.5)):
        command = [*PROGRAM, "hub", "ingest", "--hub", str(hub), str(capture)]
        with subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        ) as ingest:
            time.sleep(seconds + later)
            ingest.send_signal(number)
            assert ingest.stderr is not None
            assert "Traceback" not in ingest.stderr.read()
        if readings_in(hub)[0]:
            break
    if not readings_in(hub)[0]:
        done("hub", "ingest", "--hub", hub, capture)
    assert readings_in(hub) == (20_000, 2)


def test_a_live_line_is_certified_day_by_day_and_ends_with_ctrl_c(tmp_path: Path) -> None:
    hub = tmp_path / "hub"
    done("hub", "init", hub, "--serial", 1, "--zone", "UTC")
    with socket.create_server(("127.0.0.1", 0)) as server:
        command = [*PROGRAM, "hub", "ingest", "--hub", str(hub), "--json"]
        command.append(f"tcp://127.0.0.1:{server.getsockname()[1]}")
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as ingest:
            line, _ = server.accept()
            with line:
                day = range(1_743_465_600, 1_743_465_600 + 2 * 86_400 + 1, 3600)
                meter = emulated_meter_id(1)
                for frame in telegrams(meter, (Reading(t, t // 100) for t in day)):
                    line.sendall(frame)
                wait_until(lambda: readings_in(hub) == (49, 2))
                ingest.send_signal(signal.SIGINT)
                assert ingest.stdout is not None
                assert json.loads(ingest.stdout.read())["readings"] == 49
                assert ingest.wait(PATIENCE) == 130


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_output_that_cannot_be_written_is_one_line(town: Town) -> None:
    with Path("/dev/full").open("wb") as full:
        ran = subprocess.run(
            [*PROGRAM, "hub", "status", "--hub", str(town.hub)],
            stdout=full, stderr=subprocess.PIPE, text=True, cwd=ROOT, check=False,
            env={**os.environ, "NO_COLOR": "1"},
        )  # fmt: skip
    assert ran.returncode == 1
    assert ran.stderr == "meterlet: No space left on device\n"
