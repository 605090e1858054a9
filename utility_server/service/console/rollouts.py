# SPDX-License-Identifier: Apache-2.0
"""The pages of roll-outs: how far each is, what each hub has answered, and what is decided."""

import base64
from typing import Any, Final

from starlette.exceptions import HTTPException
from starlette.responses import Response

from utility_server.service.access.roles import Role
from utility_server.service.console.inside import InsideAnswer
from utility_server.service.console.visit import ConsolePage, Visit
from utility_server.service.console.words import ROLLOUT_GROUPS

READERS: Final = (Role.FLEET, Role.AUDITOR)
CHANGERS: Final = (Role.FLEET,)
SHOWN: Final = 50
LARGEST_PACKAGE: Final = 750_000
"""In bytes; in Base64 it is as long as the interface takes."""

STEPS: Final = {
    "start": (
        "Start",
        "Hubs of the first wave are spoken to when they dial next. An earlier roll-out of the same"
        " package ends.",
        "rollout-started",
    ),
    "stop": (
        "Stop",
        "No more hubs are begun with. Those that are spoken to at the moment are finished with."
        " It can go on later, or be rolled back.",
        "rollout-stopped",
    ),
    "resume": (
        "Go on with",
        "Hubs are spoken to again when they dial next.",
        "rollout-resumed",
    ),
    "roll-back": (
        "Roll back",
        "All hubs that were spoken to go back to the version that was there before. Where that one"
        " asks for more, the resident is asked. The others are left as they are, and this roll-out"
        " never goes on.",
        "rollout-back",
    ),
    "ask-again": (
        "Ask again in",
        "Hubs that wait, for a yes or after a failure, are spoken to when they dial next, and not"
        " only later.",
        "rollout-asked",
    ),
}
"""Of each decision: what it is called, what it does, and what is said once it is done."""
FAILED_HUBS: Final = {
    True: " Hubs that have failed stay as they are, and count no more.",
    False: " Hubs that have failed are tried again.",
}


async def rollouts(visit: Visit, refused: InsideAnswer | str = "") -> Response:
    """List the roll-outs, the newest first."""
    page = await visit.inside.get("/v1/rollouts", limit=SHOWN, cursor=visit.value("cursor"))
    status = 422 if isinstance(refused, str) and refused else 200
    return visit.page("rollouts.html", status, refused, page=page)


async def plan(visit: Visit) -> Response:
    """Plan to bring a package's version to hubs; nothing is said to them yet."""
    fields, package = visit.fields, visit.files.get("package", b"")
    if not package:
        return await rollouts(visit, "Choose the package's file")
    body: dict[str, Any] = {
        name: fields.get(name, "").strip()
        for name in ("name", "canary", "stop_at", "enough", "rest")
    }
    body["package"] = base64.b64encode(package).decode()
    body["waves"] = fields.get("waves", "").split()
    body["meters"] = fields.get("meters", "").lower().split()
    answer = await visit.inside.ask("POST", "/v1/rollouts", body, once=fields.get("once", ""))
    if not answer.is_fine:
        return await rollouts(visit, answer)
    return visit.see(f"/rollouts/{answer.json['number']}", "rollout-planned")


async def plan_keys(visit: Visit) -> Response:
    """Plan to give the channels to an applet new keys; nothing is said to hubs yet."""
    return await _applet(visit, "/v1/key-rollouts", "rollout-planned")


async def look(visit: Visit) -> Response:
    """Have cards looked at when their hubs dial next."""
    return await _applet(visit, "/v1/card-looks", "rollout-started")


async def _applet(visit: Visit, path: str, done: str) -> Response:
    body = {
        "applet": visit.fields.get("applet", "").strip().lower(),
        "meters": visit.fields.get("meters", "").lower().split(),
    }
    answer = await visit.inside.ask("POST", path, body, once=visit.fields.get("once", ""))
    if not answer.is_fine:
        return await rollouts(visit, answer)
    return visit.see(f"/rollouts/{answer.json['number']}", done)


async def rollout(visit: Visit) -> Response:
    """Show how far a roll-out is: its waves, and its hubs with what each has said last."""
    number, group = visit.http.path_params["number"], visit.value("show")
    shown = await visit.inside.get(f"/v1/rollouts/{number}")
    hubs: dict[str, Any] = {"items": [], "next": None}
    # Looks at customers are on record: a page that renews itself makes none.
    if not visit.is_poll:
        hubs = await visit.inside.get(
            f"/v1/rollouts/{number}/hubs", limit=SHOWN, cursor=visit.value("cursor"),
            state=list(ROLLOUT_GROUPS.get(group, ())),
        )  # fmt: skip
    return visit.page("rollout.html", rollout=shown, hubs=hubs, group=group)


async def hub(visit: Visit) -> Response:
    """Show all that a hub has answered to a roll-out."""
    number, meter = visit.http.path_params["number"], visit.http.path_params["meter"]
    shown = await visit.inside.get(f"/v1/rollouts/{number}")
    answers = await visit.inside.get(f"/v1/rollouts/{number}/hubs/{meter}/answers")
    return visit.page("rollout_hub.html", rollout=shown, meter=meter, answers=answers)


async def decide(visit: Visit) -> Response:
    """Start, stop, go on with or roll back a roll-out, or have its hubs asked again."""
    number, step = visit.http.path_params["number"], visit.http.path_params["step"]
    if step not in STEPS:
        raise HTTPException(404)
    name, does, done = STEPS[step]
    body, leaves_failed = None, bool(visit.fields.get("leave_failed"))
    if step == "resume":
        body, does = {"leave_failed": leaves_failed}, does + FAILED_HUBS[leaves_failed]
    if not visit.is_sure:
        await visit.inside.get(f"/v1/rollouts/{number}")
        return visit.ask_first(f"{name} roll-out {number}", does, f"/rollouts/{number}")
    answer = await visit.inside.ask("POST", f"/v1/rollouts/{number}/{step}", body)
    if not answer.is_fine:
        return visit.problem(answer, f"/rollouts/{number}")
    return visit.see(f"/rollouts/{number}", done)


PAGES: Final = (
    ConsolePage("/rollouts", rollouts, READERS),
    ConsolePage("/rollouts", plan, CHANGERS, "POST", largest_file=LARGEST_PACKAGE),
    ConsolePage("/rollouts/keys", plan_keys, CHANGERS, "POST"),
    ConsolePage("/rollouts/looks", look, CHANGERS, "POST"),
    ConsolePage("/rollouts/{number:int}", rollout, READERS),
    ConsolePage("/rollouts/{number:int}/hubs/{meter}", hub, READERS),
    ConsolePage("/rollouts/{number:int}/{step}", decide, CHANGERS, "POST"),
)
