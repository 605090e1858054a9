# SPDX-License-Identifier: Apache-2.0
"""The service: its parts, made from hub.toml, and made anew where the file changes.

    hub.toml changes, or SIGHUP | read and checked | parts of what changed end, and begin anew
                                | refused          | the one in force stays, and the log says so

Whatever a part does is on the disk when it is done: a service that is stopped, or killed, goes on
where it was when it starts again.
"""

import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from hub.device import Device
from hub.errors import HubError
from hub.machine.machine import AppletMachine
from hub.service.answering import PagesWork, ServeWork, SharedMachine
from hub.service.configuration import FILE, ServiceSettings
from hub.service.control import ControlWork
from hub.service.errors import ConfigurationRefused
from hub.service.health import HealthWork
from hub.service.lock import held
from hub.service.log import Event, Level, ServiceLog, code_of
from hub.service.notify import notify
from hub.service.part import Part, PartKind, PartStatus, Work
from hub.service.recipients import RecipientWork
from hub.service.sources import SourceWork
from hub.service.supervisor import SupervisedPart
from hub.text import utc_text

if TYPE_CHECKING:
    from hub.inspection.views.bill import BillProofs

LOOK_SECONDS: Final = 1.0
"""How often it is looked whether hub.toml has changed."""
AGAIN_SECONDS: Final = 60.0
"""After how long a file is read again that was fine, but the hub could not be opened with it."""
GOODBYE_SECONDS: Final = 20.0
"""How long parts may take in all to end."""


@dataclass(frozen=True, slots=True)
class Planned:
    """A part that hub.toml asks for."""

    kind: PartKind
    about: object
    """All that it depends on: where that is the same, the part stays as it is."""
    work: Callable[[], Work]


@dataclass(frozen=True, slots=True)
class Changes:
    """What another hub.toml does to the parts, by their names."""

    started: tuple[str, ...]
    changed: tuple[str, ...]
    stopped: tuple[str, ...]

    @classmethod
    def between(cls, old: Mapping[str, Planned], new: Mapping[str, Planned]) -> "Changes":
        """Return what leads from one plan to another."""
        return cls(
            tuple(name for name in new if name not in old),
            tuple(name for name in new if name in old and new[name].about != old[name].about),
            tuple(name for name in old if name not in new),
        )


@dataclass(slots=True)
class WatchedFile:
    """Tells when a file has changed, and has not gone on changing since it was looked at last."""

    path: Path
    _known: tuple[int, ...] | None = None
    _seen: tuple[int, ...] | None = None

    def is_known(self) -> None:
        """Take it that the file is read as it is now."""
        self._known = self._seen = self._mark()

    def has_changed(self) -> bool:
        """Tell whether it is another one than that which was read, twice in a row the same."""
        seen, self._seen = self._seen, self._mark()
        return self._seen != self._known and self._seen == seen

    def _mark(self) -> tuple[int, ...] | None:
        try:
            facts = self.path.stat()
        except OSError:
            return None
        return facts.st_mtime_ns, facts.st_size, facts.st_ino, facts.st_mode


