# SPDX-License-Identifier: Apache-2.0
"""A source of the service: a meter's line, read for as long as the service runs.

What comes goes the way of `meterlet hub ingest` (`hub.doors`, `hub.intake`). A line that breaks is
opened again. Where another process gives the hub a new key, the hub is opened with it, and what had
just come is taken once more.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

from hub.device import Device
from hub.doors import DoorOptions, ListeningDoor
from hub.intake import Intake, stored_keys
from hub.meters.kinds import MeterKeys
from hub.meters.line_text import LineText
from hub.meters.odd import OddTelegram
from hub.meters.sources import SourceOptions, open_meter_source
from hub.service.configuration import SourceSettings
from hub.service.part import Life, run_async
from hub.text import utc_text
from hub.vault.secret_file import SecretFileError, read_secret
from hub.vault.vault import KeyReplaced
from sml_codec.sources import Interruption, Retry

FIRST_RETRY: Final = 1.0
LONGEST_RETRY: Final = 60.0


@dataclass(slots=True)
class SourceWork:
    """Reads one source."""

    settings: SourceSettings
    open_device: Callable[[], Device]

    def __call__(self, life: Life) -> None:
        """Read until the life is to end; raises what breaks it."""
        life.keep(address=self.settings.shown_address)
        with _Reading(self, life) as reading:
            run_async(reading.run, life)


@dataclass(slots=True)
class _Reading:
    """One run of it: the hub, opened, and the line."""

    work: SourceWork
    life: Life
    home: Device = field(init=False)
    intake: Intake = field(init=False)
    meters: Sequence[Device] = field(init=False)
    """Those that are read here."""
    keys: MeterKeys = field(init=False, repr=False)
    text: LineText = field(init=False)
    stored_before: int = 0
    """By intakes with former keys."""

    def __post_init__(self) -> None:
        self.text = LineText(self.work.settings.kind)
        self._open()

    def __enter__(self) -> "_Reading":
        return self

    def __exit__(self, *_: object) -> None:
        self.home.close()

    def _open(self) -> None:
        """Open the hub, with the keys that it has now, and certify what ended meanwhile."""
        settings, self.home = self.work.settings, self.work.open_device()
        try:
            device = self.home if settings.of is None else self.home.meters[settings.of]
            self.meters = self.home.every_meter if settings.of is None else (device,)
            self.keys = stored_keys(device, self.home)
            options = DoorOptions(
                is_live=True,
                every_seconds=settings.every_seconds,
                keys=self.keys,
                kind=settings.kind,
            )
            door = ListeningDoor(device, self.meters, options)
            self.intake = Intake(self.home, door, hear=self._hear)
            self.life.days_certified(self.intake.certify())
        except BaseException:
            self.home.close()
            raise

    def _hear(self, odd: OddTelegram) -> None:
        self.life.set_aside(odd.kind.value)

    async def run(self, stop: asyncio.Event) -> None:
        """Take what comes until `stop` is set, or the line ends for good."""
        settings = self.work.settings
        options = SourceOptions(
            self._login(),
            Retry(FIRST_RETRY, LONGEST_RETRY, from_start=True, heard=self._interrupted),
            settings.kind,
            self.keys.for_mbus(),
            self._notice,
            meters=self._mounted,
        )
        pieces = open_meter_source(settings.address, options)
        try:
            await self._take_all(pieces, stop)
        finally:
            with suppress(OSError):
                await _closed(pieces)
        self.life.days_certified(self.intake.certify())

    async def _take_all(self, pieces: AsyncIterator[bytes], stop: asyncio.Event) -> None:
        stopping, silence = asyncio.ensure_future(stop.wait()), self.work.settings.silent_after
        coming: asyncio.Future[bytes | None] | None = None
        try:
            while True:
                if coming is None:
                    coming = asyncio.ensure_future(anext(pieces, None))
                either: set[asyncio.Future[Any]] = {coming, stopping}
                done, _ = await asyncio.wait(
                    either, timeout=silence, return_when=asyncio.FIRST_COMPLETED
                )
                if coming in done:
                    piece, coming = coming.result(), None
                    if piece is None:
                        self.intake.finish()
                        return
                    self._take(piece)
                elif stopping in done:
                    return
                else:
                    self.life.waiting("silent", f"nothing came for {silence} s")
        finally:
            stopping.cancel()
            if coming is not None:
                coming.cancel()
                await asyncio.wait({coming})

    def _take(self, piece: bytes) -> None:
        """Take a piece; raises as `Intake.take`."""
        self.life.up()
        data = self.text.feed(piece)
        if not data:
            return
        days = self.intake.days
        try:
            self.intake.take(data)
        except KeyReplaced:  # what was open is of a former key, and wrote nothing
            self.stored_before += self.intake.stored
            self.home.close()
            self._open()
            days = self.intake.days
            self.intake.take(data)
        self.life.days_certified(self.intake.days - days)
        self.life.keep(
            stored=self.stored_before + self.intake.stored,
            set_aside=self.intake.set_aside,
            last_heard=utc_text(self.home.now()),
        )

    def _login(self) -> str | None:
        path = self.work.settings.login_file
        if path is None:
            return None
        try:
            login = read_secret(path).decode().strip()
        except UnicodeDecodeError:
            login = ""
        if ":" not in login:
            raise SecretFileError(f"{path}: not user:password")
        return login

    def _mounted(self) -> list[bytes]:
        return [one.mounted_meter for one in self.meters]

    def _interrupted(self, interruption: Interruption) -> None:
        self.life.waiting("interrupted", interruption.reason, interruption.delay)

    def _notice(self, notice: str) -> None:
        self.life.keep(notice=notice)


async def _closed(pieces: AsyncIterator[bytes]) -> None:
    close = getattr(pieces, "aclose", None)
    if close is not None:
        await close()
