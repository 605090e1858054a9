# SPDX-License-Identifier: Apache-2.0
"""The part that dials a recipient, as `meterlet hub dial` does."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from hub.device import Device
from hub.dialling.dialled_hub import DialledHub
from hub.dialling.events import DialEvent, Kind
from hub.dialling.recipient import find_recipient
from hub.machine.machine import AppletMachine
from hub.service.configuration import RecipientSettings
from hub.service.part import Life
from hub.text import utc_text


class RecipientWork:
    """Dials one recipient."""

    def __init__(
        self,
        settings: RecipientSettings,
        folder: Path,
        open_device: Callable[[], Device],
        open_machine: Callable[[], AppletMachine],
        now: Callable[[], int],
    ) -> None:
        self._settings, self._folder, self._now = settings, folder, now
        self._open_device, self._open_machine = open_device, open_machine
        self._sessions = self._woken = 0

    def __call__(self, life: Life) -> None:
        """Dial until the life is to end; raise `RecipientError` where there is no certificate."""
        settings = self._settings
        life.keep(address=settings.url)
        hub = DialledHub(
            self._open_device,
            self._open_machine,
            find_recipient(self._folder, settings.name, settings.url),
            lambda home: home if settings.of is None else home.meters[settings.of],
            partial(self._tell, life),
            settings.poll_seconds,
            settings.broker,
        )
        life.when_stopping(hub.interrupt)
        hub.run(life.stopping)

    def _tell(self, life: Life, event: DialEvent) -> None:
        """Take in what has happened: a session that fails is tried again by the dialler."""
        why = str(event.facts.get("why", ""))
        match event.kind:
            case Kind.FAILED if not life.stopping.is_set():
                code = "tls-refused" if event.facts.get("is_security") else "session-failed"
                life.waiting(code, why, float(event.facts.get("next_seconds", 0)))
            case Kind.RETRYING | Kind.NOT_RENEWED:
                life.keep(notice=why)
            case Kind.ENDED:
                self._sessions += 1
                life.up()
                life.keep(sessions=self._sessions, last_session=utc_text(self._now()), notice=None)
            case Kind.RENEWED:
                life.keep(certificate_renewed=utc_text(self._now()))
            case Kind.CONNECTED:
                life.up()
            case Kind.WAKE_UP:
                life.keep(wake="up", wake_notice=None)
            case Kind.WAKE_DOWN:  # nothing but latency: the part is as well as it was
                life.keep(wake="down", wake_notice=why)
            case Kind.WAKE_ODD:
                life.keep(wake_notice=f"ignored: {why}")
                life.set_aside("wake-up")
            case Kind.WOKEN:
                self._woken += 1
                life.keep(woken=self._woken)
