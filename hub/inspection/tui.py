# SPDX-License-Identifier: Apache-2.0
"""Now, readings and releases in a terminal, for machines without a browser.

The same views as everywhere. The hub is opened for each look at it and closed after, so that
nothing waits for an open screen.
"""

import sqlite3
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import date, timedelta
from typing import Any, ClassVar, Final

from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import BindingType
from textual.widgets import DataTable, Footer, Header, Static, TabbedContent, TabPane

from hub.device import Device
from hub.disclosure import LogEntry
from hub.inspection.errors import SHOWN_ERRORS
from hub.inspection.locales.catalogue import Catalogue
from hub.inspection.locales.learning import learned_in_words
from hub.inspection.locales.reasons import error_in_words, reason_in_words
from hub.inspection.store import open_inspection
from hub.inspection.views.bucket import UseBucket
from hub.inspection.views.bucket_cache import BucketCache
from hub.inspection.views.calendar import By, calendar_period
from hub.inspection.views.documents import TariffBook, tariff_book
from hub.inspection.views.door import door_view
from hub.inspection.views.live import newest_day, power_now, today
from hub.inspection.views.meters import meter_called
from hub.inspection.views.readings import ReadingsView, readings_view
from hub.inspection.views.releases import (
    ReleasesView,
    decode_message,
    outgoing_message,
    releases_view,
)
from hub.text import printable

CUT: Final = {By.DAY: By.HOUR, By.WEEK: By.DAY, By.MONTH: By.DAY, By.YEAR: By.MONTH}
"""How finely a day, week, month and year are shown."""
BAR: Final = 20
REFRESH_SECONDS: Final = 30
BYTES_SHOWN: Final = 512
REFUSALS: Final = 5
"""So many of the last refusals are shown."""


