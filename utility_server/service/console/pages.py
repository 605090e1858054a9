# SPDX-License-Identifier: Apache-2.0
"""The console's pages. Each asks the interface as whoever looks, and shows what that says."""

from typing import Any, Final

from pydantic import TypeAdapter, ValidationError
from starlette.responses import Response

from utility_server.retail.accounts import implicit_account
from utility_server.service.access.roles import Role
from utility_server.service.api.models import MeterText
from utility_server.service.console.charts import load_chart
from utility_server.service.console.inside import InsideAnswer, InsideProblem
from utility_server.service.console.visit import ConsolePage, Visit, last_month
from utility_server.service.console.words import GROUPS, LIVE, tariff_name

BILLING, AUDITOR = Role.BILLING, Role.AUDITOR
READERS: Final = (BILLING, AUDITOR)
SHOWN: Final = 50
MOST: Final = 200
"""So many the interface tells at once."""
METER: Final = TypeAdapter(MeterText)


async def welcome(visit: Visit) -> Response:
    """Send whoever has signed in to the first page that is his."""
    if visit.session is None:
        return visit.see("/sign-in")
    if visit.may(*READERS):
        return visit.see("/")
    if visit.may(Role.SETTLEMENT):
        return visit.see("/settlement")
    if visit.may(Role.GRID):
        return visit.see("/regions")
    if visit.may(Role.FLEET):
        return visit.see("/rollouts")
    return visit.see("/keys" if visit.may(Role.ADMIN) else "/tariffs")


PARTY: Final = ("name", "street", "postcode", "city", "country", "reference")


# What is said before what cannot be undone

WITHDRAWS_TARIFF: Final = (
    "From then on nothing new can be asked under it, by a run, a schedule, the interface or a"
    " command. What was asked stays, and so do its bills. It cannot be taken back: the same prices"
    " then need a new revision."
)
WITHDRAWS_QUESTION: Final = (
    "From then on no answer to it counts. The bill can be asked for again, which is another"
    " question to the hub and counts there once more."
)
ERASES: Final = (
    "The customer's name and address are deleted here. Invoices as PDF and EN 16931 can be made"
    " again only once they are given anew."
)
REVOKES: Final = "The system that has it is let in no more. It cannot be taken back."
CANCELS: Final = {
    True: "What the run has asked and nobody has answered is withdrawn. Bills that are made stay.",
    False: "The check ends where it is. The records stay as they are, and can be checked again.",
}
"""By whether it is a bill run."""


# The run of the month


async def overview(visit: Visit, refused: InsideAnswer | str = "") -> Response:
    """Show the newest bill run, and let another begin."""
    inside = visit.inside
    runs = (await inside.get("/v1/runs", limit=SHOWN))["items"]
    bill_runs = [run for run in runs if run["kind"] == "bill-run"]
    tariffs = (await inside.get("/v1/tariffs", limit=MOST))["items"]
    schedules = (await inside.get("/v1/bill-schedules", limit=SHOWN))["items"]
    return visit.page(
        "overview.html", refused=refused, run=bill_runs[0] if bill_runs else None, runs=runs,
        tariff_names={one["digest"]: tariff_name(one) for one in tariffs},
        tariffs=[one for one in tariffs if one["withdrawn"] is None], schedules=schedules,
        month=last_month(visit),
    )  # fmt: skip


async def begin_run(visit: Visit) -> Response:
    """Begin a bill run."""
    fields = visit.fields
    body: dict[str, Any] = {"tariff": fields.get("tariff", "")}
    if fields.get("what") == "month":
        body["month"] = fields.get("month", "").strip()
    for name in ("replaces", "at_last_address"):
        if fields.get(name):
            body[name] = True
    answer = await visit.inside.ask("POST", "/v1/bill-runs", body, once=fields.get("once", ""))
    if not answer.is_fine:
        return await overview(visit, answer)
    return visit.see(f"/runs/{answer.json['run']}")


async def begin_schedule(visit: Visit) -> Response:
    """Let a bill run come again each month."""
    body: dict[str, Any] = {name: visit.fields.get(name, "") for name in ("name", "day", "hour")}
    body["order"] = {"tariff": visit.fields.get("tariff", "")}
    answer = await visit.inside.ask("POST", "/v1/bill-schedules", body)
    return visit.see("/", "schedule-made") if answer.is_fine else await overview(visit, answer)


