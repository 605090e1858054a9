# SPDX-License-Identifier: Apache-2.0
"""What the pages of one hub share while they are served."""

from dataclasses import dataclass, field

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from starlette.requests import Request

from hub.inspection.web.access.incidents import Incidents
from hub.inspection.web.access.residents import Residents
from hub.inspection.web.access.sessions import ResidentSession, Sessions
from hub.inspection.web.access.throttle import Throttle
from hub.inspection.web.assets import Assets
from hub.inspection.web.jobs import Jobs
from hub.inspection.web.settings import Settings
from hub.inspection.web.wording import Wording, choose


@dataclass(frozen=True, slots=True)
class Parts:
    """The application's state; nothing of it is a reading."""

    settings: Settings
    residents: Residents
    throttle: Throttle
    sessions: Sessions
    incidents: Incidents
    jobs: Jobs
    assets: Assets
    templates: Environment
    welcome_code: str = field(repr=False)
    """What whoever makes the first owner has to know; shown on the console alone."""
    zone: str
    """In which times are shown."""

    @property
    def cookie(self) -> str:
        """The name of the session's cookie."""
        return "__Host-meterlet" if self.settings.is_secure else "meterlet"

    def session_of(self, token: str | None, *, is_idle: bool = False) -> ResidentSession | None:
        """Return the session of a cookie; None if it has ended, or its resident has."""
        session = self.sessions.find(token, is_idle=is_idle)
        if session is not None and self.residents.find(session.resident.name) != session.resident:
            self.sessions.end(token)
            return None
        return session

    def wording(self, request: Request) -> Wording:
        """Return the language of a browser: what its resident chose, or what it asks for."""
        accepted = request.headers.get("accept-language", "")
        return choose(request.cookies.get("language"), accepted, self.zone)


def make_environment(assets: Assets) -> Environment:
    """Return the templates: every value is escaped, and a name that is missing is an error."""
    environment = Environment(
        loader=FileSystemLoader(assets.templates),
        autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.globals["asset"] = assets.address
    return environment
