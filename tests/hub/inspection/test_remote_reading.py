# SPDX-License-Identifier: Apache-2.0
import csv
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path
from shutil import copytree
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.device import Description, Device
from hub.inspection.api.json_releases import disclosed_json
from hub.inspection.api.remote_reading import media_type_of
from hub.inspection.readers.terms import ReaderScope
from hub.inspection.views.learned import told_record
from hub.inspection.views.live import power_now
from hub.inspection.views.releases import releases_view
from hub.meters.emulated import emulated_meter_id
from hub.readings import Reading, Readout
from protocols.metrology import ACTIVE_ENERGY_IMPORT, GAS_VOLUME, Period
from sml_codec import Obis
from tests.hub.inspection.conftest import NOON, household
from tests.hub.inspection.schemas import faults
from tests.support.readers import DAYS, PASSWORD, Interface, allow, basic, bearer, interface, revoke

UNTIL = date(2025, 12, 31)
WEEK = "from=2025-03-24&until=2025-03-30"


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("template") / "hub"
    household(folder).close()
    return folder


@pytest.fixture
def device(template: Path, tmp_path: Path) -> Iterator[Device]:
    copytree(template, tmp_path / "hub")
    with Device.open(tmp_path / "hub", now=lambda: NOON) as device:
        yield device


@pytest.fixture
def api(device: Device) -> Iterator[Interface]:
    with interface(device, NOON) as served:
        yield served


def exports(device: Device) -> list[dict[str, Any]]:
    return [dict(entry.facts) for entry in device.disclosure.log.entries("export")]


def test_a_week_is_read_with_a_token_and_is_on_record_once(device: Device, api: Interface) -> None:
    reader, token = allow(device)
    answer = api.get(f"/read/slots?{WEEK}", bearer(token))
    assert answer.status_code == 200, answer.text
    page = answer.json()
    assert (page["register"], page["unit"], page["resolution_minutes"]) == (
        "1-0:1.8.0*255", "Wh", 60,
    )  # fmt: skip
    assert len(page["slots"]) == 7 * 24 - 1  # the clock goes forward on the 30th
    known = sum(slot["use"] for slot in page["slots"] if slot["use"] is not None)
    assert known == sum(sum(use.uses) for use in device.main.uses(DAYS))
    unknown = [slot["from"] for slot in page["slots"] if slot["use"] is None]
    assert unknown == [f"2025-03-25T{hour}:00:00Z" for hour in (11, 12, 13)]
    [entry] = exports(device)
    assert (entry["reader"], entry["recipient"], entry["readings"]) == (reader.number, "pi", 167)
    assert device.disclosure.exported_readings(["pi"]) == 167
    for _ in range(3):  # it polls
        again = api.get(f"/read/slots?{WEEK}&resolution=1440", bearer(token))
        assert [slot["use"] is None for slot in again.json()["slots"]] == [False, True] + [
            False
        ] * 5
    assert len(exports(device)) == 1
    assert told_record(device).learned_by(["pi"]).readings == 167


def test_the_next_day_alone_is_new(device: Device, api: Interface) -> None:
    _, token = allow(device, minutes=1440)
    for until in ("2025-03-26", "2025-03-28", "2025-03-30"):
        answer = api.get(f"/read/slots?from=2025-03-24&until={until}", bearer(token))
        assert answer.status_code == 200
    assert [entry["readings"] for entry in exports(device)] == [3, 2, 1, 1]
    # A day that has an hour less is one reading as any other, and no more is opened by it.
    last = exports(device)[-1]
    assert (last["end"] - last["begin"], last["resolution_minutes"]) == (23 * 3600, 1440)


