# SPDX-License-Identifier: Apache-2.0
"""What is asked of a file of readings, and what a reader of one hands back."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from hub.meters.files.cells import EnergyUnit, about_sign, parse_decimal
from hub.meters.files.errors import ReplayError, wrong_file, wrong_line
from hub.meters.files.moments import DAY_FIRST, SeenClock, TimeReader
from hub.meters.fuse import DEFAULT_FUSE, Limit
from hub.text import counted
from protocols.metrology import Medium

MOST_ROWS: Final = 1 << 23
OTHER_SECONDS: Final = 900
"""What a row covers where a file of one row does not tell."""
_DRAWN, _FED_IN = 1, 2
_WHOLE: Final = bytes((8, 0))


class Label(Enum):
    """What a row's time is of its interval."""

    START = "start"
    END = "end"


@dataclass(frozen=True, slots=True)
class FileForm:
    """How a file is written, as far as its user says; None is for the reader to find out."""

    format: str | None = None
    separator: str | None = None
    decimal: str | None = None
    time_columns: tuple[str, ...] = ()
    time_format: str | None = None
    label: Label | None = None
    cumulative: bool | None = None
    skip: int | None = None
    fuse: Limit = DEFAULT_FUSE
    """What does not flow through it is no use of an interval."""
    medium: Medium = Medium.ELECTRICITY
    """What the meter counts."""
    local_zone: ZoneInfo | None = None
    """The home's clock, where no clock was said for times without an offset: formats with a name
    write local times."""


@dataclass(slots=True)
class FileReport:
    """What a reader found out and what it did not take; filled while the file is read."""

    format: str = "csv"
    notes: list[str] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    """Rows that are no readings of the registers asked for, by what they are."""
    rounded: int = 0
    rows: int = 0
    cumulative: bool = False
    """Whether it holds what registers showed, not the use of intervals."""
    gaps: list[tuple[int, int]] = field(default_factory=list)
    """From when to when nothing is known, within the file."""
    clock: SeenClock = field(default_factory=SeenClock)
    """What the file's times say of their clock."""
    missing_seconds: int = 0
    """How long it is between rows that are further apart than others, together."""

    def lines(self) -> Iterator[str]:
        """Yield what a user is told."""
        yield from self.notes
        yield from self.clock.lines()
        if self.rounded:
            yield (
                f"{counted(self.rounded, 'value')} {'has' if self.rounded == 1 else 'have'} more"
                " than 12 decimals and were rounded; registers count whole watt-hours"
            )
        for what, count in self.left_out.items():
            yield f"{counted(count, 'row')} left out: {what}"

    def as_json(self) -> dict[str, object]:
        """Return the same for JSON."""
        return {
            "format": self.format,
            "rows": self.rows,
            "notes": [*self.notes, *self.clock.lines()],
            "rounded": self.rounded,
            "left_out": dict(self.left_out),
        }


class FileRow(NamedTuple):
    """An interval's energies, or what registers show at a moment, in the order asked for."""

    line: int
    begin: int
    end: int
    """The same as `begin` where registers are shown."""
    values: tuple[Fraction | None, ...]
    """In watt-hours; None where it is not known."""


@dataclass(frozen=True, slots=True)
class OpenedFile:
    """What a file holds."""

    registers: tuple[bytes, ...]
    """By OBIS code, in the order of each row's values."""
    seconds: int
    """Of an interval; of registers, how far apart they are shown."""
    cumulative: bool
    rows: Iterable[FileRow]
    on_change: bool = False
    """Whether a register is told only when it changes, so that it stands until then."""


