# SPDX-License-Identifier: Apache-2.0
import hashlib
import json
import re
import threading
from dataclasses import replace
from datetime import date
from html import escape, unescape
from pathlib import Path

import pytest

import hub.inspection.web
from hub.applet_host.store import AppletStore
from hub.device import Device
from hub.disclosure import AggregateRequest, Disclosure, Weights
from hub.inspection.locales.catalogue import LANGUAGES, catalogue
from hub.inspection.views.published import published_view
from hub.inspection.web.card_work import Change, carry_out
from hub.inspection.web.jobs import Cancelled, Tick
from hub.inspection.web.pages.readings import readings_link
from hub.installer import InstallationError
from hub.machine.machine import AppletMachine
from hub.readings import Reading, Readout
from protocols.metrology import Period, find_zone
from tests.support.command import run_meterlet
from tests.support.older_consents import as_0_1
from tests.support.pages import PASSPHRASE, Browser, browser
from tests.support.waiting import PATIENCE, wait_until

PAGES = (
    "/",
    "/readings",
    "/readings?view=hour&at=2025-03-07&hour=11",
    "/readings?view=day&at=2025-03-30",
    "/readings?view=week&at=2025-03-30",
    "/readings?view=month&at=2025-03-01&beside=2025-02-01",
    "/readings?view=year&at=2025-03-01",
    "/readings?view=days&at=2025-03-10&last=2025-04-09&by=week&beside=2025-02-10",
    "/releases",
    "/releases?recipient=supplier",
    "/consents",
    "/consents/1",
    "/consents/readers",
    "/consents/1?change=revoke",
    "/consents/1?change=narrow&least_days=31",
    "/bill",
    "/bill/tariffs",
    "/applets",
    "/log",
    "/export",
    "/about",
)
STATIC = Path(hub.inspection.web.__file__).parent / "static"


def text(page: str) -> str:
    """What a page says, without its markup."""
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", page)))


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("path", PAGES)
def test_every_page_answers_in_every_language(looking: Browser, path: str, language: str) -> None:
    answer = looking.get(path, headers={"Accept-Language": language})
    assert answer.status_code == 200, text(answer.text)
    assert f'<html lang="{language}">' in answer.text
    assert answer.headers["Cache-Control"] == "no-store"
    assert " style=" not in answer.text
    assert not re.search(r"<script(?![^>]* src=)", answer.text)
    assert not re.search(r"\son[a-z]+=", answer.text)
    assert not re.search(r'(?:src|href|action)="(?:https?:)?//', answer.text)


def test_a_page_asks_who_it_is_first(demo_home: Path, tmp_path: Path) -> None:
    from shutil import copytree

    copytree(demo_home, tmp_path / "hub")
    with browser(tmp_path / "hub", role=None) as stranger:
        for path in ("/", "/readings", "/bill", "/log", "/readings/minutes", "/applets"):
            answer = stranger.get(path, follow_redirects=False)
            assert answer.status_code == 303
            assert answer.headers["Location"].startswith("/sign-in?next=/")
        welcome = stranger.get("/")
        assert welcome.url.path == "/welcome"
        wrong = stranger.post(
            "/welcome",
            page="/welcome",
            code="aaaaaaaa",
            name="anna",
            passphrase=PASSPHRASE,
            again=PASSPHRASE,
        )
        assert wrong.status_code == 403
        assert stranger.parts.residents.all() == []
        for trouble in ({"again": "another"}, {"passphrase": "111111", "again": "111111"}):
            fields = {"name": "anna", "passphrase": PASSPHRASE, "again": PASSPHRASE, **trouble}
            code = stranger.parts.welcome_code
            answer = stranger.post("/welcome", fields, page="/welcome", code=code)
            assert answer.status_code == 400
        right = stranger.post(
            "/welcome",
            page="/welcome",
            code=stranger.parts.welcome_code,
            name="anna",
            passphrase=PASSPHRASE,
            again=PASSPHRASE,
        )
        assert right.url.path == "/"
        assert stranger.happened() == ["wrong passphrase", "first owner"]
        assert stranger.get("/welcome").url.path == "/"


def test_the_readings_show_the_day_on_which_the_clock_changes_with_23_hours(
    looking: Browser,
) -> None:
    page = looking.get("/readings?view=day&at=2025-03-30").text
    hours = re.findall(r'<th scope="row"><a href="[^"]*hour=(\d+)"', page)
    assert hours == [str(number) for number in range(23)]


