# SPDX-License-Identifier: Apache-2.0
"""The page of a long piece of work: how far it is, a way to stop it, and then its result."""

from collections.abc import Callable
from typing import Any, Final

from starlette.responses import Response

from hub.inspection.errors import InspectionError
from hub.inspection.web.access.residents import ResidentRole
from hub.inspection.web.jobs import Job, State, Tick
from hub.inspection.web.page_request import Page, PageRequest

REFRESH_SECONDS: Final = "1"


def begin_job(
    request: PageRequest, kind: str, back: str, template: str, work: Callable[[Tick], Any]
) -> Response:
    """Begin work and send the browser to its page."""
    job = request.parts.jobs.begin(kind, request.resident.resident.name, back, template, work)
    return request.see(f"/work/{job.name}")


def show_job(request: PageRequest) -> Response:
    """Show how far it is, or what came of it."""
    job = _job(request)
    state = job.state  # read once: the work may end while the page is made
    if state is State.DONE:
        return request.page(job.template, job=job, result=job.result)
    answer = request.page("job.html", job=job, state=state)
    if state is State.RUNNING:
        answer.headers["Refresh"] = REFRESH_SECONDS  # without JavaScript, too
    return answer


def cancel_job(request: PageRequest) -> Response:
    """Stop the work at its next step."""
    job = _job(request)
    job.cancel()
    return request.see(f"/work/{job.name}")


def _job(request: PageRequest) -> Job:
    job = request.parts.jobs.find(request.http.path_params["name"], request.resident.resident.name)
    if job is None:
        raise InspectionError("that work is not known any more")
    return job


PAGES: Final = (
    Page("/work/{name}", show_job, ResidentRole.READER),
    Page("/work/{name}/cancel", cancel_job, ResidentRole.READER, "POST"),
)