class InspectionTui(App[None]):
    """The application; quits with `q`."""

    CSS = """
    #now, #knowledge, #message { padding: 1 2; height: auto; }
    DataTable { height: 1fr; }
    """
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = []

    def __init__(
        self, open_device: Callable[[], AbstractContextManager[Device]], words: Catalogue
    ) -> None:
        """Show the hub that `open_device` opens, in the language of `words`."""
        super().__init__()
        self._open_device, self._words = open_device, words
        self._scale, self._day = By.DAY, date(1970, 1, 1)
        self._view: ReadingsView | None = None
        self._releases: ReleasesView | None = None
        self._meters, self._meter = [""], ""
        """The names of the hub's meters, and of the one that is shown."""

    def compose(self) -> ComposeResult:
        """Lay out the three pages."""
        say = self._words.t
        yield Header()
        with TabbedContent():
            with TabPane(say("tui.now"), id="page-now"):
                yield Static(id="now")
            with TabPane(say("tui.readings"), id="page-readings"):
                yield Static(id="period")
                yield DataTable(id="readings", cursor_type="row")
            with TabPane(say("tui.releases"), id="page-releases"):
                yield Static(id="knowledge")
                yield DataTable(id="releases", cursor_type="row")
                yield Static(id="message")
        yield Footer()

    def on_mount(self) -> None:
        """Fill the pages, and again from time to time."""
        say = self._words.t
        self.title = say("tui.title")
        for key, action, text in (
            ("d", "scale('day')", say("tui.day")),
            ("w", "scale('week')", say("tui.week")),
            ("m", "scale('month')", say("tui.month_key")),
            ("y", "scale('year')", say("tui.year")),
            ("b", "step(-1)", say("tui.earlier")),
            ("n", "step(1)", say("tui.later")),
            ("r", "reload", say("tui.reload")),
            ("q", "quit", say("tui.quit")),
        ):
            self.bind(key, action, description=text)
        with self._open_device() as device:
            self._meters = [one.name for one in device.every_meter]
            self._words = self._words.for_meter(device.description)
            self._day = newest_day(device)
        if len(self._meters) > 1:
            self.bind("e", "next_meter", description=say("tui.next_meter"))
        names: tuple[str, ...] = ("from", "energy", "share", "peak", "state", "cost")
        self._table("readings").add_columns(*(say(f"tui.{name}") for name in names))
        names = ("time", "recipient", "purpose", "bits", "bytes")
        self._table("releases").add_columns(*(say(f"tui.{name}") for name in names))
        self.action_reload()
        self.set_interval(REFRESH_SECONDS, self.action_reload)

    def action_reload(self) -> None:
        """Look at the hub again; what keeps from it is told, and the last look stays."""
        try:
            self._look()
        except (*SHOWN_ERRORS, sqlite3.Error) as error:
            self.notify(printable(error_in_words(error, self._words)), severity="error")

    def _look(self) -> None:
        with self._open_device() as hub, open_inspection(hub) as database:
            device = meter_called(hub, self._meter)
            self._words = self._words.for_meter(device.description)
            kept, book = BucketCache.of(device, database), tariff_book(device)
            period = calendar_period(self._scale, self._day)
            self._view = readings_view(device, period, CUT[self._scale], book, kept)
            self._releases = releases_view(hub)
            self._static("now").update(self._now(device, book, kept))
        self._show_readings(self._view)
        self._show_releases(self._releases)

    def action_next_meter(self) -> None:
        """Show the next one of the hub's meters."""
        place = self._meters.index(self._meter) + 1
        self._meter = self._meters[place % len(self._meters)]
        self.action_reload()

    def action_scale(self, scale: str) -> None:
        """Show the day, week, month or year that the shown period begins with."""
        self._scale = By(scale)
        self.action_reload()

    def action_step(self, steps: int) -> None:
        """Show the period before or after."""
        period = calendar_period(self._scale, self._day)
        edge = period.first if steps < 0 else period.last
        self._day = calendar_period(self._scale, edge + timedelta(days=steps)).first
        self.action_reload()

    def on_data_table_row_highlighted(self, event: DataTable.RowHighlighted) -> None:
        """Show the message of the release under the cursor."""
        if event.data_table.id == "releases" and self._releases is not None:
            self._static("message").update(self._message(self._releases, event.cursor_row))

    # Now

    def _now(self, device: Device, book: TariffBook, kept: BucketCache) -> Text:
        words = self._words
        power, span = power_now(device), device.main.journal.span()
        watts = words.t("tui.no_power")
        if power is not None:
            watts = words.t(
                "tui.power_value",
                watts=words.power(power.watts),
                within=words.power(power.within_watts),
                time=words.moment(power.end),
            )
        lines = [(words.t(f"tui.{words.flow_key}"), watts)]
        if len(self._meters) > 1:
            name = words.meter(device.name, device.description.medium)
            lines.insert(0, (words.t("tui.meter"), name))
        day = today(device)
        for name, scale in (("tui.today", By.DAY), ("tui.month", By.MONTH)):
            total = readings_view(device, calendar_period(scale, day), scale, book, kept).total
            used = words.t(
                "tui.used", energy=words.energy(total.energy_wh), cost=words.money(total.cost)
            )
            lines.append((words.t(name), used))
        days = words.t("tui.no_days")
        if span is not None:
            days = f"{words.day(span[0])} – {words.day(span[1])}"
        lines.append((words.t("tui.days"), days))
        lines.append((words.t("tui.last_release"), self._last_release()))
        waiting = door_view(device).set_aside
        aside = words.n("tui.set_aside_value", waiting) if waiting else words.t("tui.none_aside")
        lines.append((words.t("tui.set_aside"), aside))
        width = max(len(name) for name, _ in lines) + 2
        return Text("\n".join(f"{name:{width}}{value}" for name, value in lines))

    def _last_release(self) -> str:
        if self._releases is None or self._releases.last is None:
            return self._words.t("tui.nothing_left")
        last = self._releases.last
        return self._words.t(
            "tui.last_release_value",
            time=self._words.moment(last.time),
            recipient=printable(last.recipient),
            purpose=printable(last.purpose),
        )

    # Readings

    def _show_readings(self, view: ReadingsView) -> None:
        words = self._words
        period = f"{words.day(view.period.first)} – {words.day(view.period.last)}, {view.clock.key}"
        if len(self._meters) > 1:
            period = f"{words.meter(view.meter, view.medium)}: {period}"
        total = f"{words.t('tui.total')} {words.energy(view.total.energy_wh)}"
        self._static("period").update(Text(f"{period}\n{total}, {words.money(view.total.cost)}"))
        most = max((bucket.energy_wh or 0 for bucket in view.buckets), default=0)
        table = self._table("readings")
        table.clear()
        for bucket in view.buckets:
            table.add_row(*map(Text, self._row(bucket, view.by, most)))

    def _row(self, bucket: UseBucket, by: By, most: int) -> list[str]:
        words = self._words
        bar = "█" * (BAR * (bucket.energy_wh or 0) // most) if most else ""
        return [
            words.clock(bucket.begin) if by is By.HOUR else words.day_of(bucket.begin),
            words.energy(bucket.energy_wh),
            bar,
            "" if bucket.peak is None else words.power(bucket.peak.watts),
            self._state(bucket),
            words.money(bucket.cost or bucket.energy_cost),
        ]

    def _state(self, bucket: UseBucket) -> str:
        words, states = self._words, bucket.states
        if not states.known and not states.missing:
            return words.t("tui.no_readings")
        parts = [
            f"{words.number(count)} {words.t(f'states.{name}')}"
            for name in ("estimated", "substituted")
            if (count := getattr(states, name))
        ]
        if states.missing:
            parts.append(words.n("tui.missing", states.missing))
        if bucket.is_provisional:
            parts.append(words.t("tui.provisional"))
        return ", ".join(parts) or words.t("tui.all_measured")

    # Releases

    def _show_releases(self, view: ReleasesView) -> None:
        words, table = self._words, self._table("releases")
        learned = [*view.known.values(), *([view.together] if len(view.known) > 1 else [])]
        lines = [printable(learned_in_words(one, words)) for one in learned]
        lines = lines or [words.t("tui.nothing_left")]
        lines += [self._refusal(entry) for entry in view.refusals[: -REFUSALS - 1 : -1]]
        self._static("knowledge").update(Text("\n".join(lines)))
        table.clear()
        for record in view.releases:
            cells = (
                words.moment(record.release.time),
                printable(record.release.recipient),
                printable(record.release.purpose),
                words.number(record.release.bits),
                words.number(record.size),
            )
            table.add_row(*map(Text, cells))
        if not view.releases:
            self._static("message").update("")

    def _refusal(self, entry: LogEntry) -> str:
        words, facts = self._words, entry.facts
        return words.t(
            "tui.refused",
            time=words.moment(entry.time),
            recipient=printable(facts["recipient"]),
            purpose=printable(facts["purpose"]),
            why=printable(reason_in_words(facts["why"], words)),
        )

    def _message(self, view: ReleasesView, row: int) -> Text:
        message = view.releases[row].message if row < len(view.releases) else None
        if message is None:
            return Text("")
        with self._open_device() as device:
            _, content = outgoing_message(device, message.sequence)
        lines = [printable(f"{line.name:24}{line.value}") for line in decode_message(content)[:8]]
        more = "…" if len(content) > BYTES_SHOWN else ""
        return Text("\n".join([*lines, content[:BYTES_SHOWN].hex() + more]))

    def _static(self, name: str) -> Static:
        return self.query_one(f"#{name}", Static)

    def _table(self, name: str) -> "DataTable[Any]":
        return self.query_one(f"#{name}", DataTable)
