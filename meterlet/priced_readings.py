# SPDX-License-Identifier: Apache-2.0
"""Tariffs and readings out of files, and the exact bill that they make.

A tariff file is its TOML source, its canonical document, or a signed document; they are told
apart by their first byte. Readings are a CSV file of interval data.
"""

import gzip
import os
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from errno import EINVAL
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from hub.meters.files.opened import (
    FileForm,
    FileReport,
    Label,
)
from hub.meters.files.recognise import FORMATS
from hub.meters.fuse import DEFAULT_FUSE, LARGEST_AMPERES, Fuse
from hub.meters.replay import (
    CsvReplay,
    EnergyUnit,
    FileUses,
    ReplayError,
    parse_interval,
    parse_zone,
)
from meterlet.key_files import KeyFileProblem, public_key
from protocols.errors import MeterletError
from protocols.metrology import (
    ACTIVE_ENERGY_EXPORT,
    ACTIVE_ENERGY_IMPORT,
    MetrologyError,
    Period,
)
from tariffs import (
    Bill,
    BillMemory,
    SignatureRefused,
    Tariff,
    TariffError,
    compute_bill,
    split_signed_tariff,
)
from tariffs.clock import ZoneClock
from tariffs.periods import Interval, stretches
from tariffs.signing import verify_signed_tariff
from tariffs.source import load_toml
from tariffs.usage import Part
from utility_server.errors import VerificationFailed

SIGNED_BYTE: Final = 0xD2


@dataclass(frozen=True, slots=True)
class LoadedTariff:
    """A tariff and what is known of its signature."""

    tariff: Tariff
    signature: str
    """`none`, `verified` or `not checked`."""
    key_id: str | None = None
    notes: tuple[str, ...] = ()
    """What a reader of its source should look at again."""

    def heading(self) -> dict[str, Any]:
        """Return what every JSON output says of a tariff."""
        tariff = self.tariff
        return {
            "name": tariff.name,
            "revision": tariff.revision,
            "currency": tariff.currency,
            "zone": tariff.zone,
            "valid_from": str(tariff.valid_from),
            "valid_until": str(tariff.valid_until),
            "digest": tariff.digest.hex(),
            "signature": self.signature,
            "key_id": self.key_id,
        }

    def summary(self) -> str:
        """Return the same in a line."""
        tariff = self.tariff
        last = tariff.valid_until - timedelta(days=1)
        signature = {"none": "not signed", "not checked": "signature not checked (give --key)"}
        return (
            f"{tariff.name} revision {tariff.revision}, {tariff.valid_from} to {last} in"
            f" {tariff.zone}, {signature.get(self.signature, self.signature)},"
            f" digest {tariff.digest.hex()[:16]}"
        )


def read_tariff(path: Path, key: Ed25519PublicKey | None = None) -> LoadedTariff:
    """Return the tariff in a file; with `key`, only if it is signed by that key.

    Raises `TariffError` naming the file, and its line where it is a source.
    """
    try:
        return _load(path, path.read_bytes(), key)
    except TariffError as error:
        error.source = error.source or str(path)
        raise


def _load(path: Path, data: bytes, key: Ed25519PublicKey | None) -> LoadedTariff:
    if data[:1] == bytes([SIGNED_BYTE]):
        parts = split_signed_tariff(data)
        key_id = parts.key_id.hex()
        if key is None:
            return LoadedTariff(Tariff.decode(parts.payload), "not checked", key_id)
        return LoadedTariff(verify_signed_tariff(data, key), "verified", key_id)
    if key is not None:
        raise SignatureRefused("the tariff is not signed")
    if data[:1] and data[0] >> 5 == 5:  # a CBOR map
        return LoadedTariff(Tariff.decode(data), "none")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise TariffError("neither UTF-8 text nor a tariff document") from None
    beside = partial(_read_beside, path.parent)
    notes: list[str] = []
    tariff = load_toml(text, source=str(path), files=beside, notes=notes)
    return LoadedTariff(tariff, "none", notes=tuple(notes))


