# SPDX-License-Identifier: Apache-2.0
"""Roll-outs over hubs that dial: versions of applets, new keys, looks at cards.

They are planned, begun, stopped and rolled back here, and kept in `utility_server.fleet.rollouts`.
The gateway carries them on, as it does those that a command has begun.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response

from utility_server.errors import ServiceRefused, UnknownCustomer
from utility_server.fleet.planning import (
    card_states,
    look_at_cards,
    plan_keys,
    plan_version,
    rollouts_of,
)
from utility_server.fleet.plans import (
    ANSWERED,
    HubFacts,
    HubState,
    Kind,
    RolloutFacts,
    RolloutState,
    Share,
    Waves,
)
from utility_server.fleet.rollouts import Rollouts
from utility_server.service.access.roles import Role
from utility_server.service.api.fleet_models import (
    CardLine,
    NewCardLook,
    NewKeyRollout,
    NewRollout,
    Resumption,
    RolloutAnswer,
    RolloutHub,
    RolloutProgress,
    RolloutSummary,
)
from utility_server.service.api.models import AidText, MeterText, Page
from utility_server.service.api.operation import ServiceRoute, operation, parts_of
from utility_server.service.api.paging import Cursor, Limit, content_of, page_of
from utility_server.service.api.problems import Problem
from utility_server.service.api.routes.bills import LARGEST_NUMBER
from utility_server.service.words import utc_text

router = APIRouter(tags=["fleet"], route_class=ServiceRoute)
CHANGERS: Final = (Role.FLEET,)
READERS: Final = (Role.FLEET, Role.AUDITOR)
Number = Annotated[int, Path(ge=1, le=LARGEST_NUMBER, description="The roll-out's number.")]
_LOCATION: Final[Mapping[str, Any]] = {
    "headers": {"Location": {"schema": {"type": "string"}}},
}
_PLANNED: Final = {201: {"description": "It is planned; nothing was said to a hub.", **_LOCATION}}
_BEGUN: Final = {202: {"description": "Hubs are spoken to as they dial.", **_LOCATION}}


@operation(router, "GET", "/rollouts", READERS, response_model=Page[RolloutSummary])
def list_rollouts(request: Request, limit: Limit = 50, cursor: Cursor = None) -> Any:
    """List the roll-outs, the newest first: also those that a command has planned."""
    return page_of(
        request, ["rollouts"], cursor, limit,
        lambda after, count: _rollouts(request).page(
            None if after is None else int(after[0]), count
        ),
        lambda one: [one.number], _summary,
    )  # fmt: skip


@operation(
    router, "POST", "/rollouts", CHANGERS, status=201, response_model=RolloutProgress,
    responses=_PLANNED,
)  # fmt: skip
def plan_rollout(request: Request, response: Response, body: NewRollout) -> Any:
    """Plan to bring a package's version to customers' hubs; nothing is said to them yet.

    It must be newer than any that was rolled out. Cards take only what its vendor has signed, and
    only where the resident lets the recipient bring versions.
    """
    content, waves, meters = content_of(body.package, "package"), _waves(body), _meters(body.meters)
    with _naming_customers():
        made = plan_version(parts_of(request).utility, body.name, content, meters, waves)
    return _planned(request, response, made)


@operation(
    router, "POST", "/key-rollouts", CHANGERS, status=201, response_model=RolloutProgress,
    responses=_PLANNED,
)  # fmt: skip
def plan_key_rollout(request: Request, response: Response, body: NewKeyRollout) -> Any:
    """Plan to give the channels to an applet new keys; there is no way back to the old ones."""
    applet, waves, meters = bytes.fromhex(body.applet), _waves(body), _meters(body.meters)
    with _naming_customers():
        made = plan_keys(parts_of(request).utility, applet, meters, waves)
    return _planned(request, response, made)


@operation(
    router, "GET", "/rollouts/{number}", READERS, fails=(404,), response_model=RolloutProgress
)
def show_rollout(request: Request, number: Number) -> Any:
    """Show how far a roll-out is: of each wave, how many hubs are in which state."""
    return _progress(request, _known(request, number))


@operation(
    router, "GET", "/rollouts/{number}/hubs", READERS, reads=True, fails=(404,),
    response_model=Page[RolloutHub],
)  # fmt: skip
def list_rollout_hubs(
    request: Request,
    number: Number,
    limit: Limit = 50,
    cursor: Cursor = None,
    state: Annotated[list[HubState], Query(max_length=10, description="In these alone.")] = [],  # noqa: B006
) -> Any:
    """List a roll-out's hubs, by wave and meter: how far each is, and what it has said last."""
    _known(request, number)
    states = sorted(set(state))
    return page_of(
        request, ["rollout-hubs", number, *states], cursor, limit,
        lambda after, count: _rollouts(request).hub_page(
            number, None if after is None else (int(after[0]), bytes(after[1])), count, states
        ),
        lambda hub: [hub.wave, hub.meter], _hub,
    )  # fmt: skip


