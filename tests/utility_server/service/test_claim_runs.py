# SPDX-License-Identifier: Apache-2.0
"""Settlements and profiles as runs over the interface: asked, resumed, cancelled, entered once.

The hub is a real one, in this process; so are its refusals.
"""

import base64
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest
from httpx2 import Response

from applets.profiling.statement import Profile, ProfileSet
from applets.settlement.messages import AID as SETTLEMENT_AID
from hub.card.line import Line
from hub.machine.machine import AppletMachine
from meterlet.commands.utility_gateway import hub_errands
from protocols.enrolment import Enrolment
from protocols.metrology import Period
from protocols.remote_admin.server import Errand
from protocols.secure_channel.conversation import CardPauses, converse
from tariffs import PriceIndex
from tariffs.energy import PriceSeries
from tests.support.console import OWN, PASSWORD, come_in, form_token, refusal, send, service_at_rest
from tests.support.enrolment import GOOD
from tests.support.fleet import Broken, Transmit, breaking
from tests.support.service import Clock, Served, served
from tests.support.year_home import NOW, ZONE, CardHeadEnd, YearHome, make_year_home, opened
from utility_server.errors import HeadEndError, StoreError
from utility_server.gateway.claim_errands import ClaimErrands
from utility_server.retail.claim_runs import ClaimState
from utility_server.retail.ledger import Appending
from utility_server.service.access.roles import Role
from utility_server.service.jobs import claim_run
from utility_server.service.parts import ServiceParts

ADDRESS = "127.0.0.1:7816"
MONTH = Period.month(2025, 3)
BEGIN, END = MONTH.bounds(ZONE)
HOURS = (END - BEGIN) // 3600
SPOT = PriceIndex(
    "spot", 1, "EUR", "EUR/MWh", "UTC",
    PriceSeries(BEGIN, 3600, tuple(50_000 + 37 * hour for hour in range(HOURS))),
)  # fmt: skip
STRANGER = replace(GOOD, applet=SETTLEMENT_AID, meter=bytes.fromhex("0a014d544c00000000ff"))
PROFILES = ProfileSet(
    "two", 1, ZONE, (),
    tuple(
        Profile(name, (tuple(day),) * 3)
        for name, day in (("morning", range(24, 0, -1)), ("evening", range(24)))
    ),
)  # fmt: skip


def base64_text(content: bytes) -> str:
    return base64.b64encode(content).decode()


INDEX = base64_text(SPOT.encode())


@pytest.fixture(scope="module")
def made(
    tmp_path_factory: pytest.TempPathFactory, machine: AppletMachine
) -> tuple[Path, Enrolment]:
    """A home with a certified month, and who settles and profiles it; to be copied."""
    folder = tmp_path_factory.mktemp("home")
    enrolment = make_year_home(folder, machine, MONTH, applets=("profiling", "settlement"))
    return folder, enrolment


@pytest.fixture
def home(
    tmp_path: Path, made: tuple[Path, Enrolment], machine: AppletMachine
) -> Iterator[YearHome]:
    shutil.copytree(made[0], tmp_path / "home")
    with opened(tmp_path / "home", machine, made[1]) as home:
        home.utility.customers.enrol(STRANGER.encode())
        yield home


class Hubs(CardHeadEnd):
    """Asks the home's hub, or says what a test wants said."""

    trouble: list[Exception]

    def ask(self, *arguments: Any) -> bytes:
        if self.trouble:
            raise self.trouble.pop(0)
        return super().ask(*arguments)


@pytest.fixture
def trouble() -> list[Exception]:
    return []


Serve = Callable[[], AbstractContextManager[Served]]


@pytest.fixture
def serve(home: YearHome, trouble: list[Exception]) -> Serve:
    """Starts the service, again, too."""
    clock = Clock(NOW)

    def head_end() -> Hubs:
        found = Hubs(home.utility.randomness)
        found.card, found.trouble = home.card, trouble
        return found

    def dialling(parts: ServiceParts) -> ServiceParts:
        work = replace(parts.claim_runs, head_end=head_end)
        kinds = dict.fromkeys(claim_run.CLAIM_OF, work)
        parts.runner.kinds = {**parts.runner.kinds, **kinds}
        return parts

    @contextmanager
    def start() -> Iterator[Served]:
        with served(
            home.utility.folder, service_at_rest, dialling, may_dial=True, now=clock
        ) as service:
            yield service

    return start


