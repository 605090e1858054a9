# SPDX-License-Identifier: Apache-2.0
"""Which format a file has: what is said, or what its first lines make certain."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

from hub.meters.files.columns import open_columns
from hub.meters.files.day_rows import find_day_rows, open_day_rows
from hub.meters.files.green_button import is_green_button, open_green_button
from hub.meters.files.nem12 import is_nem12, open_nem12
from hub.meters.files.opened import FileRequest, OpenedFile
from hub.meters.files.programs import (
    find_dsmr,
    find_history,
    is_energy_dashboard,
    open_dsmr,
    open_energy_dashboard,
    open_history,
)
from hub.meters.files.suppliers import (
    find_enedis,
    find_fluvius,
    find_octopus,
    find_pge,
    open_enedis,
    open_fluvius,
    open_octopus,
    open_pge,
)
from hub.meters.files.table import Table, check_width

CSV: Final = "csv"
Opened = Callable[[], OpenedFile]


def _texts(request: FileRequest) -> Mapping[str, Opened | None]:
    """Return how each format that is no plain table opens a file, None if it is not one."""
    text = request.text
    return {
        "green-button": partial(open_green_button, request) if is_green_button(text) else None,
        "nem12": partial(open_nem12, request) if is_nem12(text) else None,
    }


def _home_assistant(request: FileRequest) -> Opened | None:
    if is_energy_dashboard(request.text):
        return partial(open_energy_dashboard, request)
    table = find_history(request)
    return None if table is None else partial(open_history, request, table)


def _tables(request: FileRequest) -> Mapping[str, Callable[[], Opened | None]]:
    def of(
        find: Callable[[FileRequest], Table | None],
        opener: Callable[[FileRequest, Table], OpenedFile],
    ) -> Callable[[], Opened | None]:
        def look() -> Opened | None:
            table = find(request)
            return None if table is None else partial(opener, request, table)

        return look

    return {
        "octopus": of(find_octopus, open_octopus),
        "pge": of(find_pge, open_pge),
        "fluvius": of(find_fluvius, open_fluvius),
        "enedis": of(find_enedis, open_enedis),
        "home-assistant": partial(_home_assistant, request),
        "dsmr": of(find_dsmr, open_dsmr),
        "day-rows": of(find_day_rows, open_day_rows),
    }


FORMATS: Final = (
    CSV, "green-button", "octopus", "pge", "nem12", "fluvius", "enedis", "home-assistant", "dsmr",
    "day-rows",
)  # fmt: skip
_BY_METER: Final = ("nem12", "home-assistant")
"""Formats whose columns are meters: naming one chooses it."""


def open_file(request: FileRequest) -> OpenedFile:
    """Return what a file holds; `request.report` is told its format."""
    check_width(request)
    said = request.form.format
    if said == CSV:
        return open_columns(request)
    by_name = bool(request.all_columns)
    finders: dict[str, Callable[[], Opened | None]] = {
        name: partial(_given, opened) for name, opened in _texts(request).items()
    }
    finders.update(_tables(request))
    for name, look in finders.items():
        if said not in (None, name):
            continue
        # A column that is named is taken as it is, unless the format is named, too.
        if said is None and by_name and name not in ("green-button", *_BY_METER):
            continue
        opened = look()
        if opened is not None:
            return _open_as(request, name, opened)
    if said is not None:
        raise request.wrong_file(f"this is no file of the format {said}")
    return open_columns(request)


def _given(opened: Opened | None) -> Opened | None:
    return opened


def _open_as(request: FileRequest, name: str, opened: Opened) -> OpenedFile:
    request.report.format = name
    if request.form.format is None:
        request.report.notes.append(f"recognised as {name}")
    return opened()