@dataclass(frozen=True, slots=True)
class FileRequest:
    """Which registers are wanted out of which file."""

    path: Path
    text: str
    columns: Mapping[bytes, tuple[str, ...]]
    """The columns to be added up for each register; none where the format knows them."""
    unit: EnergyUnit | None
    seconds: int | None
    zone: ZoneInfo
    suspect_column: str | None
    form: FileForm
    report: FileReport
    optional: frozenset[bytes] = frozenset()
    """Registers that are taken if the format has them, and else done without."""

    def wrong(self, line: int, what: str) -> ReplayError:
        """Return the error about a line."""
        return wrong_line(self.path, line, what)

    def wrong_file(self, what: str) -> ReplayError:
        """Return the error about the file."""
        return wrong_file(self.path, what)

    @property
    def required(self) -> Mapping[bytes, tuple[str, ...]]:
        """The columns without registers that are taken only if a format has them."""
        return {r: names for r, names in self.columns.items() if names or r not in self.optional}

    def times(self, pattern: str | None = None, order: str = DAY_FIRST) -> TimeReader:
        """Return what reads its times."""
        return TimeReader(
            self.path, self.zone, pattern, order, self.report.clock, self.form.local_zone
        )

    def local_times(self, zone: str | None = None, order: str = DAY_FIRST) -> TimeReader:
        """Return what reads times on a wall's clock: that of `zone`, or of the home."""
        return TimeReader(self.path, self.local_clock(zone), None, order, self.report.clock)

    def local_clock(self, zone: str | None = None) -> ZoneInfo:
        """Return the clock of local times, unless one was said."""
        local = self.form.local_zone
        if local is None:
            return self.zone
        clock = local if zone is None else ZoneInfo(zone)
        note = f"times without an offset are those of {clock.key}"
        if note not in self.report.notes:
            self.report.notes.append(note)
        return clock

    @property
    def all_columns(self) -> tuple[str, ...]:
        """All columns that are asked for by name."""
        return tuple(name for names in self.columns.values() for name in names)


Known = Mapping[int, tuple[int, Fraction | None]]
"""By the begin of an interval, its line and its energy in watt-hours."""


def opened_intervals(
    request: FileRequest, seconds: int, drawn: Known, fed_in: Known | None
) -> OpenedFile:
    """Return what a format with a name holds: intervals of energy drawn and fed in."""
    chosen: dict[bytes, Known] = {}
    for register in request.columns:
        known = {_DRAWN: drawn, _FED_IN: fed_in or {}}.get(register[2], {})
        if not known and register in request.optional:
            continue
        if register[3:5] != _WHOLE:
            raise request.wrong_file(
                "it has the energy drawn and fed in as a whole; for other registers say --column"
            )
        if not known:
            way = "drawn" if register[2] == _DRAWN else "fed in"
            raise request.wrong_file(f"there is no energy {way} in it")
        chosen[register] = known
    if not chosen:
        return OpenedFile((), seconds, False, ())
    begins = sorted(set().union(*chosen.values()))
    _check_grid(request, begins, seconds, chosen)
    rows = [
        FileRow(
            max(known[begin][0] for known in chosen.values() if begin in known),
            begin,
            begin + seconds,
            tuple(known[begin][1] if begin in known else None for known in chosen.values()),
        )
        for begin in begins
    ]
    return OpenedFile(tuple(chosen), seconds, False, rows)


def _check_grid(
    request: FileRequest, begins: Sequence[int], seconds: int, chosen: Mapping[bytes, Known]
) -> None:
    if not begins:
        raise request.wrong_file("no readings in it")
    if len(begins) > MOST_ROWS:
        raise request.wrong_file(f"more than {MOST_ROWS} rows; cut it into files")
    for before, after in pairwise(begins):
        if after - before < seconds:
            line = max(known[after][0] for known in chosen.values() if after in known)
            raise request.wrong(
                line, f"begins {after - before} s after another interval of {seconds} s"
            )


def usual_distance(moments: Sequence[int]) -> int:
    """Return how far moments in order mostly are apart; a quarter-hour where nothing tells."""
    apart = Counter(after - before for before, after in pairwise(moments) if after > before)
    return min(apart, key=lambda step: (-apart[step], step), default=OTHER_SECONDS)


def duration(seconds: int) -> str:
    """Return a time as people say it: whole minutes, or seconds."""
    return f"{seconds} s" if seconds % 60 else f"{seconds // 60} min"


def number_of(
    request: FileRequest, line: int, cell: str, mark: str = ".", column: str = ""
) -> Fraction | None:
    """Return a cell's number of at least 0, None where it is empty; raise `ReplayError`."""
    text = cell.strip()
    if not text:
        return None
    try:
        value, rounded = parse_decimal(text, mark)
    except ValueError:
        what = f"{column} is {text[:40]!r}, not" if column else f"{text[:40]!r} is not"
        reason = f"{what} a decimal of at least 0{about_sign(text)}"
        raise request.wrong(line, reason) from None
    request.report.rounded += rounded
    return value
