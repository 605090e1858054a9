# SPDX-License-Identifier: Apache-2.0
"""Customers: enrolled meters, their contracts, and what certified days have told of them."""

from datetime import date
from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Request
from starlette.responses import Response

from protocols.metrology import (
    FirstDayOfCustody,
    GridError,
    MeterExchange,
    Period,
    date_at,
    find_zone,
)
from utility_server.database import reading
from utility_server.errors import ContractRefused
from utility_server.retail import chains
from utility_server.retail.contracts import Contract as KeptContract
from utility_server.retail.contracts import Cycle
from utility_server.retail.utility import Utility
from utility_server.service.access.roles import Role
from utility_server.service.api.models import (
    AccountText,
    Applet,
    CertifiedChain,
    Contract,
    ContractState,
    Customer,
    CustomerSummary,
    Enrolled,
    Exchange,
    Forgotten,
    LogHead,
    MeterText,
    MoveIn,
    MoveOut,
    Page,
)
from utility_server.service.api.operation import ServiceRoute, operation, parts_of
from utility_server.service.api.paging import Body, Cursor, Limit, day_of, days_model, page_of

router = APIRouter(prefix="/customers", tags=["customers"], route_class=ServiceRoute)
READERS: Final = (Role.BILLING, Role.AUDITOR)
NOT_SEEN: Final = (
    "The readings, the load curve and the use of any day stay in the home. The utility has the"
    " proved amounts of whole periods, and commitments that tell nothing by themselves."
)
_FIRST_OF_ALL: Final = date(2000, 1, 1)
Meter = Annotated[MeterText, Path(description="The meter's identification in hex.")]
Account = Annotated[AccountText, Path(description="The contract's account in hex.")]
_ENROLMENT: Final = {
    "requestBody": {
        "required": True,
        "description": "The enrolment file, as the hub's installer has written it.",
        "content": {"application/json": {"schema": {"type": "object"}}},
    }
}


@operation(router, "GET", "", READERS, response_model=Page[CustomerSummary])
def list_customers(request: Request, limit: Limit = 50, cursor: Cursor = None) -> Any:
    """List the enrolled meters, in the order of their identifications."""
    customers = parts_of(request).utility.customers

    def summary(meter: bytes) -> CustomerSummary:
        applets = customers.enrolments(meter)
        return CustomerSummary(meter=meter.hex(), zone=applets[0].zone, applets=len(applets))

    return page_of(
        request, ["customers"], cursor, limit,
        lambda after, count: customers.page(b"" if after is None else bytes(after[0]), count),
        lambda meter: [meter], summary,
    )  # fmt: skip


@operation(
    router, "POST", "", (Role.BILLING,), status=201, response_model=Enrolled,
    openapi_extra=_ENROLMENT,
)  # fmt: skip
def enrol_customer(request: Request, response: Response, data: Body) -> Enrolled:
    """Enrol the meter of an enrolment file; the same file again changes nothing.

    The file is as secret as the channel keys in it: destroy it afterwards.
    """
    enrolment = parts_of(request).utility.customers.enrol(data)
    response.headers["Location"] = f"/v1/customers/{enrolment.meter.hex()}"
    request.state.target = f"meter={enrolment.meter.hex()}"
    return Enrolled(meter=enrolment.meter.hex(), applet=enrolment.applet.hex())


@operation(router, "GET", "/{meter}", READERS, reads=True, fails=(404,), response_model=Customer)
def show_customer(request: Request, meter: Meter) -> Any:
    """Show a customer's meter, contracts and certified days: all that the utility knows of it."""
    utility, identification = parts_of(request).utility, bytes.fromhex(meter)
    applets = utility.customers.enrolments(identification)
    head = utility.hub_logs.find(identification)
    return Customer(
        meter=meter,
        zone=applets[0].zone,
        certifier=applets[0].certifier.hex(),
        applets=[
            Applet(
                aid=one.applet.hex(), key_version=one.key_version, register=one.register.hex(),
                slot_minutes=one.slot_minutes,
            )
            for one in applets
        ],
        contracts=[_state(utility, one) for one in utility.contracts.of_meter(identification)],
        chains=_chains(utility, identification),
        log=None if head is None else LogHead(length=head.length, digest=head.digest.hex()),
        not_seen=NOT_SEEN,
    )  # fmt: skip