def test_the_peak_of_a_month_leads_to_its_hour(looking: Browser) -> None:
    page = looking.get("/readings?view=month&at=2025-03-01").text
    found = re.search(r'id="peak">([^<]+), <a href="([^"]+)"', page)
    assert found is not None
    hour = looking.get(unescape(found[2])).text
    assert f'id="peak">{found[1]}, ' in hour


def test_any_days_are_shown_with_as_many_before_and_after(looking: Browser) -> None:
    page = looking.get("/readings?view=days&at=2025-03-10&last=2025-03-19").text
    assert "10 Mar 2025 – 19 Mar 2025" in text(page)
    links = [unescape(found) for found in re.findall(r'href="([^"]*)" rel="(?:prev|next)"', page)]
    assert links == [
        "/readings?view=days&at=2025-02-28&last=2025-03-09",
        "/readings?view=days&at=2025-03-20&last=2025-03-29",
    ]
    assert len(re.findall(r'<th scope="row"><a href="/readings\?view=day&amp;at=', page)) == 10
    month = looking.get("/readings?view=month&at=2025-03-10").text
    assert 'href="/readings?view=days&amp;at=2025-03-01&amp;last=2025-03-31"' in month
    one = looking.get("/readings?view=days&at=2025-03-10").text  # one day, where no last is said
    assert "Monday, 10 March 2025" in text(one)


@pytest.mark.parametrize(
    ("period", "address"),
    [
        ("2025-03-10", "view=day&at=2025-03-10"),
        ("2025-03", "view=month&at=2025-03-01"),
        ("2025", "view=year&at=2025-01-01"),
        ("2025-03-10..2025-04-09", "view=days&at=2025-03-10&last=2025-04-09"),
        ("2025-Q1", "view=days&at=2025-01-01&last=2025-03-31&by=month"),
    ],
)
def test_a_period_leads_to_just_its_readings(period: str, address: str) -> None:
    assert readings_link(Period.parse(period)) == f"/readings?{address}"


@pytest.mark.parametrize(
    ("language", "quarter"),
    [("en", "1st quarter 2025"), ("de", "1. Quartal 2025"), ("fr", "1er trimestre 2025"),
     ("it", "1º trimestre 2025")],
)  # fmt: skip
def test_a_quarter_is_named(language: str, quarter: str) -> None:
    assert catalogue(language).period(Period.quarter(2025, 1)) == quarter


def test_a_bill_that_is_of_no_month_shows_its_days_and_leads_to_their_readings(
    tmp_path: Path,
) -> None:
    days = "--from", "2025-02-10", "--until", "2025-03-09"
    done = run_meterlet("demo", *days, "--keep", tmp_path / "demo", "--json")
    assert done.returncode == 0, done.stderr
    billed = json.loads(done.stdout)
    assert (billed["first_day"], billed["last_day"]) == ("2025-02-10", "2025-03-09")
    with browser(tmp_path / "demo" / "hub") as looking:
        bill = looking.get("/bill").text
        assert "10 Feb 2025 – 9 Mar 2025" in text(bill)
        link = "/readings?view=days&at=2025-02-10&last=2025-03-09"
        assert f'href="{escape(link)}"' in bill
        readings = looking.get(link).text
        assert "10 Feb 2025 – 9 Mar 2025" in text(readings)
        cost = re.search(r"<dt>Cost</dt><dd>([^<]*)", readings)
        assert cost is not None
        assert billed["fee"]["rounded"] in cost[1]
        message = re.search(r'href="(/releases/[0-9]+)"', looking.get("/releases").text)
        assert message is not None
        assert f'href="{escape(link)}"' in looking.get(message[1]).text


@pytest.mark.parametrize(
    "query",
    [
        "view=decade",
        "view=day&at=2025-02-30",
        "view=day&at=0001-01-01",
        "view=hour&at=2025-03-30&hour=23",
        "view=hour&hour=-1",
        "view=day&by=year",
        "view=day&at=2025-03-01&beside=yesterday",
        "view=days&at=2025-03-10&last=2025-03-09",
        "view=days&at=1990-03-10&last=2025-03-09",
        "view=days&at=2025-03-10&last=soon",
    ],
)
def test_an_address_that_makes_no_sense_is_told_so(looking: Browser, query: str) -> None:
    answer = looking.get(f"/readings?{query}")
    assert answer.status_code == 400
    assert '<p class="note bad" role="alert"' in answer.text


