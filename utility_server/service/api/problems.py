# SPDX-License-Identifier: Apache-2.0
"""What is wrong, as `application/problem+json` (RFC 9457): one form for every error there is."""

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.responses import Response

from protocols.errors import MeterletError
from protocols.metrology import MetrologyError
from tariffs import TariffError
from utility_server.errors import (
    AccessProblem,
    AlreadyBilled,
    BillOutOfOrder,
    ContractRefused,
    NoContract,
    QuestionClosed,
    RolloutRefused,
    ServiceRefused,
    StoreBusy,
    StoreError,
    TooManySignIns,
    UnknownCustomer,
    kind_of,
)
from utility_server.service.api.models import FORMS

MEDIA: Final = "application/problem+json"
TYPE_BASE: Final = "urn:meterlet:problem:"
MOST_FAULTS: Final = 20
_CONFLICTS: Final = (
    AlreadyBilled, BillOutOfOrder, ContractRefused, NoContract, QuestionClosed, RolloutRefused,
    ServiceRefused,
)  # fmt: skip
OURS: Final = (MeterletError, MetrologyError, TariffError)


class Problem(Exception):
    """An answer that is an error."""

    def __init__(
        self,
        status: int,
        kind: str,
        detail: str,
        headers: Mapping[str, str] | None = None,
        **more: Any,
    ) -> None:
        super().__init__(detail)
        self.status, self.kind, self.detail = status, kind, detail
        self.headers = dict(headers or {})
        self.more = more


class Fault(BaseModel):
    """A member of the request that is wrong."""

    at: str = Field(description="Where: `body.period.from`, `query.limit`.")
    why: str


class ProblemDetails(BaseModel):
    """An error."""

    type: str = Field(description="A URN that names the kind of error.")
    title: str
    status: int
    detail: str = Field(description="One sentence for people.")
    request: str = Field("", description="The request's identification, as the log has it.")
    faults: list[Fault] = Field(default=[], description="What of the request is wrong.")


def problem_of(error: Exception) -> Problem:
    """Return what an error is to a client."""
    match error:
        case Problem():
            return error
        case RequestValidationError():
            return _invalid(error)
        case HTTPException(status_code=status):
            title = HTTPStatus(status).phrase
            headers = error.headers or {}
            return Problem(status, title.lower().replace(" ", "-"), title, headers)
        case UnknownCustomer():
            return Problem(404, kind_of(error), "no such meter is enrolled")
        case StoreBusy():
            return Problem(503, "busy", "the database is busy; try again", {"Retry-After": "10"})
        case TooManySignIns(seconds=seconds):
            return Problem(429, kind_of(error), str(error), {"Retry-After": str(seconds)})
        case StoreError():  # its text names files
            return Problem(500, "store-error", "the database is not as it must be")
        case error if isinstance(error, _CONFLICTS):
            return Problem(409, kind_of(error), str(error))
        case AccessProblem():
            return Problem(422, kind_of(error), str(error))
        case error if isinstance(error, OURS):
            return Problem(422, kind_of(error), str(error))
        case _:
            return Problem(500, "internal-error", "something went wrong here; the log says what")


def problem_response(error: Exception, request: str = "") -> Response:
    """Return an error as it is sent."""
    problem = problem_of(error)
    try:
        title = HTTPStatus(problem.status).phrase
    except ValueError:
        title = "Error"
    content = {
        "type": TYPE_BASE + problem.kind,
        "title": title,
        "status": problem.status,
        "detail": problem.detail,
        "request": request,
        "faults": [],
        **problem.more,
    }
    headers = {**problem.headers, "Cache-Control": "no-store"}
    body = json.dumps(content, ensure_ascii=False).encode("utf-8", "replace")
    return Response(body, problem.status, headers, MEDIA)


_PLAIN: Final[Mapping[str, str]] = {
    "missing": "it is missing",
    "extra_forbidden": "there is no such member",
    "greater_than_equal": "it is {ge} at least",
    "less_than_equal": "it is {le} at most",
    "string_too_short": "it has {min_length} characters at least",
    "string_too_long": "it has {max_length} characters at most",
    "too_short": "say {min_length} at least",
    "too_long": "say {max_length} at most",
    "int_parsing": "it is a whole number",
    "int_parsing_size": "it is a whole number of at most some digits",
    "int_type": "it is a whole number",
    "int_from_float": "it is a whole number",
    "string_type": "it is text",
    "string_unicode": "it is text",
    "bool_parsing": "it is true or false",
    "bool_type": "it is true or false",
    "date_parsing": "it is a day, as 2025-03-31",
    "date_type": "it is a day, as 2025-03-31",
    "date_from_datetime_parsing": "it is a day, as 2025-03-31",
    "date_from_datetime_inexact": "it is a day, as 2025-03-31",
    "enum": "it is {expected}",
    "list_type": "it is a list",
    "dict_type": "it is an object",
    "model_type": "it is an object",
    "model_attributes_type": "it is an object",
    "json_invalid": "it is JSON",
}
"""What the kinds of faults are to people; each says what has to be there."""


def _plain(fault: Mapping[str, Any]) -> str:
    """Say what has to be there; what was sent is not repeated."""
    facts = fault.get("ctx", {})
    if fault["type"] == "string_pattern_mismatch":
        return f"it is {FORMS.get(facts.get('pattern', ''), 'of the form that is described')}"
    try:
        return _PLAIN[fault["type"]].format_map(facts)[:256]
    except KeyError:
        return "it is as the interface's description says"


def _invalid(error: RequestValidationError) -> Problem:
    """Say where a request is wrong; what was sent there is not repeated."""
    faults = [
        {"at": ".".join(str(part)[:64] for part in one["loc"])[:256], "why": _plain(one)}
        for one in error.errors()[:MOST_FAULTS]
    ]
    return Problem(422, "invalid-request", "the request is not as described", faults=faults)