async def remove_schedule(visit: Visit) -> Response:
    """Let a bill run come no more."""
    name = visit.http.path_params["run"]
    answer = await visit.inside.ask("DELETE", f"/v1/bill-schedules/{name}")
    return visit.see("/", "schedule-removed") if answer.is_fine else visit.problem(answer, "/")


async def show_run(visit: Visit) -> Response:
    """Show how far a run is: who is billed, who refused and why, who is not reached."""
    name, group = visit.http.path_params["run"], visit.value("show")
    run = await visit.inside.get(f"/v1/runs/{name}")
    items: dict[str, Any] = {"items": [], "next": None}
    names: dict[str, str] = {}
    if run["kind"] == "bill-run":
        digest = run["facts"]["tariff"]
        tariff = await visit.inside.ask("GET", f"/v1/tariffs/{digest}")
        if tariff.is_fine:
            names[digest] = tariff_name(tariff.json)
        items = await visit.inside.get(
            f"/v1/runs/{name}/items", limit=SHOWN, cursor=visit.value("cursor"),
            state=list(GROUPS.get(group, ())),
        )  # fmt: skip
    return visit.page(
        "run.html", run=run, items=items, group=group, is_live=run["state"] in LIVE,
        tariff_names=names,
    )  # fmt: skip


async def cancel_run(visit: Visit) -> Response:
    """End a run."""
    name = visit.http.path_params["run"]
    run = await visit.inside.get(f"/v1/runs/{name}")
    if not visit.is_sure:
        does = CANCELS[run["kind"] == "bill-run"]
        return visit.ask_first("End the run", does, f"/runs/{name}")
    kind = "runs" if run["kind"] == "bill-run" else "record-checks"
    answer = await visit.inside.ask("POST", f"/v1/{kind}/{name}/cancellation")
    if not answer.is_fine:
        return visit.problem(answer, f"/runs/{name}")
    return visit.see(f"/runs/{name}", "run-ended")


async def retry_run(visit: Visit) -> Response:
    """Let a run try again whom it has given up."""
    name = visit.http.path_params["run"]
    answer = await visit.inside.ask("POST", f"/v1/runs/{name}/retry")
    if not answer.is_fine:
        return visit.problem(answer, f"/runs/{name}")
    return visit.see(f"/runs/{name}", "run-again")


# Customers


async def customers(visit: Visit, refused: InsideAnswer | str = "") -> Response:
    """List the customers, or go to one."""
    wanted, status = visit.value("meter").strip().lower(), 200
    if wanted and not refused:
        try:
            return visit.see(f"/customers/{METER.validate_python(wanted)}")
        except ValidationError:
            status, refused = 422, "Meter: it is 1 to 32 bytes in hex"
    page = await visit.inside.get("/v1/customers", limit=SHOWN, cursor=visit.value("cursor"))
    return visit.page("customers.html", status, refused, page=page, wanted=wanted)


async def enrol(visit: Visit) -> Response:
    """Enrol the meter of an enrolment file."""
    content = visit.files.get("enrolment", b"")
    answer = await visit.inside.ask("POST", "/v1/customers", content)
    if not answer.is_fine:
        return await customers(visit, answer)
    return visit.see(f"/customers/{answer.json['meter']}", "enrolled")


async def customer(visit: Visit, refused: InsideAnswer | str = "") -> Response:
    """Show one customer: all that the utility knows of him."""
    meter, inside = visit.http.path_params["meter"], visit.inside
    shown = await inside.get(f"/v1/customers/{meter}")
    exchanges = await inside.get(f"/v1/customers/{meter}/exchanges")
    bills = (await inside.get("/v1/bills", meter=meter, limit=MOST))["items"]
    entries = await inside.get("/v1/ledger", meter=meter, limit=MOST, order="newest")
    parties: dict[str, Any] = {}
    if visit.may(BILLING):
        before = implicit_account(bytes.fromhex(meter)).hex()  # it may have given way
        for account in dict.fromkeys((before, *(one["account"] for one in shown["contracts"]))):
            path = f"/v1/customers/{meter}/contracts/{account}/party"
            answer = await inside.ask("GET", path)
            parties[account] = answer.json if answer.is_fine else None
    bills.sort(key=lambda one: (one["period"]["from"], one["since"], one["invoice"] or 0))
    bills.reverse()
    return visit.page(
        "customer.html", refused=refused, customer=shown, exchanges=exchanges, bills=bills,
        entries=entries["items"], parties=parties, party_fields=PARTY,
    )  # fmt: skip