@operation(
    router, "GET", "/rollouts/{number}/hubs/{meter}/answers", READERS, reads=True, fails=(404,),
    response_model=list[RolloutAnswer],
)  # fmt: skip
def rollout_answers(
    request: Request,
    number: Number,
    meter: Annotated[MeterText, Path(description="The customer's meter.")],
) -> Any:
    """Return all that a hub has answered to a roll-out, oldest first."""
    _known(request, number)
    return [
        RolloutAnswer(
            time=utc_text(one.time),
            goal=one.goal,
            state=str(one.state),
            status_word=f"{one.status:04X}" if one.status else None,
            detail=one.detail,
        )
        for one in _rollouts(request).answers(number, bytes.fromhex(meter))
    ]


@operation(
    router, "POST", "/rollouts/{number}/start", CHANGERS, status=202, fails=(404,),
    response_model=RolloutProgress, responses=_BEGUN,
)  # fmt: skip
def start_rollout(request: Request, response: Response, number: Number) -> Any:
    """Open the first wave of a planned roll-out. An earlier one of the same package ends."""
    return _changed(request, response, number, Rollouts.start)


@operation(
    router, "POST", "/rollouts/{number}/stop", CHANGERS, fails=(404,),
    response_model=RolloutProgress,
)  # fmt: skip
def stop_rollout(request: Request, response: Response, number: Number) -> Any:
    """Begin with no more hubs. Those that are spoken to at the moment are finished with."""
    return _changed(request, response, number, Rollouts.stop)


@operation(
    router, "POST", "/rollouts/{number}/resume", CHANGERS, status=202, fails=(404,),
    response_model=RolloutProgress, responses=_BEGUN,
)  # fmt: skip
def resume_rollout(
    request: Request, response: Response, number: Number, body: Resumption | None = None
) -> Any:
    """Go on with a roll-out that has stopped; hubs that have failed are tried again."""
    leaves_failed = body is not None and body.leave_failed
    return _changed(
        request, response, number,
        lambda rollouts, one: rollouts.resume(one, leaves_failed=leaves_failed),
    )  # fmt: skip


@operation(
    router, "POST", "/rollouts/{number}/roll-back", CHANGERS, status=202, fails=(404,),
    response_model=RolloutProgress, responses=_BEGUN,
)  # fmt: skip
def roll_back_rollout(request: Request, response: Response, number: Number) -> Any:
    """Have all hubs go back to the version that was there before.

    Where the one before asks for more, the resident is asked. Again, of a roll-out that is rolled
    back: the hubs that have failed are tried again.
    """
    return _changed(request, response, number, Rollouts.roll_back)


@operation(
    router, "POST", "/rollouts/{number}/ask-again", CHANGERS, status=202, fails=(404,),
    response_model=RolloutProgress, responses=_BEGUN,
)  # fmt: skip
def ask_rollout_again(request: Request, response: Response, number: Number) -> Any:
    """Speak to hubs that wait, for a yes or after a failure, when they dial next."""
    return _changed(request, response, number, Rollouts.ask_again)


@operation(
    router, "POST", "/card-looks", CHANGERS, status=202, response_model=RolloutProgress,
    responses=_BEGUN,
)  # fmt: skip
def look_at_customers_cards(request: Request, response: Response, body: NewCardLook) -> Any:
    """Have cards looked at when their hubs dial next; nothing on them is changed."""
    applet, meters = bytes.fromhex(body.applet), _meters(body.meters)
    with _naming_customers():
        made = look_at_cards(parts_of(request).utility, applet, meters)
    return _planned(request, response, made)