def _read_beside(folder: Path, name: str) -> str:
    """Return a file that a source refers to: one in the source's own folder or below."""
    inside = PurePosixPath(name)
    if inside.is_absolute() or ".." in inside.parts:
        raise PermissionError(1, "is not in the tariff's own folder", name)
    try:
        return read_bytes(folder / inside).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise OSError(EINVAL, "not UTF-8 text", name) from None


def read_bytes(path: Path) -> bytes:
    """Return a file's content, unpacked if it is packed with gzip."""
    data = path.read_bytes()
    if path.suffix != ".gz":
        return data
    try:
        return gzip.decompress(data)
    except (EOFError, zlib.error) as error:
        raise OSError(5, f"not gzip: {error}", str(path)) from None


@dataclass(frozen=True, slots=True)
class IntervalUse:
    """What a home used in each interval of which it is known, and what it fed in."""

    interval_seconds: int
    drawn_wh: Mapping[int, int]
    """Watt-hours by the interval's start, in seconds since 1970 (UTC)."""
    fed_in_wh: Mapping[int, int] | None = None
    """The same of what was fed in; None where that is not counted."""
    notes: tuple[str, ...] = ()
    """What was recognised in the file, and what was left out of it."""

    def between(self, begin: int | None, end: int | None) -> "IntervalUse":
        """Return the intervals that begin within [begin, end); None: no bound."""

        def within(uses: Mapping[int, int]) -> dict[int, int]:
            return {
                start: wh
                for start, wh in uses.items()
                if (begin is None or begin <= start) and (end is None or start < end)
            }

        fed_in = None if self.fed_in_wh is None else within(self.fed_in_wh)
        return replace(self, drawn_wh=within(self.drawn_wh), fed_in_wh=fed_in)


def read_use(
    replays: tuple[CsvReplay, CsvReplay | None],
    begin: int | None,
    end: int | None,
    report: FileReport | None = None,
) -> IntervalUse:
    """Return each interval of [begin, end) of which files know the use: what is drawn, and fed in.

    Raises `ReplayError`, also where a column has none.
    """
    drawn, fed_in = replays
    report = FileReport() if report is None else report
    used = drawn.uses(begin, end, report)
    returned = FileUses(used.interval_seconds, None)
    if fed_in is not None:
        returned = fed_in.uses(begin, end)
    if not used.wh or returned.wh == {}:
        raise ReplayError(f"{drawn.path}: no readings in the period")
    if returned.wh and returned.interval_seconds != used.interval_seconds:
        raise ReplayError(f"{drawn.path}: intervals of what is drawn and fed in differ")
    return IntervalUse(used.interval_seconds, used.wh, returned.wh, tuple(report.lines()))


def drawn_and_fed_in(
    choose: Callable[[dict[bytes, tuple[str, ...]], frozenset[bytes]], CsvReplay],
    columns: tuple[str, ...],
    feed_in_columns: tuple[str, ...],
) -> tuple[CsvReplay, CsvReplay | None]:
    """Return what reads the energy drawn, and the energy fed in.

    A format with a name has the second one, or has not; a table only if its column is named.
    """
    drawn = choose({ACTIVE_ENERGY_IMPORT: columns}, frozenset())
    named = bool(columns) and not feed_in_columns
    optional = frozenset() if feed_in_columns else frozenset((ACTIVE_ENERGY_EXPORT,))
    fed_in = None if named else choose({ACTIVE_ENERGY_EXPORT: feed_in_columns}, optional)
    return drawn, fed_in