@dataclass(slots=True)
class Service:
    """One hub's service."""

    folder: Path
    log: ServiceLog
    open_machine: Callable[[], AppletMachine]
    """A function that another process can find by its name."""
    proofs: "BillProofs"
    version: str = ""
    now: Callable[[], int] = lambda: int(time.time())
    notify: Callable[[str], object] = notify
    _machine: SharedMachine = field(init=False)
    _settings: ServiceSettings = field(init=False)
    _plan: dict[str, Planned] = field(default_factory=dict, init=False)
    _parts: dict[str, Part] = field(default_factory=dict, init=False)
    _file: WatchedFile = field(init=False)
    _began: int = field(default=0, init=False)
    _loaded: int = field(default=0, init=False)
    _refused: dict[str, Any] | None = field(default=None, init=False)
    _wake: threading.Event = field(default_factory=threading.Event, init=False)
    _is_stopping: bool = field(default=False, init=False)
    _is_asked: bool = field(default=False, init=False)
    _again: float | None = field(default=None, init=False)
    """When a file that may be fine is read again, by a clock that never goes back."""

    def __post_init__(self) -> None:
        self._machine = SharedMachine(self.open_machine)
        self._file = WatchedFile(self.folder / FILE)

    def stop(self) -> None:
        """Ask the service to end; may be called by a signal's handler."""
        self._is_stopping = True
        self._wake.set()

    def reload(self) -> None:
        """Ask the service to read hub.toml again; may be called by a signal's handler."""
        self._is_asked = True
        self._wake.set()

    def check(self) -> ServiceSettings:
        """Return what hub.toml says, and open the hub with it; raises what is wrong."""
        settings = ServiceSettings.load(self.folder)
        with self._open(settings):
            return settings

    def run(self) -> bool:
        """Run until it is asked to end; return whether all parts have ended then.

        Raises `ServiceRunning`, `ConfigurationRefused`, and as `Device.open`.
        """
        with held(self.folder):
            self._file.is_known()
            settings = self.check()
            self._began = self.now()
            self.log.tell(Event.STARTED, process=os.getpid(), version=self.version)
            control = SupervisedPart(
                "control", PartKind.CONTROL, ControlWork(self.folder, self.status), self.log
            )
            try:
                self._adopt(settings)
                control.start()
                self.notify("READY=1")
                self._watch()
            finally:
                self.log.tell(Event.STOPPING)
                self.notify("STOPPING=1")
                left = self._end([*self._parts.values(), control])
            self.log.tell(
                Event.STOPPED,
                level=Level.ERROR if left else Level.INFO,
                parts=", ".join(left) or None,
            )
            return not left

    def _watch(self) -> None:
        while not self._is_stopping:
            self._wake.wait(LOOK_SECONDS)
            self._wake.clear()
            self.look()

    def look(self) -> None:
        """Read hub.toml again, if that was asked for or the file has changed."""
        asked, self._is_asked = self._is_asked, False
        again = self._again is not None and time.monotonic() >= self._again
        if self._is_stopping or not (self._file.has_changed() or asked or again):
            return
        self._file.is_known()
        self._again = None
        self.notify("RELOADING=1")
        try:
            settings = self.check()
        except (HubError, OSError) as error:
            self._refuse(error)
        else:
            self._adopt(settings)
        self.notify("READY=1")

    def _refuse(self, error: HubError | OSError) -> None:
        """Keep the configuration in force, and say what is wrong with the other one."""
        facts: dict[str, Any] = {"code": code_of(error)}
        if isinstance(error, ConfigurationRefused):
            # It names a line and a key, and repeats no value: it may be told.
            facts |= {"line": error.line or None, "key": error.key or None, "reason": error.reason}
        else:  # such as a database that is busy: it may pass
            self._again = time.monotonic() + AGAIN_SECONDS
        self.log.tell(Event.REFUSED, level=Level.ERROR, **facts)
        self._refused = {"time": utc_text(self.now()), "message": str(error)}

    def _adopt(self, settings: ServiceSettings) -> None:
        """Let the parts be those of a configuration that was checked."""
        plan = self._planned(settings)
        changes = Changes.between(self._plan, plan)
        left = self._end([self._parts.pop(name) for name in (*changes.stopped, *changes.changed)])
        for name in left:
            self.log.tell(Event.PART, level=Level.ERROR, part=name, state="left", code="no-end")
        self._settings, self._plan = settings, plan
        self._loaded, self._refused = self.now(), None
        self.log.tell(
            Event.ACCEPTED,
            started=", ".join(changes.started) or None,
            changed=", ".join(changes.changed) or None,
            stopped=", ".join(changes.stopped) or None,
        )
        for name in (*changes.started, *changes.changed):
            planned = plan[name]
            part = SupervisedPart(name, planned.kind, planned.work(), self.log)
            self._parts[name] = part
            part.start()

    def _planned(self, settings: ServiceSettings) -> dict[str, Planned]:
        """Return the parts of a configuration, by their names."""
        opened, description = partial(self._open, settings), settings.description
        plan = {}
        for source in settings.sources:
            plan[f"source {source.name}"] = Planned(
                PartKind.SOURCE, (source, description), partial(SourceWork, source, opened)
            )
        for recipient in settings.recipients:
            plan[f"recipient {recipient.name}"] = Planned(
                PartKind.RECIPIENT,
                (recipient, description),
                partial(RecipientWork, recipient, self.folder, opened, self._machine, self.now),
            )
        if (serve := settings.serve) is not None:
            plan["serve"] = Planned(
                PartKind.SERVE,
                (serve, description),
                partial(ServeWork, serve, opened, self._machine),
            )
        if (pages := settings.pages) is not None:
            plan["pages"] = Planned(
                PartKind.PAGES,
                (pages, description),
                partial(
                    PagesWork,
                    pages,
                    self.folder,
                    description,
                    self.open_machine,
                    self.proofs,
                    self.now,
                ),
            )
        if (health := settings.health) is not None:
            plan["health"] = Planned(
                PartKind.HEALTH, health, partial(HealthWork, health, self.watched)
            )
        return plan

    def _open(self, settings: ServiceSettings) -> Device:
        """Open the hub with a description that was checked, whatever hub.toml says by now."""
        return Device.open(self.folder, now=self.now, description=settings.description)

    def _end(self, parts: list[Part]) -> list[str]:
        """End parts; return the names of those that have not within the time."""
        for part in parts:
            part.stop()
        deadline = time.monotonic() + GOODBYE_SECONDS
        return [one.name for one in parts if not one.join(max(0.0, deadline - time.monotonic()))]

    def watched(self) -> list[PartStatus]:
        """Return how the parts are, but for the one by which that is asked."""
        return [one.status() for name, one in list(self._parts.items()) if name != "health"]

    def status(self) -> dict[str, Any]:
        """Return how the service is, as its owner is told."""
        return {
            "process": os.getpid(),
            "version": self.version,
            "since": utc_text(self._began),
            "configuration": {
                "accepted": utc_text(self._loaded),
                "refused": self._refused,
            },
            "description": self._settings.description.to_toml(),
            "parts": [_facts(one.status()) for one in list(self._parts.values())],
        }


def _facts(one: PartStatus) -> dict[str, Any]:
    return {
        "name": one.name,
        "kind": str(one.kind),
        "state": str(one.state),
        "since": utc_text(one.since),
        "broken": one.broken,
        "code": one.code,
        "reason": one.reason,
        "facts": dict(one.facts),
    }
