# SPDX-License-Identifier: Apache-2.0
"""Bills: what was asked for and how far it is."""

from collections.abc import Sequence
from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response

from protocols.metrology import Period
from utility_server.errors import QuestionClosed
from utility_server.retail.failures import Failure
from utility_server.retail.questions import KeptQuestion, State
from utility_server.retail.standings import STANDS, Standing
from utility_server.retail.utility import Utility
from utility_server.service.access.roles import Role
from utility_server.service.api.models import (
    Bill,
    MeterText,
    NewQuestion,
    NonceText,
    Page,
)
from utility_server.service.api.operation import ServiceRoute, operation, parts_of
from utility_server.service.api.paging import Cursor, Limit, days_model, page_of, period_of
from utility_server.service.api.problems import Problem
from utility_server.service.words import utc_text

router = APIRouter(tags=["bills"], route_class=ServiceRoute)
READERS: Final = (Role.BILLING, Role.AUDITOR)
LARGEST_NUMBER: Final = 2**63 - 1
Nonce = Annotated[NonceText, Path(description="The question's nonce in hex.")]
OneMeter = Annotated[MeterText | None, Query(description="Of this meter alone.")]


@operation(router, "GET", "/bills", READERS, reads=True, response_model=Page[Bill])
def list_bills(
    request: Request,
    limit: Limit = 50,
    cursor: Cursor = None,
    state: Annotated[State | None, Query(description="In this state alone.")] = None,
    meter: OneMeter = None,
) -> Any:
    """List the bills that were asked for, in the order of their nonces."""
    utility = parts_of(request).utility
    of_meter = None if meter is None else bytes.fromhex(meter)

    def rows(after: list[Any] | None, count: int) -> list[_ShownBill]:
        at = b"" if after is None else bytes(after[0])
        return _shown(utility, utility.questions.page(at, count, state, of_meter))

    return page_of(
        request, ["bills", state or "", meter or ""], cursor, limit, rows,
        lambda row: [row[0].question.about.nonce], lambda row: _bill_of(request, *row),
    )  # fmt: skip


@operation(router, "POST", "/bills", (Role.BILLING,), status=201, fails=(404,), response_model=Bill)
def ask_for_bill(request: Request, response: Response, body: NewQuestion) -> Any:
    """Ask for a bill: the hub gets the question when it dials in next.

    Who asks for the same bill again gets the same question.
    """
    parts = parts_of(request)
    tariff = parts.tariffs.usable(bytes.fromhex(body.tariff))
    meter = bytes.fromhex(body.meter)
    request.state.target = f"meter={body.meter}"
    question = parts.utility.question(meter, period_of(body.period), tariff.document, body.paid)
    response.headers["Location"] = f"/v1/bills/{question.about.nonce.hex()}"
    return _bill(request, parts.utility.questions.find(question))


@operation(router, "GET", "/bills/{nonce}", READERS, reads=True, fails=(404,), response_model=Bill)
def show_bill(request: Request, nonce: Nonce) -> Any:
    """Show how far a bill has come."""
    return _bill(request, _known(request, nonce))


@operation(
    router, "POST", "/bills/{nonce}/withdrawal", (Role.BILLING,), fails=(404,),
    response_model=Bill,
)  # fmt: skip
def withdraw_bill(request: Request, nonce: Nonce) -> Any:
    """Let no answer to an open question count any more."""
    questions, kept = parts_of(request).utility.questions, _known(request, nonce)
    if not kept.is_open:
        raise QuestionClosed(f"the question is {kept.state}")
    questions.withdraw(kept.question)
    return _bill(request, questions.find(kept.question))


def _known(request: Request, nonce: str) -> KeptQuestion:
    try:
        return parts_of(request).utility.questions.of_nonce(bytes.fromhex(nonce))
    except QuestionClosed:
        raise Problem(404, "not-found", "this utility has asked no such question") from None


_ShownBill = tuple[KeptQuestion, Failure | None, Standing]


def _shown(utility: Utility, found: Sequence[KeptQuestion]) -> list[_ShownBill]:
    """Return questions with why they do not go on, and what became of their invoices."""
    failures = utility.failures.of(kept.question.about.nonce for kept in found)
    known = utility.standings(kept.question.about.meter for kept in found if _number(kept))
    return [
        (kept, failures.get(kept.question.about.nonce), known.get(_number(kept), STANDS))
        for kept in found
    ]


def _number(kept: KeptQuestion) -> int:
    """Return the number of a question's invoice; 0 where it has none."""
    return 0 if kept.state is State.REFUSED else kept.entry


def _bill(request: Request, kept: KeptQuestion) -> Bill:
    (shown,) = _shown(parts_of(request).utility, [kept])
    return _bill_of(request, *shown)


def _bill_of(
    request: Request, kept: KeptQuestion, failure: Failure | None, standing: Standing
) -> Bill:
    about = kept.question.about
    zone = parts_of(request).utility.customers.zone(about.meter)
    return Bill(
        question=about.nonce.hex(),
        meter=about.meter.hex(),
        period=days_model(Period.filling(about.begin, about.end, zone)),
        state=str(kept.state),
        since=utc_text(kept.changed),
        address=kept.address or None,
        invoice=_number(kept) or None,
        reason=None if failure is None else failure.kind,
        why=None if failure is None else failure.why,
        failed=None if failure is None else utc_text(failure.time),
        replaces=standing.replaces or None,
        replaced_by=standing.replaced_by or None,
        void=standing.is_void,
    )