@operation(router, "GET", "/card-states", READERS, reads=True, response_model=Page[CardLine])
def list_card_states(
    request: Request,
    applet: Annotated[AidText, Query(description="The applet whose package it is about.")],
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Any:
    """List what hubs' cards have said last of an applet's package, in the order of meters."""
    aid = bytes.fromhex(applet)
    return page_of(
        request, ["card-states", aid], cursor, limit,
        lambda after, count: card_states(
            _rollouts(request), aid, b"" if after is None else bytes(after[0]), count
        ),
        lambda hub: [hub.meter],
        lambda hub: CardLine(
            meter=hub.meter.hex(),
            state="read" if hub.state is HubState.INSTALLED else str(hub.state),
            card=hub.detail,
            time=utc_text(hub.changed),
        ),
    )  # fmt: skip


def _rollouts(request: Request) -> Rollouts:
    return rollouts_of(parts_of(request).utility)


def _known(request: Request, number: int) -> RolloutFacts:
    found = _rollouts(request).known(number)
    if found is None:
        raise Problem(404, "not-found", "there is no such roll-out")
    return found


def _planned(request: Request, response: Response, made: RolloutFacts) -> RolloutProgress:
    request.state.target = f"number={made.number}"
    response.headers["Location"] = f"/v1/rollouts/{made.number}"
    return _progress(request, made)


def _changed(
    request: Request,
    response: Response,
    number: int,
    change: Callable[[Rollouts, int], RolloutFacts],
) -> RolloutProgress:
    _known(request, number)
    response.headers["Location"] = f"/v1/rollouts/{number}"
    return _progress(request, change(_rollouts(request), number))


def _waves(body: NewRollout | NewKeyRollout) -> Waves:
    return Waves(
        Share.parse(body.canary),
        tuple(map(Share.parse, body.waves)),
        Share.parse(body.stop_at),
        body.enough,
        body.rest,
    )


def _meters(texts: Sequence[str]) -> list[bytes]:
    return [bytes.fromhex(one) for one in texts]


@contextmanager
def _naming_customers() -> Iterator[None]:
    """Say who is not enrolled: it is a member of the request, and no address."""
    try:
        yield
    except UnknownCustomer as error:
        raise ServiceRefused(str(error)) from None


def _summary(one: RolloutFacts) -> RolloutSummary:
    return RolloutSummary(**_facts(one))


def _progress(request: Request, one: RolloutFacts) -> RolloutProgress:
    counts = _rollouts(request).counts(one.number)
    waves = [counts.get(wave, {}) for wave in range(1, len(one.sizes) + 1)]
    is_back = one.state in (RolloutState.ROLLING_BACK, RolloutState.ROLLED_BACK)
    done = (HubState.ROLLED_BACK, HubState.NOT_BEGUN, HubState.FAILED) if is_back else ANSWERED
    return RolloutProgress(
        **_facts(one),
        answered=sum(states.get(state, 0) for states in waves for state in done),
        total=sum(one.sizes),
        hubs=[{str(state): count for state, count in sorted(each.items())} for each in waves],
    )


def _facts(one: RolloutFacts) -> dict[str, Any]:
    is_version = one.kind is Kind.VERSION
    return {
        "number": one.number,
        "kind": str(one.kind),
        "name": one.name,
        "state": str(one.state),
        "why": one.why or None,
        "applet": one.applet.hex(),
        "package": one.package.hex() or None,
        "version": "{}.{}".format(*one.version) if is_version else None,
        "digest": one.digest.hex() or None,
        "waves": list(one.sizes),
        "wave": one.wave,
        "stop_at": str(one.stop_at),
        "enough": one.enough,
        "rest": one.rest,
        "planned": utc_text(one.made),
        "changed": utc_text(one.changed),
    }


def _hub(hub: HubFacts) -> RolloutHub:
    return RolloutHub(
        meter=hub.meter.hex(),
        wave=hub.wave,
        state=str(hub.state),
        attempts=hub.attempts,
        next_try=utc_text(hub.not_before) if hub.not_before else None,
        changed=utc_text(hub.changed),
        detail=hub.detail,
    )
