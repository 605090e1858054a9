# SPDX-License-Identifier: Apache-2.0
"""A hub without a listening socket is billed: it dials, over TLS 1.3 with certificates."""

import json
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from hub.device import Device
from tests.support import dialling
from tests.support.command import environment
from tests.support.dialling import shown_to_the_resident
from tests.support.quick_program import program
from tests.support.sockets import listening_sockets
from tests.support.town import METER, Town, done, refused
from tests.support.waiting import PATIENCE, wait_until

pytestmark = pytest.mark.process


def connections(town: Town) -> list[dict[str, Any]]:
    with Device.open(town.hub) as device:
        return [dict(entry.facts) for entry in device.disclosure.log.entries("connection")]


def test_a_bill_is_asked_answered_and_delivered_in_the_answers_to_a_hub_that_dials(
    town: Town,
) -> None:
    certificate = dialling.certify(town)
    assert certificate.read_text().count("BEGIN CERTIFICATE") == 2
    dialling.ask(town)
    assert dialling.states(town) == ["asked"]
    log = list[str]()
    with dialling.gateway(town, said=log) as url:
        code, events, complaint = dialling.dial_once(town, url)
        assert (code, complaint) == (0, "")
        [ended] = [one for one in events if one["event"] == "ended"]
        assert ended["posts"] <= 12  # what a bill may cost
        assert dialling.states(town) == []
        code, events, _ = dialling.dial_once(town, url)
        assert code == 0
        assert [one["event"] for one in events] == ["connected", "ended"]
        assert events[-1]["posts"] == 1  # nothing is left to do
    assert dialling.bills(town) == shown_to_the_resident(town) == [1]
    lines = [json.loads(line) for line in log]
    assert [one["event"] for one in lines] == ["asked", "answered", "entered", "delivered"]
    assert {one["meter"] for one in lines} == {METER}
    assert {one["level"] for one in lines} == {"info"}
    [connection] = connections(town)  # the poll without a recipient is none
    assert connection["peer"] == "localhost"
    assert connection["sent"] == ended["sent"]
    assert connection["received"] == ended["received"]


def test_a_hub_that_goes_on_dialling_is_billed_when_the_question_comes_and_opens_no_port(
    town: Town,
) -> None:
    dialling.certify(town)
    with dialling.gateway(town, "--poll", 1) as url:
        command = [*program(), "hub", "dial", "--hub", str(town.hub), url, "--json"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment()) as hub:
            try:
                assert hub.stdout is not None
                assert json.loads(hub.stdout.readline())["event"] == "connected"
                assert not listening_sockets(hub.pid)
                dialling.ask(town)
                wait_until(lambda: not dialling.states(town))
            finally:
                hub.send_signal(signal.SIGTERM)
                hub.communicate(timeout=PATIENCE)
            assert hub.returncode == 0
    assert dialling.bills(town) == shown_to_the_resident(town) == [1]


def test_what_a_hub_has_refused_is_told_by_whoever_is_asked_about_the_bill(town: Town) -> None:
    dialling.certify(town)
    dialling.ask(town)
    done("inspect", "consents", "revoke", "--hub", town.hub, 1)
    status = "utility", "status", "--utility", town.utility
    with dialling.gateway(town) as url:
        assert dialling.dial_once(town, url)[0] == 0
        [waiting] = json.loads(done(*status, "--json"))["waiting"]
        assert (waiting["state"], waiting["reason"]) == ("asked", "hub-6985")
        assert waiting["why"].startswith("the hub refused: 6985 (it may not tell")
        assert waiting["why"] in done(*status)


