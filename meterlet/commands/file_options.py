# SPDX-License-Identifier: Apache-2.0
"""The options by which every command that takes a file of readings is told how it is written."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import rich_click as click

from hub.meters.files.cells import EnergyUnit
from hub.meters.files.opened import (
    FileForm,
    FileReport,
    Label,
)
from hub.meters.files.recognise import FORMATS
from hub.meters.fuse import DEFAULT_FUSE, LARGEST_AMPERES, Fuse, Limit
from hub.meters.replay import CsvReplay, parse_interval, parse_zone
from hub.text import utc_text
from protocols.canonical.day_zone import wall_zone
from protocols.metrology import Medium

if TYPE_CHECKING:
    from hub.meters.recognition import MeterKind

SEPARATORS: Final = {"comma": ",", "semicolon": ";", "tab": "\t", "bar": "|"}
DECIMALS: Final = {"point": ".", "comma": ","}
GAPS_SHOWN: Final = 5
FILES_OF_READINGS: Final = tuple(
    f".{kind}{packed}" for kind in ("csv", "tsv", "xml") for packed in ("", ".gz")
)


@dataclass(frozen=True, slots=True)
class FileChoice:
    """What the options say of a file of readings."""

    columns: tuple[str, ...]
    feed_in_columns: tuple[str, ...]
    unit: EnergyUnit | None
    interval: str | None
    zone: str | None
    suspect_column: str | None
    form: FileForm
    amperes: int | None = None
    phases: int | None = None

    def replay(
        self,
        path: Path,
        columns: dict[bytes, tuple[str, ...]],
        local_zone: str,
        optional: frozenset[bytes] = frozenset(),
        *,
        fuse: Limit = DEFAULT_FUSE,
        medium: Medium = Medium.ELECTRICITY,
    ) -> CsvReplay:
        """Return what reads a file; `local_zone` is whose clock the home has, `fuse` its fuse."""
        if isinstance(fuse, Fuse):
            fuse = Fuse(self.amperes or fuse.amperes, self.phases or fuse.phases)
        elif self.amperes is not None:
            raise click.UsageError(f"--fuse: a meter of {medium} has none")
        if self.unit is not None and self.unit.is_volume is not medium.counts_volume:
            raise click.UsageError(f"--unit: the meter counts {medium.shown_unit}")
        form = replace(self.form, fuse=fuse, medium=medium)
        if self.zone is None:
            form = replace(form, local_zone=wall_zone(local_zone))
        zone = parse_zone(self.zone or "UTC")
        interval = None if self.interval is None else parse_interval(self.interval)
        return CsvReplay(
            path, columns, self.unit, interval, zone, self.suspect_column,
            form=form, optional=optional,
        )  # fmt: skip

    def takes(self, source: str, kind: "MeterKind | None" = None) -> bool:
        """Tell whether a source is a file of readings, not one of telegrams of some kind."""
        if "://" in source or source in ("-", "synthetic"):
            return False
        if self.form.format is not None or self.columns:
            return True
        if kind is not None or not source.lower().endswith(FILES_OF_READINGS):
            return False
        return not _is_of_a_display(Path(source))


def _is_of_a_display(path: Path) -> bool:
    """Tell whether a file is what a display of Current Cost has sent, which is XML, too."""
    from hub.meters.recognition import CURRENT_COST, LOOKED_AT

    try:
        with path.open("rb") as file:
            head = file.read(LOOKED_AT)
    except OSError:
        return False  # whoever reads it says why not
    return any(sign in head for sign in CURRENT_COST)


def file_options(
    prefix: str = "",
    *,
    fed_in: str | None = "--feed-in-column",
    names: str = "NAME",
    column_help: str = "column of the energy drawn; several are added.",
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Let a command be told how a file of readings is written: it gets `choice`, a `FileChoice`.

    `prefix` stands before each help text, `fed_in` is what the option for energy fed in is called,
    None where there is none.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @wraps(command)
        def run(*arguments: Any, **options: Any) -> None:
            command(*arguments, choice=_choice(options), **options)

        wrapped: Callable[..., None] = run
        for option in reversed(_options(prefix, fed_in, names, column_help)):
            wrapped = option(wrapped)
        return wrapped

    return decorate


def _options(
    prefix: str, fed_in: str | None, names: str, column_help: str
) -> list[Callable[[Any], Any]]:
    returned = [] if fed_in is None else [
        click.option(
            fed_in, "feed_in_columns", multiple=True, metavar="NAME",
            help=f"{prefix}column of the energy fed in; several are added.",
        ),
    ]  # fmt: skip
    return [
        click.option(
            "--format", "file_format", type=click.Choice(FORMATS),
            help=f"{prefix}what wrote the file; by default recognised.",
        ),
        click.option(
            "--column", "columns", multiple=True, metavar=names,
            help=f"{prefix}{column_help}",
        ),
        *returned,
        click.option(
            "--unit", type=click.Choice([unit.value for unit in EnergyUnit]),
            help=f"{prefix}what a cell counts; by default as the column's name says, or kWh.",
        ),
        click.option(
            "--interval", metavar="TIME",
            help=f"{prefix}what a row covers: 15min, 1h, 300s; by default as rows are apart.",
        ),
        click.option(
            "--zone", metavar="NAME",
            help=f"{prefix}clock of times without an offset (IANA name); by default UTC.",
        ),
        click.option("--suspect-column", help=f"{prefix}a column whose 1 marks a row as a gap."),
        click.option(
            "--separator", type=click.Choice(list(SEPARATORS)), help=f"{prefix}between cells."
        ),
        click.option(
            "--decimal", type=click.Choice(list(DECIMALS)), help=f"{prefix}mark of decimals."
        ),
        click.option(
            "--time-column", "time_columns", multiple=True, metavar="NAME",
            help=f"{prefix}column of the times; twice for day and time.",
        ),
        click.option(
            "--time-format", metavar="FORM",
            help=f"{prefix}as '%d/%m/%Y %H:%M', '%I:%M %p', or epoch, epoch-ms.",
        ),
        click.option(
            "--label", type=click.Choice([label.value for label in Label]),
            help=f"{prefix}what a row's time is of its interval.",
        ),
        click.option(
            "--cumulative/--no-cumulative", default=None,
            help=f"{prefix}whether cells are what a register shows, not use.",
        ),
        click.option(
            "--skip", type=click.IntRange(0, 1000), help=f"{prefix}lines above the header."
        ),
        click.option(
            "--fuse", type=click.IntRange(1, LARGEST_AMPERES),
            show_default=f"the hub's, or {DEFAULT_FUSE.amperes}",
            help=f"{prefix}amperes of the connection; more is not believed.",
        ),
        click.option(
            "--phases", type=click.IntRange(1, 3),
            show_default=f"the hub's, or {DEFAULT_FUSE.phases}",
            help=f"{prefix}phases of the connection.",
        ),
    ]  # fmt: skip


def _choice(options: dict[str, Any]) -> FileChoice:
    """Take the options of a file out of those of a command."""
    unit, interval, label = (options.pop(name) for name in ("unit", "interval", "label"))
    separator, decimal = options.pop("separator"), options.pop("decimal")
    return FileChoice(
        columns=options.pop("columns"),
        feed_in_columns=options.pop("feed_in_columns", ()),
        unit=None if unit is None else EnergyUnit(unit),
        interval=interval,
        zone=options.pop("zone"),
        suspect_column=options.pop("suspect_column"),
        form=FileForm(
            format=options.pop("file_format"),
            separator=None if separator is None else SEPARATORS[separator],
            decimal=None if decimal is None else DECIMALS[decimal],
            time_columns=options.pop("time_columns"),
            time_format=options.pop("time_format"),
            label=None if label is None else Label(label),
            cumulative=options.pop("cumulative"),
            skip=options.pop("skip"),
        ),
        amperes=options.pop("fuse"),
        phases=options.pop("phases"),
    )


def say_report(source: str, report: FileReport) -> None:
    """Tell on stderr what was recognised in a file and what was left out of it."""
    for line in report.lines():
        click.echo(f"meterlet: {source}: {line}", err=True)


def gap_facts(report: FileReport) -> list[dict[str, object]]:
    """Return a file's gaps, as the JSON outputs show them."""
    return [
        {"from": utc_text(begin), "until": utc_text(end), "seconds": end - begin}
        for begin, end in report.gaps
    ]


def say_gaps(source: str, report: FileReport) -> None:
    """Tell on stderr where a file has no readings."""
    for begin, end in report.gaps[:GAPS_SHOWN]:
        click.echo(
            f"meterlet: {source}: no readings from {utc_text(begin)} to {utc_text(end)}", err=True
        )
    if len(report.gaps) > GAPS_SHOWN:
        click.echo(f"meterlet: {source}: and {len(report.gaps) - GAPS_SHOWN} more gaps", err=True)