@operation(
    router, "POST", "/{meter}/contracts", (Role.BILLING,), status=201, fails=(404,),
    response_model=Contract,
)  # fmt: skip
def move_in(request: Request, response: Response, meter: Meter, body: MoveIn) -> Any:
    """Open a contract from a local day on; the same again changes nothing.

    Moving in, and a customer who comes from another supplier: no day before is asked about.
    """
    contracts = parts_of(request).utility.contracts
    opened = contracts.open(bytes.fromhex(meter), day_of(body.first))
    response.headers["Location"] = f"/v1/customers/{meter}"
    return _contract(opened)


@operation(
    router, "POST", "/{meter}/contracts/{account}/end", (Role.BILLING,), fails=(404,),
    response_model=Contract,
)  # fmt: skip
def move_out(request: Request, meter: Meter, account: Account, body: MoveOut) -> Any:
    """Close the last contract on a local day; said again, it sets another day.

    Moving out, and a customer who goes to another supplier: no day after is asked about.
    """
    contracts = parts_of(request).utility.contracts
    identification = bytes.fromhex(meter)
    last = contracts.of_meter(identification)[-1]
    if last.account.hex() != account:
        raise ContractRefused("the meter's last contract is another; only that one can be closed")
    return _contract(contracts.close(identification, day_of(body.until)))


@operation(
    router, "DELETE", "/{meter}/contracts/{account}", (Role.BILLING,), fails=(404,),
    response_model=Contract,
)  # fmt: skip
def drop_contract(request: Request, meter: Meter, account: Account) -> Any:
    """Forget a contract that was opened by mistake and has no bill, and its customer's name."""
    contracts = parts_of(request).utility.contracts
    return _contract(contracts.drop(bytes.fromhex(meter), bytes.fromhex(account)))


@operation(
    router, "GET", "/{meter}/exchanges", READERS, reads=True, fails=(404,),
    response_model=list[Exchange],
)  # fmt: skip
def list_exchanges(request: Request, meter: Meter) -> Any:
    """List exchanges of the meter and changes of custody, as certified days have told them.

    The hub's certifier says so, and bills go on across it: nothing is to be entered here.
    """
    utility, identification = parts_of(request).utility, bytes.fromhex(meter)
    utility.customers.zone(identification)
    with reading(utility.engine) as connection:
        known = chains.known_chains(connection, identification)
    return [_exchange(change) for chain in known for change in chain.changes]


@operation(
    router, "POST", "/{meter}/log-acceptance", (Role.BILLING,), fails=(404,),
    response_model=Forgotten,
)  # fmt: skip
def accept_log(request: Request, meter: Meter) -> Any:
    """Accept that a hub's disclosure log does not go on from where it was, as after a broken disk.

    A hub that was put back has forgotten what it told: ask the resident first.
    """
    utility, identification = parts_of(request).utility, bytes.fromhex(meter)
    utility.customers.zone(identification)
    kept = utility.hub_logs.forget(identification)
    return Forgotten(forgotten=None if kept is None else kept.length)


def _contract(contract: KeptContract) -> Contract:
    return Contract(
        account=contract.account.hex(),
        meter=contract.meter.hex(),
        **{"from": contract.first},
        until=contract.last,
        on_record=not contract.is_implicit,
    )


def _state(utility: Utility, contract: KeptContract) -> ContractState:
    zone = utility.customers.zone(contract.meter)
    progress = utility.contracts.progress(contract, date_at(utility.now(), find_zone(zone)))
    try:
        due: Period | None = progress.due(Cycle.MONTH, _FIRST_OF_ALL)
    except GridError:
        due = None
    return ContractState(
        account=contract.account.hex(),
        **{"from": contract.first},
        until=contract.last,
        on_record=not contract.is_implicit,
        billed=[days_model(one) for one in progress.billed],
        void=[days_model(one) for one in progress.void],
        unbilled=[days_model(one) for one in progress.unbilled],
        due=None if due is None else days_model(due),
    )


def _chains(utility: Utility, meter: bytes) -> list[CertifiedChain]:
    with reading(utility.engine) as connection:
        known = chains.known_chains(connection, meter)
    return [
        CertifiedChain(
            register=one.register.hex(),
            days=one.days,
            first=one.first,
            last=one.last,
            mounted=one.mounted.hex(),
            custody_begins=one.custody_begins,
        )
        for one in known
    ]


def _exchange(change: chains.MeterChange) -> Exchange:
    match change.event:
        case MeterExchange(old_meter=old, new_meter=new):
            kind, facts = "meter-exchange", {"old_meter": old.hex(), "new_meter": new.hex()}
        case FirstDayOfCustody(custody=custody):
            kind, facts = "custody", {"custody": custody.hex()}
        case other:
            kind, facts = type(other).__name__, {}
    return Exchange(day=change.day, register=change.register.hex(), kind=kind, facts=facts)
