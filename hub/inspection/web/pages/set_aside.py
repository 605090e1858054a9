# SPDX-License-Identifier: Apache-2.0
"""The page Set aside: telegrams that could not be taken as they were, and what becomes of them."""

from typing import Final

from starlette.responses import Response

from hub.inspection.web.access.residents import ResidentRole
from hub.inspection.web.page_request import Page, PageRequest
from hub.quarantining import accept, drop

MOST_SHOWN: Final = 200


def show_set_aside(request: PageRequest) -> Response:
    """Show what is set aside, the newest first."""
    with request.device() as device:
        waiting = list(reversed(device.quarantine.all()))
        return request.page(
            "set_aside.html",
            waiting=waiting[:MOST_SHOWN],
            number=len(waiting),
            main=device.description.register,
        )


def accept_one(request: PageRequest) -> Response:
    """Make a reading of a telegram that was set aside."""
    number = int(request.http.path_params["number"])
    with request.device() as device:
        accept(device, [number])
    request.record("telegram accepted", number=number)
    return request.see("/set-aside")


def drop_one(request: PageRequest) -> Response:
    """Forget a telegram that was set aside."""
    number = int(request.http.path_params["number"])
    with request.device() as device:
        drop(device, [number])
    request.record("telegram dropped", number=number)
    return request.see("/set-aside")


PAGES: Final = (
    Page("/set-aside", show_set_aside, ResidentRole.READER),
    Page("/set-aside/{number:int}/accept", accept_one, ResidentRole.OWNER, "POST", show_set_aside),
    Page("/set-aside/{number:int}/drop", drop_one, ResidentRole.OWNER, "POST", show_set_aside),
)