@pytest.fixture
def service(serve: Serve) -> Iterator[Served]:
    with serve() as service:
        yield service


def begin(service: Served, home: YearHome, **more: Any) -> str:
    order = {"index": INDEX, "month": "2025-03", "suppliers": {"A": [home.meter.hex()]}, **more}
    run: str = service.post("/v1/settlement-runs", 202, json=order)["run"]
    return run


def item(service: Served, run: str) -> dict[str, Any]:
    (found,) = service.get(f"/v1/settlement-runs/{run}/items")["items"]
    return dict(found)


def dial(
    service: Served, home: YearHome, carrying: Callable[[Transmit], Transmit] = lambda one: one
) -> int:
    """Let the home's hub dial a gateway that was just started, until nothing is due for it."""
    errands = hub_errands(service.parts.utility, lambda _question: None)
    errands.refresh()
    count = 0
    while errands.is_waiting(home.meter) and (errand := errands.next(home.meter)) is not None:
        if carry(errand, home, carrying):
            count += 1
    return count


def carry(
    errand: Errand, home: YearHome, carrying: Callable[[Transmit], Transmit] = lambda one: one
) -> bool:
    """Hold a conversation with the hub's card; return whether it was at its end, not at work."""
    connection = home.card.connect(Line.DIALLED)
    try:
        converse(errand, carrying(connection.transmit))
    except CardPauses:
        time.sleep(0.05)
        return False
    finally:
        connection.close()
    return True


def worth(home: YearHome) -> int:
    """What the home used was worth, in 10^-9 of the currency, to the penny."""
    uses = [wh for day in home.device.main.uses(MONTH) for wh in day.uses]
    exact = sum(
        price * wh for price, wh in zip(SPOT.prices.prices, uses, strict=True) if price and wh
    )
    pennies, rest = divmod(exact, 10**7)
    half = 5 * 10**6
    return 10**7 * (pennies + (rest > half or (rest == half and pennies % 2 == 1)))


def releases(home: YearHome) -> int:
    return len(list(home.device.disclosure.log.entries("release")))


@pytest.mark.one_database
def test_a_settlement_says_what_each_supplier_pays_and_who_is_left_out(
    service: Served, home: YearHome, trouble: list[Exception]
) -> None:
    suppliers = {"A": [home.meter.hex()], "B": [STRANGER.meter.hex()]}
    more = {"suppliers": suppliers, "addresses": {home.meter.hex(): ADDRESS}, "wait_seconds": 60}
    trouble.append(HeadEndError("not there"))
    run = begin(service, home, **more)
    at = f"/v1/settlement-runs/{run}"
    service.run()
    states = {one["meter"]: one["state"] for one in service.get(f"{at}/items")["items"]}
    assert states == {home.meter.hex(): "unreachable", STRANGER.meter.hex(): "asked"}
    service.clock.now += 300
    service.run()
    shown, result = service.get(at), service.get(f"{at}/result")
    assert (shown["state"], shown["done"], shown["total"]) == ("done", 2, 2)
    assert shown["counts"] == {"entered": 1, "given-up": 1}
    value = worth(home)
    share = f"{value // 10**9}.{value // 10**7 % 100:02}"
    assert result["suppliers"] == [
        {"supplier": "A", "customers": 1, "exact": str(value), "share": share},
        {"supplier": "B", "customers": 0, "exact": "0", "share": "0.00"},
    ]
    assert (result["total"], result["settled"], result["unsettled"]) == (share, 1, 1)
    assert (result["provisional"], result["missing_slots"]) == (True, 0)
    assert (result["series"], result["currency"]) == ("spot", "EUR")
    (left_out,) = service.get(f"{at}/items?state=given-up")["items"]
    assert (left_out["supplier"], left_out["reason"]) == ("B", "no-answer")
    (entry,) = service.get("/v1/settlement/entries")["items"]
    assert (entry["facts"]["supplier"], entry["facts"]["value"]) == ("A", str(value))
    assert service.post("/v1/ledger/1/verification")["verified"] is True
    trouble.append(AssertionError("nobody is asked again for what is settled"))
    again = begin(service, home, addresses={home.meter.hex(): ADDRESS})
    service.run()
    known = item(service, again)
    assert (known["state"], known["reason"], known["entry"]) == ("entered", "settled-before", 1)
    result = service.get(f"/v1/settlement-runs/{again}/result")
    assert (result["total"], result["provisional"]) == (share, False)
    assert service.get("/v1/ledger/head")["entries"] == 1
    runs = service.get("/v1/settlement-runs?limit=1")
    rest = service.get(f"/v1/settlement-runs?limit=1&cursor={runs['next']}")
    assert {one["run"] for one in (*runs["items"], *rest["items"])} == {run, again}
    assert service.get("/v1/runs")["items"] == [], "they are not shown to who bills"
    assert service.ask("GET", f"/v1/runs/{run}").status_code == 404


