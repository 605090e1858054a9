# SPDX-License-Identifier: Apache-2.0
"""What the pages are served with: which hub, under which names, and what its pages share."""

import os
import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from starlette.requests import Request

from hub.device import Description, Device
from hub.inspection.locales.catalogue import LANGUAGES, Catalogue, best_language, catalogue
from hub.inspection.locales.learning import learned_in_words, time_in_words
from hub.inspection.locales.reasons import (
    entry_kind_in_words,
    error_in_words,
    fact_in_words,
    fact_name_in_words,
    reason_in_words,
)
from hub.inspection.views.bill import BillProofs
from hub.inspection.web.access.incidents import Incidents
from hub.inspection.web.access.residents import Residents
from hub.inspection.web.access.sessions import ResidentSession, Sessions
from hub.inspection.web.access.throttle import Throttle
from hub.inspection.web.jobs import Jobs
from listeners.assets import Assets
from protocols.canonical.day_zone import wall_zone

if TYPE_CHECKING:
    from hub.machine.machine import AppletMachine


HERE: Final = Path(__file__).parent
LOOPBACK_NAMES: Final = ("localhost", "127.0.0.1", "[::1]")


@dataclass(frozen=True, slots=True)
class Settings:
    """One hub's pages."""

    folder: Path
    origins: frozenset[str]
    """Where the pages are, as browsers name it: `http://127.0.0.1:8321`."""
    open_machine: "Callable[[], AppletMachine]"
    """Called when an applet is installed, locked or removed, and not before."""
    proofs: BillProofs
    """Knows the messages of the billing applet, which the hub does not."""
    now: Callable[[], int] = lambda: int(time.time())
    randomness: Callable[[int], bytes] = field(default=os.urandom, repr=False)
    complain: Callable[[str], None] = lambda line: None
    """Told, in a line, what nobody at a browser would see."""
    description: Description | None = None
    """The description in force, where hub.toml may be being edited (`Device.open`)."""

    @property
    def is_secure(self) -> bool:
        """Whether the pages are served over TLS."""
        return all(origin.startswith("https://") for origin in self.origins)

    @property
    def hosts(self) -> frozenset[str]:
        """What a request's Host field may say."""
        return frozenset(origin.partition("://")[2] for origin in self.origins)

    def open_device(self) -> Device:
        """Open the hub for one request, beside the process that serves its applets."""
        return Device.open(
            self.folder, randomness=self.randomness, now=self.now, description=self.description
        )

    @classmethod
    def origins_of(cls, names: tuple[str, ...], port: int, *, is_secure: bool) -> frozenset[str]:
        """Return the origins of host names; a port that is the scheme's own is left out."""
        scheme, own = ("https", 443) if is_secure else ("http", 80)
        suffix = "" if port == own else f":{port}"
        return frozenset(f"{scheme}://{name}{suffix}" for name in names)


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
        if session is None:
            return None
        try:
            resident = self.residents.find(session.resident.name)
        except sqlite3.Error:  # the accounts are gone: the hub was handed over
            resident = None
        if resident != session.resident:
            self.sessions.end(token)
            return None
        return session

    def wording(self, request: Request) -> Catalogue:
        """Return the language of a browser: what its resident chose, or what it asks for."""
        language = request.cookies.get("language")
        if language not in LANGUAGES:
            language = best_language(request.headers.get("accept-language", ""))
        return catalogue(language).for_pages(wall_zone(self.zone))


def make_environment(assets: Assets) -> Environment:
    """Return the templates: every value is escaped, and a name that is missing is an error."""
    environment = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.globals["asset"] = assets.address
    environment.globals["learned_in_words"] = learned_in_words
    environment.globals["time_in_words"] = time_in_words
    for function in (
        entry_kind_in_words, error_in_words, fact_in_words, fact_name_in_words, reason_in_words,
    ):  # fmt: skip
        environment.globals[function.__name__] = function
    return environment