def test_pages_follow_one_another_and_none_is_on_record_before_it_is_asked_for(
    device: Device, api: Interface, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hub.inspection.readers.handing_over.MOST_ROWS", 200)
    _, token = allow(device, minutes=15)
    slots: list[Any] = []
    cursor, pages = "", 0
    while True:
        answer = api.get(f"/read/slots?{WEEK}{cursor}", bearer(token))
        slots += answer.json()["slots"]
        pages += 1
        assert sum(entry["readings"] for entry in exports(device)) == len(slots)
        if answer.json()["next"] is None:
            break
        cursor = f"&cursor={answer.json()['next']}"
        assert f"cursor={answer.json()['next']}" in answer.headers["link"]
    assert pages == 4
    assert len({slot["from"] for slot in slots}) == len(slots) == 7 * 96 - 4
    wrong = api.get(f"/read/slots?{WEEK}&cursor=2025-04-01", bearer(token))
    assert wrong.status_code == 400


def test_csv_and_json_say_the_same_and_an_entity_tag_spares_both(
    device: Device, api: Interface
) -> None:
    _, token = allow(device)
    plain = api.get(f"/read/slots?{WEEK}", bearer(token))
    table = api.get(f"/read/slots?{WEEK}", {**bearer(token), "Accept": "text/csv"})
    assert table.headers["content-type"].startswith("text/csv")
    rows = list(csv.DictReader(table.text.splitlines()))
    assert [(row["start_utc"], row["use"]) for row in rows] == [
        (slot["from"], "" if slot["use"] is None else str(slot["use"]))
        for slot in plain.json()["slots"]
    ]
    assert plain.headers["etag"] != table.headers["etag"]
    seen = {**bearer(token), "If-None-Match": plain.headers["etag"]}
    unchanged = api.get(f"/read/slots?{WEEK}", seen)
    assert (unchanged.status_code, unchanged.content) == (304, b"")
    other = api.get("/read/slots?from=2025-03-24&until=2025-03-25", seen)
    assert other.status_code == 200
    neither = api.get(f"/read/slots?{WEEK}", {**bearer(token), "Accept": "image/png"})
    assert neither.status_code == 406
    revoke(device)
    assert api.get(f"/read/slots?{WEEK}", seen).status_code == 401


def test_name_and_password_begin_a_session(device: Device, api: Interface) -> None:
    allow(device, password=PASSWORD)
    direct = api.get("/read/registers", basic("pi", PASSWORD))
    assert direct.status_code == 200
    session = api.log_in("pi", PASSWORD)
    assert session.status_code == 200, session.text
    assert session.json()["until"] == "2025-04-01T10:10:00Z"
    read = api.get("/read/registers", bearer(session.json()["token"]))
    assert read.json() == direct.json()
    assert read.json()["registers"] == [{
        "register": "1-0:1.8.0*255", "medium": "electricity", "unit": "Wh", "slot_minutes": 15,
        "certified_until": "2025-03-31",
    }]  # fmt: skip
    api.clock[0] += 600
    assert api.get("/read/registers", bearer(session.json()["token"])).status_code == 401


def test_the_last_reading_is_that_of_the_last_certified_day(device: Device, api: Interface) -> None:
    _, token = allow(device, period=Period(date(2025, 3, 24), date(2025, 12, 31)))
    latest = api.get("/read/latest", bearer(token)).json()
    assert latest["slot"]["until"] == "2025-03-31T22:00:00Z"
    assert latest["live"] is None
    # Today is in what is allowed, and is not certified yet: there is nothing of it.
    today = api.get("/read/slots?from=2025-04-01&until=2025-04-01", bearer(token))
    assert today.json()["slots"] == []
    assert [entry["readings"] for entry in exports(device)] == [24]


def test_live_values_are_of_the_minute_and_the_day_is_on_record_in_full(
    device: Device, api: Interface
) -> None:
    _, token = allow(device, minutes=15, period=Period(date(2025, 3, 31), UNTIL), is_live=True)
    latest = api.get("/read/latest", bearer(token)).json()
    power = power_now(device)
    assert power is not None
    assert (latest["live"]["rate"], latest["live"]["rate_unit"]) == (power.watts, "W")
    assert latest["slot"]["until"] == "2025-04-01T10:00:00Z"
    table = api.get("/read/slots?from=2025-04-01&until=2025-04-01", bearer(token)).json()
    assert len(table["slots"]) == 48
    api.clock[0] += 59
    assert api.get("/read/latest", bearer(token)).json() == latest
    [entry] = exports(device)
    assert (entry["live"], entry["readings"], entry["resolution_minutes"]) == (1, 1440, 15)
    assert entry["end"] - entry["begin"] == 86_400
    # The day before is over: of it the slots alone are read.
    before = api.get("/read/slots?from=2025-03-31&until=2025-04-01", bearer(token)).json()
    assert len(before["slots"]) == 96 + 48
    assert "live" not in exports(device)[1]
    minutes, slots = told_record(device).learned_by(["pi"]).exports
    assert (minutes.seconds, minutes.count) == (60, 1440)
    assert (slots.seconds, slots.count) == (900, 96)
    # What is on record is shown as every export is.
    shown = disclosed_json(releases_view(device), device.zone)
    assert len(shown.exports) == 2


def test_every_answer_of_a_reader_is_as_the_document_says(device: Device, api: Interface) -> None:
    _, token = allow(device, minutes=15, is_live=True, period=Period(date(2025, 3, 31), UNTIL))
    document = api.client.get("/api/openapi.json").json()
    schemas = document["components"]["schemas"]
    asked = {
        "/v1/read/registers": "/read/registers",
        "/v1/read/latest": "/read/latest",
        "/v1/read/slots": "/read/slots?from=2025-03-31&until=2025-04-01",
    }
    for path, question in asked.items():
        responses = document["paths"][path]["get"]["responses"]
        answer = api.get(question, bearer(token))
        schema = responses["200"]["content"]["application/json"]["schema"]
        assert faults(answer.json(), schema, schemas, path) == []
        refused = api.get(question)
        assert refused.headers["content-type"] == "application/problem+json"
        schema = responses["401"]["content"]["application/problem+json"]["schema"]
        assert faults(refused.json(), schema, schemas, path) == []


def test_a_consent_made_narrower_holds_for_the_reader(device: Device, api: Interface) -> None:
    reader, token = allow(device)
    assert api.get(f"/read/slots?{WEEK}", bearer(token)).status_code == 200
    device.disclosure.narrow(reader.number, replace(reader.terms, least_minutes=1440))
    refused = api.get(f"/read/slots?{WEEK}&resolution=60", bearer(token))
    assert (refused.status_code, refused.json()["title"]) == (403, "Forbidden")
    assert "fineness: readings of 60 min" in refused.json()["detail"]
    coarser = api.get(f"/read/slots?{WEEK}", bearer(token))
    assert len(coarser.json()["slots"]) == 7


@given(
    st.lists(st.binary(min_size=6, max_size=6), min_size=1, max_size=4, unique=True),
    st.dates(date(2000, 1, 1), date(2050, 1, 1)),
    st.integers(0, 400),
    st.booleans(),
)
def test_what_a_consent_says_is_read_back(
    registers: list[bytes], first: date, days: int, is_live: bool
) -> None:
    period = Period(first, date.fromordinal(first.toordinal() + days))
    scope = ReaderScope.of(registers, period, is_live=is_live)
    assert ReaderScope.of_statement(scope.statement) == scope
    assert str(Obis(registers[0])) in scope.subject


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        ("*/*", "application/json"),
        ("text/csv", "text/csv"),
        ("text/*", "text/csv"),
        ("application/json, text/csv;q=0.5", "application/json"),
        ("text/csv, */*;q=0.1", "text/csv"),
        ("text/html, */*;q=0.8", "application/json"),
        ("text/csv;q=0, */*", "application/json"),
    ],
)
def test_what_a_client_takes(accept: str, media_type: str) -> None:
    assert media_type_of(accept) == media_type