async def move_in(visit: Visit) -> Response:
    """Open a contract."""
    meter = visit.http.path_params["meter"]
    body = {"from": visit.fields.get("from", "")}
    answer = await visit.inside.ask("POST", f"/v1/customers/{meter}/contracts", body)
    if not answer.is_fine:
        return await customer(visit, answer)
    return visit.see(f"/customers/{meter}", "contract-opened")


async def move_out(visit: Visit) -> Response:
    """Close a contract."""
    meter, account = visit.http.path_params["meter"], visit.http.path_params["account"]
    path = f"/v1/customers/{meter}/contracts/{account}/end"
    answer = await visit.inside.ask("POST", path, {"until": visit.fields.get("until", "")})
    if not answer.is_fine:
        return await customer(visit, answer)
    return visit.see(f"/customers/{meter}", "contract-closed")


async def put_party(visit: Visit) -> Response:
    """Keep the name and address of a contract's customer, or erase them."""
    meter, account = visit.http.path_params["meter"], visit.http.path_params["account"]
    path = f"/v1/customers/{meter}/contracts/{account}/party"
    if visit.fields.get("erase"):
        if not visit.is_sure:
            return visit.ask_first("Erase name and address", ERASES, f"/customers/{meter}")
        answer = await visit.inside.ask("DELETE", path)
    else:
        answer = await visit.inside.ask(
            "PUT", path, {name: visit.fields.get(name, "") for name in PARTY}
        )
    if not answer.is_fine:
        return await customer(visit, answer)
    done = "party-erased" if visit.fields.get("erase") else "party-kept"
    return visit.see(f"/customers/{meter}", done)


async def withdraw(visit: Visit) -> Response:
    """Withdraw an open question."""
    nonce = visit.http.path_params["nonce"]
    if not visit.is_sure:
        bill = await visit.inside.get(f"/v1/bills/{nonce}")
        days = f"{bill['period']['from']} to {bill['period']['until']}"
        return visit.ask_first(
            f"Withdraw the question for {days}", WITHDRAWS_QUESTION, f"/customers/{bill['meter']}"
        )
    answer = await visit.inside.ask("POST", f"/v1/bills/{nonce}/withdrawal")
    if not answer.is_fine:
        return visit.problem(answer, "/customers")
    return visit.see(f"/customers/{answer.json['meter']}", "question-withdrawn")


async def invoice(visit: Visit) -> Response:
    """Show an invoice."""
    number = visit.http.path_params["number"]
    shown = await visit.inside.get(f"/v1/invoices/{number}")
    return visit.page("invoice.html", invoice=shown)


# Tariffs and ledger


async def tariffs(visit: Visit, refused: InsideAnswer | str = "") -> Response:
    """List the tariffs: those that are registered, and those that commands have asked under."""
    inside = visit.inside
    page = await inside.get("/v1/tariffs", limit=SHOWN, cursor=visit.value("cursor"))
    registered = (await inside.get("/v1/tariffs", limit=MOST))["items"]
    known = {one["digest"] for one in registered}
    published = (await inside.get("/v1/published", limit=MOST, kind="tariff"))["items"]
    others = {one["digest"]: one for one in published if one["digest"] not in known}
    return visit.page("tariffs.html", refused=refused, page=page, others=list(others.values()))


async def register_tariff(visit: Visit) -> Response:
    """Sign a tariff's source and register it."""
    source = visit.fields.get("source", "").replace("\r\n", "\n").encode()
    answer = await visit.inside.ask("POST", "/v1/tariffs", source, media="application/toml")
    if not answer.is_fine:
        return await tariffs(visit, answer)
    return visit.see("/tariffs", "tariff-registered")