def price_use(
    tariff: Tariff,
    use: IntervalUse,
    begin: int | None = None,
    end: int | None = None,
    *,
    by_slot: bool = False,
    memory: BillMemory | None = None,
    paid: int = 0,
    is_last: bool = False,
) -> Bill:
    """Return the exact bill of [begin, end), by default of all of the use; raise `TariffError`.

    `memory` is that of the bill before, `paid` what was paid in advance since; `is_last` says that
    the contract ends with it.
    """
    fed_in = use.fed_in_wh
    return compute_bill(
        tariff,
        list(use.drawn_wh),
        use.interval_seconds,
        list(use.drawn_wh.values()),
        export_wh=None if fed_in is None else [fed_in.get(start) for start in use.drawn_wh],
        begin=begin,
        end=end,
        by_slot=by_slot,
        memory=memory,
        paid=paid,
        is_last=is_last,
    )


def price_each(
    tariff: Tariff,
    use: IntervalUse,
    begin: int | None,
    end: int | None,
    interval: Interval,
    *,
    by_slot: bool = False,
    paid: int = 0,
    is_last: bool = False,
) -> list[Bill]:
    """Return a bill for each interval of the calendar in [begin, end), each on the one before.

    `paid` is what is paid in advance of each; `is_last` says that the contract ends with the last
    one. Raises as `price_use` does.
    """
    starts = list(use.drawn_wh)
    begin = starts[0] if begin is None else begin
    end = starts[-1] + use.interval_seconds if end is None else end
    if begin >= end:
        raise TariffError("the period ends before it begins")
    clock = ZoneClock(tariff.zone)
    bills: list[Bill] = []
    for stretch in stretches(interval, Part(begin, end, begin, end, clock, tariff.rounding.rule)):
        inside = [start for start in starts if stretch.begin <= start < stretch.end]
        drawn = {start: use.drawn_wh[start] for start in inside}
        memory = bills[-1].memory if bills else None
        part = replace(use, drawn_wh=drawn)
        bills.append(
            price_use(
                tariff, part, stretch.begin, stretch.end, by_slot=by_slot, memory=memory, paid=paid,
                is_last=is_last and stretch.end == end,
            )
        )  # fmt: skip
    return bills


@contextmanager
def _public_errors() -> Iterator[None]:
    """Let out the errors that `meterlet` documents, and `OSError`, and no others."""
    try:
        yield
    except SignatureRefused as error:
        raise VerificationFailed("tariff", str(error)) from error
    except (TariffError, ReplayError, KeyFileProblem, MetrologyError) as error:
        raise MeterletError(str(error)) from error


def load_tariff(
    path: str | os.PathLike[str], *, signer: str | os.PathLike[str] | None = None
) -> Tariff:
    """Return the tariff in a file: a TOML source, a document or a signed document.

    With `signer`, the path of a public key (PEM), the tariff must be signed by it, or
    `VerificationFailed` is raised. A file that is no tariff raises `MeterletError` with its line.
    """
    with _public_errors():
        return read_tariff(Path(path), None if signer is None else public_key(Path(signer))).tariff


