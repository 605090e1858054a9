# SPDX-License-Identifier: Apache-2.0
"""The page of a long piece of work: how far it is, a way to stop it, and then its result."""

from collections.abc import Callable
from typing import Any, Final

from starlette.responses import Response

from hub.inspection.errors import InspectionError
from hub.inspection.web.access.residents import Role
from hub.inspection.web.jobs import Job, State, Tick
from hub.inspection.web.page_request import Call, Page

__all__ = ["PAGES", "begin_job"]

REFRESH_SECONDS: Final = "1"


def begin_job(
    call: Call, kind: str, back: str, template: str, work: Callable[[Tick], Any]
) -> Response:
    """Begin work and send the browser to its page."""
    job = call.parts.jobs.begin(kind, call.resident.resident.name, back, template, work)
    return call.see(f"/work/{job.name}")


def show_job(call: Call) -> Response:
    """Show how far it is, or what came of it."""
    job = _job(call)
    state = job.state  # read once: the work may end while the page is made
    if state is State.DONE:
        return call.page(job.template, job=job, result=job.result)
    answer = call.page("job.html", job=job, state=state)
    if state is State.RUNNING:
        answer.headers["Refresh"] = REFRESH_SECONDS  # without JavaScript, too
    return answer


def cancel_job(call: Call) -> Response:
    """Stop the work at its next step."""
    job = _job(call)
    job.cancel()
    return call.see(f"/work/{job.name}")


def _job(call: Call) -> Job:
    job = call.parts.jobs.find(call.request.path_params["name"], call.resident.resident.name)
    if job is None:
        raise InspectionError("that work is not known any more")
    return job


PAGES: Final = (
    Page("/work/{name}", show_job, Role.READER),
    Page("/work/{name}/cancel", cancel_job, Role.READER, "POST"),
)