async def withdraw_tariff(visit: Visit) -> Response:
    """Let nothing new be asked under a tariff."""
    digest = visit.http.path_params["digest"]
    if not visit.is_sure:
        tariff = await visit.inside.get(f"/v1/tariffs/{digest}")
        title = f"Withdraw the tariff {tariff_name(tariff)}"
        return visit.ask_first(title, WITHDRAWS_TARIFF, "/tariffs")
    answer = await visit.inside.ask("POST", f"/v1/tariffs/{digest}/withdrawal")
    if not answer.is_fine:
        return visit.problem(answer, "/tariffs")
    return visit.see("/tariffs", "tariff-withdrawn")


async def ledger(visit: Visit, refused: InsideAnswer | str = "") -> Response:
    """Show the ledger, the newest first, and its end, and the checks of the records."""
    inside = visit.inside
    page = await inside.get(
        "/v1/ledger", limit=SHOWN, cursor=visit.value("cursor"), kind=visit.value("kind"),
        order="newest",
    )  # fmt: skip
    head = await inside.get("/v1/ledger/head")
    runs = (await inside.get("/v1/runs", limit=SHOWN))["items"]
    checks = [run for run in runs if run["kind"] == "record-check"][:5]
    audit_head = await inside.get("/v1/audit/head") if visit.may(AUDITOR) else None
    return visit.page(
        "ledger.html", refused=refused, page=page, head=head, audit_head=audit_head, checks=checks,
        kind=visit.value("kind"),
    )  # fmt: skip


async def verify_entry(visit: Visit) -> Response:
    """Verify an entry again, as in a dispute."""
    number = visit.http.path_params["number"]
    answer = await visit.inside.ask("POST", f"/v1/ledger/{number}/verification")
    if not answer.is_fine:
        return visit.problem(answer, "/ledger")
    entry = await visit.inside.get(f"/v1/ledger/{number}")
    return visit.page("verdict.html", verdict=answer.json, entry=entry)


async def evidence(visit: Visit) -> Response:
    """Return the bundle that an entry rests on."""
    number = visit.http.path_params["number"]
    return await _download(visit, f"/v1/ledger/{number}/evidence", f"entry-{number}.bundle")


async def invoice_pdf(visit: Visit) -> Response:
    """Return an invoice as PDF."""
    number = visit.http.path_params["number"]
    return await _download(visit, f"/v1/invoices/{number}/pdf", f"invoice-{number}.pdf")


async def invoice_xml(visit: Visit) -> Response:
    """Return an invoice as EN 16931."""
    number = visit.http.path_params["number"]
    return await _download(visit, f"/v1/invoices/{number}/en16931", f"invoice-{number}.xml")


async def _download(visit: Visit, path: str, file: str) -> Response:
    answer = await visit.inside.ask("GET", path)
    if not answer.is_fine:
        return visit.problem(answer, "/ledger")
    name = f'attachment; filename="{file}"'
    return Response(answer.content, media_type=answer.media, headers={"Content-Disposition": name})


async def check_records(visit: Visit) -> Response:
    """Begin a check of the records."""
    fields = visit.fields
    noted = {name: text for name in ("ledger", "audit") if (text := fields.get(name, "").strip())}
    answer = await visit.inside.ask("POST", "/v1/record-checks", noted, once=fields.get("once", ""))
    if not answer.is_fine:
        return await ledger(visit, answer)
    return visit.see(f"/runs/{answer.json['run']}")


# Regions


async def regions(visit: Visit) -> Response:
    """List the regions, and draw the load of one."""
    answer = await visit.inside.ask("GET", "/v1/regions", query={"limit": 200})
    if answer.status == 404:
        return visit.page("regions.html", spans=None, curve=None, chart=None, region="")
    if not answer.is_fine:
        raise InsideProblem(answer)
    spans, region = answer.json["items"], visit.value("region")
    curve, chart = None, None
    if region:
        curve = await visit.inside.get("/v1/regions/curve", region=region)
        chart = load_chart(curve["slots"], curve["uses_wh"], curve["zone"])
    names = sorted({one["region"] for one in spans})
    return visit.page(
        "regions.html", spans=spans, names=names, curve=curve, chart=chart, region=region
    )