def test_a_message_is_shown_to_the_byte_and_can_be_saved(looking: Browser) -> None:
    page = looking.get("/releases").text
    found = re.search(r'href="/releases/(\d+)"', page)
    assert found is not None
    shown = looking.get(f"/releases/{found[1]}")
    saved = looking.get(f"/releases/{found[1]}/bytes")
    assert saved.headers["Content-Disposition"].startswith("attachment")
    assert saved.content[:16].hex(" ", 2) in shown.text
    assert f"{len(saved.content):,}" in shown.text
    assert looking.get("/releases/1").status_code == 409


def test_a_consent_is_narrowed_and_revoked_with_its_effect_shown_first(anna: Browser) -> None:
    preview = anna.get("/consents/1?change=narrow&least_days=40")
    assert "refused: too short a period" in preview.text
    wider = anna.get("/consents/1?change=narrow&least_days=1")
    assert "allow more than the consent does" in wider.text
    assert anna.post("/consents/1/narrow", least_days="1").status_code == 400
    assert anna.post("/consents/1/narrow", within_days="30").status_code == 400
    narrowed = anna.post("/consents/1/narrow", least_days="40", within_days="62")
    assert "within any 62 days" in narrowed.text
    number = narrowed.url.path.rpartition("/")[2]
    assert "would be answered" not in anna.get(f"/consents/{number}?change=revoke").text
    assert anna.post(f"/consents/{number}/revoke").url.path == "/consents"
    assert "asks for a consent that it does not have" in anna.get("/consents").text
    aid = "f04d544c010101"
    assert anna.get(f"/consents/applet/{aid}").status_code == 200
    anna.post(f"/consents/applet/{aid}")
    assert "asks for a consent" not in anna.get("/consents").text
    assert anna.happened()[-3:] == ["consent narrowed", "consent revoked", "consent granted"]
    before = anna.get("/consents").text.count('id="consent-')
    anna.post(f"/consents/applet/{aid}")  # the same is never granted twice
    assert anna.get("/consents").text.count('id="consent-') == before