def test_registers_of_every_medium_are_read_in_their_days_and_units(tmp_path: Path) -> None:
    berlin = ZoneInfo("Europe/Berlin")
    gas = Description(b"LGB 22150101", (GAS_VOLUME,), "Europe/Berlin@06:00", 60)
    home = Description(
        emulated_meter_id(1), (ACTIVE_ENERGY_IMPORT,), "Europe/Berlin", 15, None, {"gas": gas}
    )
    begin = int(datetime(2025, 3, 1, tzinfo=berlin).timestamp())
    with Device.create(tmp_path / "hub", home, now=lambda: NOON) as device:
        for meter, code, step, gain in (
            (device, ACTIVE_ENERGY_IMPORT, 900, 100),
            (device.meters["gas"], GAS_VOLUME, 3600, 250),
        ):
            times = range(begin, begin + 4 * 86_400, step)
            meter.store(
                [Readout({code: Reading(time, 1000 + gain * n)}) for n, time in enumerate(times)]
            )
        device.certify()
        march = Period(date(2025, 3, 1), date(2025, 3, 31))
        registers = ACTIVE_ENERGY_IMPORT, GAS_VOLUME
        _, token = allow(device, minutes=15, period=march, registers=registers)
        with interface(device, NOON) as api:
            known = api.get("/read/registers", bearer(token)).json()["registers"]
            assert [(one["medium"], one["unit"]) for one in known] == [
                ("electricity", "Wh"), ("gas", "l"),
            ]  # fmt: skip
            code = next(one["register"] for one in known if one["medium"] == "gas")
            question = f"/read/slots?from=2025-03-01&until=2025-03-02&register={code}"
            page = api.get(question, bearer(token)).json()
            assert (page["unit"], page["resolution_minutes"]) == ("l", 60)
            # The gas day begins at six.
            assert page["slots"][0]["from"] == "2025-03-01T05:00:00Z"
            assert [slot["use"] for slot in page["slots"]] == [250] * 48
            daily = api.get(f"{question}&resolution=1440", bearer(token)).json()
            assert [slot["use"] for slot in daily["slots"]] == [6000] * 2
    assert page["register"] == code