# Records and keys


async def audit(visit: Visit) -> Response:
    """Show who asked for what, the newest first, and the record's end."""
    head = await visit.inside.get("/v1/audit/head")
    page = await visit.inside.get(
        "/v1/audit", limit=SHOWN, cursor=visit.value("cursor"), order="newest"
    )
    return visit.page("audit.html", page=page, head=head)


async def keys(visit: Visit, refused: InsideAnswer | str = "") -> Response:
    """List the keys of systems."""
    known = await visit.inside.get("/v1/api-keys")
    return visit.page("keys.html", refused=refused, keys=known, made=None)


async def make_key(visit: Visit) -> Response:
    """Make a key, and show it this once."""
    roles = [str(role) for role in Role if visit.fields.get(f"role-{role}")]
    body: dict[str, Any] = {name: visit.fields.get(name, "") for name in ("name", "days")}
    answer = await visit.inside.ask("POST", "/v1/api-keys", {**body, "roles": roles})
    if not answer.is_fine:
        return await keys(visit, answer)
    return visit.page("keys.html", keys=await visit.inside.get("/v1/api-keys"), made=answer.json)


async def revoke_key(visit: Visit) -> Response:
    """Let a key count no more."""
    key = visit.http.path_params["key"]
    if not visit.is_sure:
        return visit.ask_first(f"Revoke the key {key}", REVOKES, "/keys")
    answer = await visit.inside.ask("POST", f"/v1/api-keys/{key}/revocation")
    if not answer.is_fine:
        return visit.problem(answer, "/keys")
    return visit.see("/keys", "key-revoked")


PAGES: Final = (
    ConsolePage("/welcome", welcome, None),
    ConsolePage("/", overview, READERS),
    ConsolePage("/runs", begin_run, (BILLING,), "POST"),
    ConsolePage("/schedules", begin_schedule, (BILLING,), "POST"),
    ConsolePage("/schedules/{run}/removal", remove_schedule, (BILLING,), "POST"),
    ConsolePage("/runs/{run}", show_run, READERS),
    ConsolePage("/runs/{run}/cancellation", cancel_run, READERS, "POST"),
    ConsolePage("/runs/{run}/retry", retry_run, (BILLING,), "POST"),
    ConsolePage("/customers", customers, READERS),
    ConsolePage("/customers", enrol, (BILLING,), "POST"),
    ConsolePage("/customers/{meter}", customer, READERS),
    ConsolePage("/customers/{meter}/contracts", move_in, (BILLING,), "POST"),
    ConsolePage("/customers/{meter}/contracts/{account}/end", move_out, (BILLING,), "POST"),
    ConsolePage("/customers/{meter}/contracts/{account}/party", put_party, (BILLING,), "POST"),
    ConsolePage("/bills/{nonce}/withdrawal", withdraw, (BILLING,), "POST"),
    ConsolePage("/invoices/{number:int}", invoice, READERS),
    ConsolePage("/invoices/{number:int}/pdf", invoice_pdf, (BILLING,)),
    ConsolePage("/invoices/{number:int}/en16931", invoice_xml, (BILLING,)),
    ConsolePage("/tariffs", tariffs, tuple(Role)),
    ConsolePage("/tariffs", register_tariff, (BILLING,), "POST"),
    ConsolePage("/tariffs/{digest}/withdrawal", withdraw_tariff, (BILLING,), "POST"),
    ConsolePage("/ledger", ledger, READERS),
    ConsolePage("/ledger/{number:int}/verification", verify_entry, READERS, "POST"),
    ConsolePage("/ledger/{number:int}/evidence", evidence, READERS),
    ConsolePage("/record-checks", check_records, (AUDITOR,), "POST"),
    ConsolePage("/regions", regions, (Role.GRID, AUDITOR)),
    ConsolePage("/audit", audit, (AUDITOR,)),
    ConsolePage("/keys", keys, (Role.ADMIN, AUDITOR)),
    ConsolePage("/keys", make_key, (Role.ADMIN,), "POST"),
    ConsolePage("/keys/{key}/revocation", revoke_key, (Role.ADMIN,), "POST"),
)