def read_csv(
    path: str | os.PathLike[str],
    column: str | Sequence[str] | None = None,
    *,
    feed_in_column: str | Sequence[str] | None = None,
    unit: str | None = None,
    interval: str | None = None,
    zone: str = "UTC",
    period: Period | str | None = None,
    begin: datetime | None = None,
    end: datetime | None = None,
    format: str | None = None,  # noqa: A002  # what the command calls it
    separator: str | None = None,
    decimal: str | None = None,
    time_column: str | Sequence[str] | None = None,
    time_format: str | None = None,
    label: str | None = None,
    cumulative: bool | None = None,
    skip: int | None = None,
    fuse: int = DEFAULT_FUSE.amperes,
) -> IntervalUse:
    """Return the interval data in a file, from `begin` to before `end`.

    CSV, packed or not, and the formats of docs/readings.md, which need no `column`. Several columns
    are added. `unit` is kWh, Wh, kW or W; without it, and without `interval`, the file says. Times
    without an offset are those of `zone`. `period` names days of that zone instead, as "2025-Q1".
    `begin` and `end` must have a time zone. The others say how the file is written, where that is
    not certain, as the options of `meterlet tariff price` do; `separator` and `decimal` are the
    characters. `fuse` is in amperes, of three phases. Raises `MeterletError` with the line that is
    wrong.
    """
    if not 1 <= fuse <= LARGEST_AMPERES:
        raise MeterletError(f"fuse {fuse}: 1 to {LARGEST_AMPERES} amperes")
    form = FileForm(
        format=format,
        separator=separator,
        decimal=decimal,
        time_columns=_names(time_column),
        time_format=time_format,
        label=None if label is None else _label(label),
        cumulative=cumulative,
        skip=skip,
        fuse=Fuse(fuse, DEFAULT_FUSE.phases),
    )
    if format is not None and format not in FORMATS:
        raise MeterletError(f"format {format!r}: {', '.join(FORMATS)}")
    if decimal not in (None, ".", ",") or (separator is not None and len(separator) != 1):
        raise MeterletError("decimal is a point or a comma, separator one character")
    if unit is not None and unit not in {known.value for known in EnergyUnit}:
        raise MeterletError(f"unit {unit!r}: kWh, Wh, kW or W")
    with _public_errors():
        bounds = _bounds(period, begin, end, zone)
        clock = parse_zone(zone)

        def choose(columns: dict[bytes, tuple[str, ...]], optional: frozenset[bytes]) -> CsvReplay:
            return CsvReplay(
                Path(path),
                columns,
                None if unit is None else EnergyUnit(unit),
                None if interval is None else parse_interval(interval),
                clock,
                form=form,
                optional=optional,
            )

        replays = drawn_and_fed_in(choose, _names(column), _names(feed_in_column))
        return read_use(replays, *bounds)


def _label(label: str) -> Label:
    try:
        return Label(label)
    except ValueError:
        raise MeterletError(f"label {label!r}: start or end") from None


def _names(column: str | Sequence[str] | None) -> tuple[str, ...]:
    if column is None:
        return ()
    return (column,) if isinstance(column, str) else tuple(column)


def price(
    tariff: Tariff,
    readings: IntervalUse,
    *,
    period: Period | str | None = None,
    begin: datetime | None = None,
    end: datetime | None = None,
    memory: BillMemory | None = None,
    paid: int = 0,
    is_last: bool = False,
) -> Bill:
    """Return the exact bill of some readings under a tariff, with its lines.

    `period` names the billed days in the tariff's zone: a `Period`, or "2025-03", "2025-Q1", "2025"
    or "2025-03-10..2025-04-09". `begin` and `end` are moments instead. By default the bill is of
    all the readings. Intervals without a reading are listed in the bill and not guessed. Under a
    tariff with memory, `memory` is that of the bill before, which this one goes on from, and `paid`
    what was paid in advance since, in 10^-6 of the currency; `is_last` says that the contract ends
    with it, so that all is settled. Raises `MeterletError` where the tariff does not price the
    readings.
    """
    with _public_errors():
        bounds = _bounds(period, begin, end, tariff.zone)
        within = readings.between(*bounds)
        return price_use(tariff, within, *bounds, memory=memory, paid=paid, is_last=is_last)


def _bounds(
    period: Period | str | None, begin: datetime | None, end: datetime | None, zone: str
) -> tuple[int | None, int | None]:
    """Return begin and end of what is asked for, in seconds since 1970."""
    if period is None:
        return _seconds(begin), _seconds(end)
    if begin is not None or end is not None:
        raise MeterletError("say the period, or begin and end")
    return (Period.parse(period) if isinstance(period, str) else period).bounds(zone)


def _seconds(moment: datetime | None) -> int | None:
    if moment is None:
        return None
    if moment.tzinfo is None:
        raise MeterletError(f"{moment}: say which time zone it is in")
    return int(moment.timestamp())