def test_a_consent_s_page_says_just_what_revoking_does(
    anna: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = text(anna.get("/consents/1?change=revoke").text)
    assert "refuses every question of supplier for billing that needs this consent" in said
    assert "Nothing that was told is taken back." in said
    assert "The supplier knows one number about your use (March 2025;" in said
    assert "refused: revoked" in said
    assert "allows the same" not in said
    with Device.open(anna.folder) as device:
        terms = device.disclosure.consent(1).terms
        with monkeypatch.context() as patch:  # 0.1 let the same be granted twice
            patch.setattr(Disclosure, "consents", lambda self: [])
            again = device.disclosure.grant(terms)
    said = text(anna.get("/consents/1?change=revoke").text)
    assert f"Consent {again.number} allows the same, and stands" in said
    assert "would be answered" in said
    assert "refused: revoked" not in said


def test_a_consent_under_older_words_is_shown_again_until_it_is_confirmed(
    anna: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "older words" not in anna.get("/consents").text
    with Device.open(anna.folder) as device:
        first = device.disclosure.consent(1)
        with as_0_1(monkeypatch):
            old = device.disclosure.grant(replace(first.terms, answers=5, bits=64))
    for language in LANGUAGES:
        words = catalogue(language).for_pages(find_zone("Europe/Berlin"))
        for path in ("/consents", f"/consents/{old.number}"):
            page = text(anna.get(path, headers={"Accept-Language": language}).text)
            assert words.t("consents.older") in page
    confirmed = anna.post(f"/consents/{old.number}/confirm")
    assert confirmed.url.path == f"/consents/{old.number}"
    assert "older words" not in confirmed.text
    assert "older words" not in anna.get("/consents").text
    with Device.open(anna.folder) as device:
        assert device.disclosure.consent(old.number) == old
        [entry] = device.disclosure.log.entries("confirmation")
    assert entry.facts == {"number": old.number, "words": 2}
    assert anna.happened()[-1] == "consent confirmed"


def test_a_number_over_a_group_is_shown_for_what_it_is_in_every_language(anna: Browser) -> None:
    weights = Weights("agile revision 3", bytes(32), "GBP", 50, b"prices")
    request = AggregateRequest(
        b"applet", b"package", "settlement", "settlement", bytes(32), "Nordstrom", 1_740_787_200,
        1_743_465_600, 31, 30, 1, 58, weights,
    )  # fmt: skip
    with Device.open(anna.folder) as device:
        device.disclosure.record_aggregate(request)
        device.disclosure.record_aggregate(replace(request, weights=None, values=1488))
    for language in LANGUAGES:
        page = anna.get("/releases", headers={"Accept-Language": language}).text
        words = catalogue(language).for_pages(find_zone("Europe/Berlin"))
        assert words.t("releases.worth", index="agile revision 3") in text(page)
        sums = words.t("releases.sums", minutes=30, values=words.number(1488))
        assert re.sub(r"\s+", " ", sums) in text(page)
        assert '<dd id="readings-left">0</dd>' in page


def test_an_export_for_somebody_needs_a_consent_and_is_on_record(anna: Browser) -> None:
    anna.post(
        "/consents/export",
        recipient="adviser",
        purpose="advice",
        minutes="60",
        first="2025-03-01",
        last="2025-03-02",
        until="2099-12-31",
    )
    page = anna.get("/export").text
    found = re.search(r'name="consent" value="(\d+)"', page)
    assert found is not None
    assert anna.post("/export/consent", consent=found[1]).status_code == 400
    given = anna.post("/export/consent", consent=found[1], agreed="yes")
    assert given.text.splitlines()[0] == "start_utc,start_local,energy_wh,state"
    assert len(given.text.splitlines()) == 49
    releases = anna.get("/releases?recipient=adviser").text
    assert "advice" in releases
    # Nobody who has readings is left out: not on Now, and not among what is known.
    had = "The adviser knows 48 readings of single hours"
    for path in ("/", "/releases", "/releases?recipient=adviser"):
        assert had in text(anna.get(path).text), path
    assert "Nothing about your use has been told" not in anna.get("/").text
    assert "All of them together know one number" in text(anna.get("/releases").text)
    number = found[1]
    gone = text(anna.get(f"/consents/{number}?change=revoke").text)
    assert "the hub hands these readings to adviser, for advice, no more" in gone
    assert had in gone
    assert anna.post("/export/consent", consent="1", agreed="yes").status_code == 409


def test_a_copy_asks_and_is_on_record(anna: Browser) -> None:
    fields = {"first": "2025-03-30", "last": "2025-03-30", "form": "csv"}
    refused = anna.post("/export/readings", fields)
    assert refused.status_code == 400
    saved = anna.post("/export/readings", fields, agreed="yes")
    assert saved.headers["Content-Type"].startswith("text/csv")
    assert len(saved.text.splitlines()) == 93
    green = anna.post("/export/readings", {**fields, "form": "green button"}, agreed="yes")
    assert green.headers["Content-Type"].startswith("application/atom+xml")
    page = anna.get("/export").text
    assert page.count("30 March 2025") == 2
    assert 'id="copies"' in page


def test_the_bill_matches_and_its_proof_does_too(anna: Browser) -> None:
    page = text(anna.get("/bill").text)
    assert "It matches." in page
    proof = anna.finish(anna.post("/bill/proof", applet="f04d544c010101", number="1"))
    assert "It matches." in text(proof.text)
    again = anna.finish(anna.post("/bill/recompute"))
    assert "It matches." in text(again.text)


def test_corrected_readings_are_shown_beside_the_bill_that_was_made_before(anna: Browser) -> None:
    with Device.open(anna.folder) as device:
        main = device.main
        begin, end = Period(date(2025, 3, 10), date(2025, 3, 10)).bounds("Europe/Berlin")
        rows = [
            Readout({main.channel.register: Reading(time, 50 * place)})
            for place, time in enumerate(range(begin, end + 1, 900))
        ]
        device.correct(rows, is_interval_data=True, may_replace=True)
    page = text(anna.get("/bill").text)
    assert "It matches." in page
    assert re.search(r"Since then readings were corrected: 10 \w+ 2025 \(9\d readings\)\.", page)
    for language, said in (
        ("en", "Readings came late or were replaced here"),
        ("de", "Hier kamen Messwerte verspätet oder wurden ersetzt"),
        ("fr", "Des relevés sont arrivés en retard ici"),
        ("it", "Qui delle letture sono arrivate in ritardo"),
    ):
        path = "/readings?view=month&at=2025-03-01"
        shown = text(anna.get(path, headers={"Accept-Language": language}).text)
        assert said in shown
    assert "correction" in anna.get("/log").text


def test_the_attack_finds_appliances_in_the_readings_and_none_in_the_bill(anna: Browser) -> None:
    attacked = anna.finish(anna.post("/releases/attack", first="2025-03-03"))
    rows = re.findall(r'<tr><th scope="row">([^<]+)</th>(.*?)</tr>', attacked.text, re.DOTALL)
    found = {name: [int(n) for n in re.findall(r">(\d+)<", cells)] for name, cells in rows}
    assert sum(found["On your readings"][:4]) > 0
    assert found["On what supplier knows"][4] == 0
    assert attacked.text.count('<path class="power"') == 2


def test_what_if_takes_a_tariff_of_the_residents_own(anna: Browser) -> None:
    tariff = (Path(__file__).parents[4] / "meterlet" / "demo" / "tariff.toml").read_bytes()
    period = {"first": "2025-03-01", "last": "2025-03-31"}
    files = {"tariff": ("mine.toml", tariff, "application/toml")}
    offers = anna.finish(anna.post("/bill/what-if", period, files=files))
    assert text(offers.text).count("€127.46") == 2
    files = {"tariff": ("mine.toml", b"format = 99\n", "application/toml")}
    refused = anna.post("/bill/what-if", period, files=files)
    assert "format 99" in text(refused.text)
    files = {"tariff": ("mine.toml", b"\xff", "application/toml")}
    assert anna.post("/bill/what-if", period, files=files).status_code == 400


def test_all_days_hold_and_one_of_another_key_is_found(anna: Browser) -> None:
    good = anna.finish(anna.post("/log/days"))
    assert "All 31 days hold" in text(good.text)


def test_a_reader_looks_but_changes_nothing(reader: Browser) -> None:
    assert reader.get("/bill").status_code == 200
    assert reader.get("/export").status_code == 403
    aid = "f04d544c010101"
    for path in ("/consents/1/revoke", f"/applets/{aid}/lock", "/consents/export"):
        answer = reader.post(path)
        assert answer.status_code == 403
        assert "only an owner may do that" in answer.text
    assert "reader would change" in reader.happened()
    page = reader.get("/consents").text
    assert "revoke" not in page.lower()


def test_a_removed_resident_is_out_at_once(anna: Browser) -> None:
    anna.parts.residents.remove("anna")
    assert anna.get("/").url.path == "/sign-in"


def test_who_has_another_passphrase_signs_in_again(anna: Browser) -> None:
    anna.parts.residents.change("anna", "another passphrase")
    assert anna.get("/").url.path == "/sign-in"
    assert anna.sign_in().status_code == 403
    assert anna.sign_in(passphrase="another passphrase").url.path == "/"


def test_an_applet_is_locked_and_unlocked(anna: Browser) -> None:
    aid = "f04d544c010101"
    assert "locked</span>" in anna.post(f"/applets/{aid}/lock").text
    assert "ready</span>" in anna.post(f"/applets/{aid}/unlock").text
    assert anna.happened()[-2:] == ["applet locked", "applet unlocked"]


def test_a_change_of_the_card_that_is_cancelled_leaves_nothing(anna: Browser) -> None:
    change = Change(anna.folder, AppletMachine.open, "remove", bytes.fromhex("f04d544c010101"))

    def cancel(done: int, total: int) -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        carry_out(change, cancel)
    assert "billing" in anna.get("/applets").text
    unknown = replace(change, aid=b"\xf0nobody")
    with pytest.raises(InstallationError, match="there is no applet"):
        carry_out(unknown, lambda done, total: None)


def test_work_shows_its_progress_and_is_stopped(anna: Browser) -> None:
    go_on = threading.Event()

    def work(tick: Tick) -> None:
        tick(1, 4)
        go_on.wait(PATIENCE)
        tick(2, 4)

    job = anna.parts.jobs.begin("days", "anna", "/log", "days.html", work)
    wait_until(lambda: job.total)
    page = anna.get(f"/work/{job.name}")
    assert page.headers["Refresh"] == "1"
    assert 'max="100" value="25"' in page.text
    anna.post(f"/work/{job.name}/cancel")
    go_on.set()
    assert "nothing was changed" in anna.finish(anna.get(f"/work/{job.name}")).text
    others = anna.parts.jobs.begin("days", "owner", "/log", "days.html", lambda tick: None)
    assert anna.get(f"/work/{others.name}").status_code == 409


def test_a_bill_under_a_tariff_that_never_came_cannot_be_told(anna: Browser) -> None:
    with Device.open(anna.folder) as device, device.database.transaction():
        store = AppletStore(device.database, bytes.fromhex("f04d544c010101"), 1 << 20)
        for key in store.keys():  # noqa: SIM118 - not a dict's
            if key.startswith(b"resident/tariff/"):
                store.delete(key)
    page = text(anna.get("/bill").text)
    assert "It cannot be told. The reason: it names a tariff that was never sent" in page
    proof = anna.finish(anna.post("/bill/proof", applet="f04d544c010101", number="1"))
    assert "It cannot be told." in text(proof.text)


def test_sessions_end_when_idle_and_when_old(anna: Browser) -> None:
    anna.clock.now += 14 * 60
    assert anna.get("/about").url.path == "/about"
    anna.clock.now += 15 * 60
    assert anna.get("/about").url.path == "/sign-in"
    anna.sign_in()
    for _ in range(12 * 5):
        anna.clock.now += 12 * 60
        last = anna.get("/about").url.path
    assert last == "/sign-in"


def test_a_page_that_renews_itself_keeps_no_session_alive(anna: Browser) -> None:
    for _ in range(14):
        anna.clock.now += 60
        answer = anna.get("/", headers={"HX-Request": "true"})
        assert answer.status_code == 200
    anna.clock.now += 60
    answer = anna.get("/", headers={"HX-Request": "true"})
    assert (answer.status_code, answer.headers["HX-Redirect"]) == (204, "/sign-in")


def test_the_language_that_was_chosen_stays(anna: Browser) -> None:
    anna.post("/language", language="de", next="/bill")
    assert '<html lang="de">' in anna.get("/bill").text
    assert anna.post("/language", language="xx").status_code == 400


def test_every_text_of_the_pages_is_used() -> None:
    folder = STATIC.parent
    sources = [*folder.rglob("*.py"), *folder.glob("templates/*.html")]
    sources.append(folder.parent / "locales" / "catalogue.py")
    text = "".join(path.read_text() for path in sources)
    # Names that are put together, such as "outcome." ~ effect.outcome, by what they begin with.
    made = set(re.findall(r"""["']([a-z_]+\.(?:[a-z_]+_)?)["'{] ?~?""", text))
    made |= {"unit.", "per.", "refused.", "error."}
    for key in catalogue("en").texts:
        name = key.removeprefix("pages.")
        if name == key:
            continue
        used = re.search(rf"""["']{re.escape(name)}["']""", text)
        assert used or any(name.startswith(prefix) for prefix in made), key


@pytest.mark.parametrize(
    ("folder", "names"),
    [
        (STATIC / "vendor", {"htmx", "uPlot"}),
        (Path(__file__).parents[3] / "journeys" / "vendor", {"axe"}),
    ],
)
def test_what_others_wrote_is_what_they_published(folder: Path, names: set[str]) -> None:
    sums = (folder / "SHA256SUMS").read_text().split()
    named = dict(zip(sums[1::2], sums[::2], strict=True))
    there = {path.name for path in folder.iterdir()} - {"SHA256SUMS"}
    assert there == set(named)
    assert {name.partition(".")[0] for name in there} == names
    for name, digest in named.items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest


def test_a_public_list_is_taken_on_the_page_and_shown_with_its_code(
    anna: Browser, demo_folder: Path
) -> None:
    signed = (demo_folder / "utility" / "published.list").read_bytes()
    assert "no list yet" in text(anna.get("/releases").text)
    assert anna.post("/releases/lists", page="/releases").status_code == 400
    forged = {"list": ("public.list", signed[:-1] + bytes([signed[-1] ^ 1]))}
    refused = anna.post("/releases/lists", page="/releases", files=forged)
    assert (refused.status_code, "not a published list" in text(refused.text)) == (400, True)
    page = anna.post("/releases/lists", page="/releases", files={"list": ("public.list", signed)})
    with Device.open(anna.folder) as device:
        [one] = published_view(device)
    assert one.documents.code in text(page.text)
    assert one.documents.entries[0].name in text(page.text)
    assert "nobody else is known" in text(page.text)  # of what was told before
    assert one.documents.code in text(anna.get("/log?kind=published").text)


def test_a_reader_takes_no_list(reader: Browser, demo_folder: Path) -> None:
    signed = (demo_folder / "utility" / "published.list").read_bytes()
    files = {"list": ("public.list", signed)}
    assert reader.post("/releases/lists", page="/releases", files=files).status_code == 403
    with Device.open(reader.folder) as device:
        assert published_view(device) == ()


def test_a_consent_is_narrowed_to_what_is_public_with_the_effect_shown_first(
    anna: Browser,
) -> None:
    shown = text(anna.get("/consents/1?change=narrow&published=100").text)
    assert "refused: not shown to everybody" in shown
    narrowed = anna.post("/consents/1/narrow", published="100")
    assert "it must be on a public list, for 100 meters or more" in text(narrowed.text)