def test_a_hub_whose_certificate_was_withdrawn_is_refused_and_one_with_a_new_one_is_not(
    town: Town,
) -> None:
    code, line = refused("hub", "dial", "--hub", town.hub, "--recipient", "nobody", "https://a:1")
    assert code == 1
    assert f"`meterlet hub dial-key --hub {town.hub} --recipient nobody` asks for one" in line
    dialling.certify(town)
    where = "--utility", town.utility
    assert "withdrew 1" in done("utility", "withdraw-certificate", *where, "--meter", METER)
    dialling.ask(town)
    with dialling.gateway(town) as url:
        code, events, complaint = dialling.dial_once(town, url)
        assert code == 1
        assert "status 403: the hub's certificate was withdrawn" in complaint
        assert "hub dial-key --hub" in complaint
        assert "utility certify-hub" in complaint
        command = [*program(), "hub", "dial", "--hub", str(town.hub), url, "--once"]
        ran = subprocess.run(command, capture_output=True, check=False, env=environment())
        assert ran.stderr.count(b"status 403") == ran.stderr.count(b"\n") == 1  # not said twice
        assert events[-1]["event"] == "failed"
        assert dialling.states(town) == ["asked"]
        dialling.certify(town)
        assert dialling.dial_once(town, url)[0] == 0
    assert dialling.bills(town) == [1]
    listed = json.loads(done("utility", "hub-certificates", *where, "--json"))["certificates"]
    # Of two of one second either comes first.
    assert sorted(one["withdrawn"] is None for one in listed) == [False, True]


def test_answers_may_be_left_to_a_worker_and_the_invoice_goes_with_the_next_poll(
    town: Town,
) -> None:
    dialling.certify(town)
    dialling.ask(town)
    with dialling.gateway(town, "--no-worker") as url:
        code, events, _ = dialling.dial_once(town, url)
        assert code == 0
        assert dialling.states(town) == ["answered"]
        assert events[-1]["next_seconds"] < 6  # its invoice comes soon
        done("utility", "worker", "--utility", town.utility, "--once")
        assert dialling.states(town) == ["entered"]
        second = dialling.dial_once(town, url)[1]
    assert events[-1]["posts"] + second[-1]["posts"] <= 12
    assert dialling.states(town) == []
    assert dialling.bills(town) == shown_to_the_resident(town) == [1]


def test_a_request_that_another_hub_has_signed_is_not_certified(town: Town, tmp_path: Path) -> None:
    other, request = tmp_path / "other", tmp_path / "other.request"
    done("hub", "init", other, "--serial", 1)  # the same meter's number, another certifier
    done("hub", "dial-key", "--hub", other, "-o", request)
    certificate = tmp_path / "other.pem"
    code, line = refused(
        "utility", "certify-hub", "--utility", town.utility, request, "-o", certificate
    )
    assert code == 3
    assert "the signature is wrong" in line
    assert not certificate.exists()


def test_a_request_that_has_no_place_costs_no_key(town: Town, tmp_path: Path) -> None:
    request, other = tmp_path / "request", tmp_path / "other"
    done("hub", "dial-key", "--hub", town.hub, "-o", request)
    key = town.hub / "recipients" / "supplier" / "client.key.next"
    before = key.read_bytes()
    again = "hub", "dial-key", "--hub", town.hub, "--new-key", "-o"
    for nowhere in (request, tmp_path / "none" / "request"):
        code, _ = refused(*again, nowhere)
        assert code in {1, 2}
        assert key.read_bytes() == before
    code, _ = refused("hub", "dial-key", "--hub", town.hub, "--recipient", "../x", "-o", other)
    assert code == 1
    assert not other.exists()
    done(*again, other)
    assert key.read_bytes() != before


def test_a_certificate_that_has_no_place_is_not_issued(town: Town, tmp_path: Path) -> None:
    request = tmp_path / "request"
    done("hub", "dial-key", "--hub", town.hub, "-o", request)
    where = "--utility", town.utility
    for nowhere in (request, tmp_path / "none" / "certificate"):
        refused("utility", "certify-hub", *where, request, "-o", nowhere)
    listed = json.loads(done("utility", "hub-certificates", *where, "--json"))["certificates"]
    assert listed == []