@pytest.mark.one_database
def test_a_hub_that_dials_is_asked_once_whatever_breaks(
    serve: Serve, home: YearHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serve() as service:
        run = begin(service, home)
        service.run()
        assert item(service, run)["state"] == "asked"
        for at in range(2, 9):
            for after in (False, True):
                with suppress(Broken):
                    dial(service, home, breaking(at, after=after))
    with serve() as service:  # started again
        if item(service, run)["state"] == "asked":
            assert dial(service, home) == 1
        assert dial(service, home) == 0
        assert releases(home) == 1, "one question, whatever was lost"
        with monkeypatch.context() as patch:
            patch.setattr(Appending, "write", _fails)  # the process dies while it enters
            service.run()
        (kept,) = service.parts.utility.claim_items.page(run, b"", 10)
        assert (kept.state, service.get("/v1/ledger/head")["entries"]) == (ClaimState.ANSWERED, 0)
        service.clock.now += 60
        service.run()
        assert (item(service, run)["state"], item(service, run)["entry"]) == ("entered", 1)
        assert service.get(f"/v1/settlement-runs/{run}")["state"] == "done"
        assert service.get("/v1/ledger/head")["entries"] == 1


def _fails(*_: object) -> None:
    raise StoreError("it is not there")


@pytest.mark.one_database
def test_a_hub_that_says_no_is_not_pressed(service: Served, home: YearHome) -> None:
    days = {"from": "2025-03-03", "until": "2025-03-04"}
    run = begin(service, home, month=None, period=days)
    service.run()
    dial(service, home)
    service.clock.now += 60
    service.run()
    found = item(service, run)
    assert (found["state"], found["reason"]) == ("declined", "hub-6982")
    assert "2 days are asked for" in found["why"]
    assert service.get(f"/v1/settlement-runs/{run}")["state"] == "done"
    service.post(f"/v1/settlement-runs/{run}/retry", 202)
    service.run()
    assert dial(service, home) == 0
    assert service.get("/v1/ledger/head")["entries"] == 0


def test_a_run_that_is_ended_asks_nobody_and_may_begin_again(
    service: Served, home: YearHome
) -> None:
    run = begin(service, home)
    service.run()
    items = service.parts.utility.claim_items
    (asked,) = items.page(run, b"", 10)
    errands = ClaimErrands(service.parts.utility, items)
    late = errands._guarded(asked)  # a gateway has taken it
    headers = {"Idempotency-Key": "end"}
    first = service.post(f"/v1/settlement-runs/{run}/cancellation", 202, headers=headers)
    again = service.post(f"/v1/settlement-runs/{run}/cancellation", 202, headers=headers)
    assert first == again
    service.run()
    assert service.get(f"/v1/settlement-runs/{run}")["state"] == "cancelled"
    assert dial(service, home) == 0
    while not carry(late, home):
        late = errands._guarded(asked)
    assert item(service, run)["state"] == "cancelled", "an answer that comes too late is not kept"
    service.post(f"/v1/settlement-runs/{run}/retry", 202)
    service.run()
    (anew,) = items.page(run, b"", 10)
    assert (anew.state, anew.question) == (ClaimState.ASKED, asked.question), "the same question"
    assert dial(service, home) == 1
    service.clock.now += 60
    service.run()
    assert item(service, run)["state"] == "entered"
    assert releases(home) == 1
    for kind in ("runs", "profile-runs", "record-checks"):
        answer = service.ask("POST", f"/v1/{kind}/{run}/cancellation")
        assert answer.status_code == 404, kind


@pytest.mark.one_database
def test_profiles_are_asked_for_and_proved(service: Served, home: YearHome) -> None:
    order = {"profiles": base64_text(PROFILES.encode()), "month": "2025-03"}
    run = service.post("/v1/profile-runs", 202, json=order)["run"]
    at = f"/v1/profile-runs/{run}"
    service.run()
    assert dial(service, home) == 1
    service.clock.now += 60
    service.run()
    by_meter = {one["meter"]: one for one in service.get(f"{at}/items")["items"]}
    profiled, stranger = by_meter[home.meter.hex()], by_meter[STRANGER.meter.hex()]
    assert (profiled["state"], profiled["entry"]) == ("entered", 1)
    assert profiled["value"] in PROFILES.names
    assert (stranger["state"], stranger["reason"]) == ("refused", "unknown-customer")
    (entry,) = service.get("/v1/profiles")["items"]
    assert entry["facts"]["best"] == profiled["value"]
    shown = service.get(at)
    assert (shown["state"], shown["facts"]["method"]) == ("done", "match")
    assert service.post("/v1/ledger/1/verification")["verified"] is True


@pytest.mark.one_database
def test_an_order_that_makes_no_sense_begins_nothing(service: Served, home: YearHome) -> None:
    meter, other = home.meter.hex(), STRANGER.meter.hex()
    right = {"index": INDEX, "month": "2025-03", "suppliers": {"A": [meter]}}
    for change, status in (
        ({"index": base64_text(b"no index")}, 422), ({"index": INDEX[:-4] + "!==="}, 422),
        ({"month": None}, 409), ({"suppliers": {}}, 422), ({"suppliers": {"A\n": [meter]}}, 422),
        ({"period": {"from": "2025-03-01", "until": "2025-03-31"}}, 409),
        ({"suppliers": {"A": [meter], "B": []}}, 409),
        ({"suppliers": {"A": [meter], "B": [other, meter]}}, 409),
        ({"suppliers": {"A": ["aabb"]}}, 409), ({"addresses": {meter: "x:99999"}}, 409),
        ({"tries": 0}, 422), ({"more": 1}, 422),
    ):  # fmt: skip
        answer = service.ask("POST", "/v1/settlement-runs", json={**right, **change})
        assert answer.status_code == status, (change, answer.text)
        assert answer.headers["content-type"] == "application/problem+json"
    profiles = {"profiles": base64_text(PROFILES.encode()), "month": "2025-03"}
    for change, status in (
        ({"profiles": INDEX}, 422), ({"method": "sample"}, 409), ({"one_in": 13}, 409),
        ({"method": "all"}, 422),
    ):  # fmt: skip
        answer = service.ask("POST", "/v1/profile-runs", json={**profiles, **change})
        assert answer.status_code == status, (change, answer.text)
    assert service.get("/v1/settlement-runs")["items"] == []
    assert service.get("/v1/profile-runs")["items"] == []
    for role in set(Role) - {Role.SETTLEMENT}:
        answer = service.ask("POST", "/v1/settlement-runs", role, json=right)
        assert answer.status_code == 403, role


LISTED: Final = f"meter,supplier,hub\n%s,A <b>,{ADDRESS}\n{STRANGER.meter.hex()},B,\n"


@pytest.fixture
def console(service: Served, home: YearHome) -> Callable[..., Response]:
    """Sends the form that begins a settlement."""
    service.parts.operators.add("sue", PASSWORD, frozenset({Role.SETTLEMENT}))
    come_in(service, "sue")
    form = {"what": "month", "month": "2025-03", "whose": "listed", "wait_days": "1"}

    def order(**change: Any) -> Response:
        listed = (LISTED % home.meter.hex()).encode()
        files = {"index": ("spot.index", SPOT.encode()), "customers": ("c.csv", listed)}
        files |= change.pop("files", {})
        data = {"token": form_token(service.client.get("/settlement")), **form, **change}
        return service.client.post("/settlement", data=data, files=files, headers=OWN)

    return order


@pytest.mark.one_database
def test_a_form_that_makes_no_sense_begins_nothing_and_says_why(
    service: Served, console: Callable[..., Response]
) -> None:
    def listed(content: bytes) -> dict[str, Any]:
        return {"files": {"customers": ("c.csv", content)}}

    for change, why in (
        ({"files": {"index": ("", b"")}}, "Choose the file of the price index"),
        ({"files": {"index": ("x", b"junk")}}, "document: cut short"),
        (listed(b""), "Choose the file with the list"),
        (listed(b"meter;supplier\n"), "The list's first line is"),
        (listed(b"meter,supplier\nxx,A\n"), "The list's line 2: a meter is"),
        (listed(b"meter,supplier\nab\n"), "The list's line 2: it has not 2 columns"),
        (listed(b"meter,supplier\nab,A\n"), "meter ab is not enrolled"),
        (listed(b"\xff\xfe"), "The list of customers is not CSV"),
        ({"wait_days": "-1"}, "Days that hubs are waited for"),
        ({"month": "March"}, "Month: "),
        ({"whose": "all"}, "Supplier: say whose"),
        ({"what": "period", "from": "2025-03-09", "until": ""}, "Until: "),
    ):
        refused = console(**change)
        assert refused.status_code in (409, 422), change
        assert refusal(refused).startswith(why)
        assert f'value="{change.get("wait_days", "1")}"' in refused.text, "it stays filled in"
    assert service.get("/v1/settlement-runs")["items"] == []


@pytest.mark.one_database
def test_the_console_settles_and_says_who_is_left_out_and_why(
    service: Served, home: YearHome, trouble: list[Exception], console: Callable[..., Response]
) -> None:
    assert service.client.get("/welcome").headers["Location"] == "/settlement"
    trouble.append(HeadEndError("not there"))
    at, meter = console().headers["Location"], home.meter.hex()
    api = f"/v1/settlement-runs/{at.rpartition('/')[2]}"
    service.run()
    service.clock.now += 300
    service.run()
    page = service.client.get(at).text
    share = service.get(f"{api}/result")["total"]
    assert f"{share} EUR" in page
    assert "A &lt;b&gt;" in page
    assert "left out, or have not answered yet: 1." in page
    assert meter in service.client.get(f"{at}?show=entered").text
    assert meter not in service.client.get(f"{at}?show=waiting").text
    assert "nobody else is asked" in send(service, f"{at}/cancellation", at).text
    assert service.get(api)["state"] == "running", "asked first"
    assert send(service, f"{at}/cancellation", at, sure="yes").status_code == 303
    service.run()
    page = service.client.get(at).text
    assert ">cancelled</span>" in page
    assert "Try again" in page
    again = send(service, f"{at}/retry", at).headers["Location"]
    assert "The run tries again" in service.client.get(again).text
    service.run()
    assert service.get(f"{api}/items?state=asked")["items"][0]["supplier"] == "B"
    assert service.client.get(at.replace("/runs/", "/profiles/")).status_code == 404
    (entry,) = service.get("/v1/settlement/entries")["items"]
    assert "of the supplier A &lt;b&gt;" in service.client.get("/settlement/entries").text
    assert entry["meter"] == meter


@pytest.mark.one_database
@pytest.mark.usefixtures("console")
def test_the_console_asks_for_profiles(service: Served, home: YearHome) -> None:
    page = "/settlement/profiles"
    fields = {"what": "month", "month": "2025-03", "method": "match", "meters": home.meter.hex()}
    data = {"token": form_token(service.client.get(page)), **fields}
    files = {"profiles": ("two", PROFILES.encode())}
    wrong = service.client.post(page, data={**data, "one_in": "5"}, files=files, headers=OWN)
    assert "goes with that alone" in refusal(wrong)
    at = service.client.post(page, data=data, files=files, headers=OWN).headers["Location"]
    service.run()
    assert dial(service, home) == 1
    service.clock.now += 60
    service.run()
    shown = service.client.get(at).text
    assert "profiles two; the best match alone" in shown
    assert "1 of 1 at their end: 1 proved and entered" in shown
    (told,) = service.get(f"/v1/profile-runs/{at.rpartition('/')[2]}/items")["items"]
    assert f"<div>{told['value']}</div>" in shown
    assert service.client.get("/settlement/nothing").status_code == 404
    assert service.client.get("/rollouts").status_code == 403
