# SPDX-License-Identifier: Apache-2.0
"""What can be wrong with tariff files and others, in a line; and files that commands write."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from hub.meters.replay import ReplayError
from meterlet.commands.common import Exit, reason_of
from meterlet.commands.refusals import kind_of, refuse
from meterlet.extras import missing_extra, needs_extra
from meterlet.key_files import KeyFileProblem
from tariffs import SignatureRefused, TariffError

PROBLEMS: Final = (TariffError, ReplayError, KeyFileProblem, OSError)


def problem(error: Exception, place: Path) -> tuple[str, Exit]:
    """Return the one line and the exit code for an error met while working on `place`."""
    if isinstance(error, OSError):
        return f"{error.filename or place}: {reason_of(error)}", Exit.FAILURE
    if (extra := missing_extra(error)) is not None:
        return f"{place}: {needs_extra(extra)}", Exit.USAGE
    code = Exit.REFUTED if isinstance(error, SignatureRefused) else Exit.FAILURE
    if isinstance(error, TariffError) and error.source is None:
        return f"{place}: {error}", code
    return str(error), code


@contextmanager
def errors_at(place: Path) -> Iterator[None]:
    """Turn the errors of files, keys and tariffs into one line and an exit code."""
    try:
        yield
    except PROBLEMS as error:
        message, code = problem(error, place)
        is_extra = missing_extra(error) is not None
        refuse(message, int(code), "missing-extra" if is_extra else kind_of(error))


def write_new(path: Path, data: bytes, mode: int) -> None:
    """Write a file that does not exist yet, whole or not at all."""
    with _partial(path, data, mode) as partial:
        os.link(partial, path)  # fails where the file exists


def require_place(path: Path) -> None:
    """Raise `OSError`, as `write_new` will; for who changes something else before he writes."""
    write_new(path, b"", 0o600)
    path.unlink()


def write_over(path: Path, data: bytes, mode: int) -> None:
    """Write a file in the place of one that may exist, whole or not at all."""
    with _partial(path, data, mode) as partial:
        partial.replace(path)


@contextmanager
def _partial(path: Path, data: bytes, mode: int) -> Iterator[Path]:
    """Yield a file beside `path` that has all of the data; it is gone afterwards."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        try:
            handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
        except OSError as error:  # by the name that was said
            raise OSError(error.errno, error.strerror, str(path)) from None
        with os.fdopen(handle, "wb") as file:
            os.fchmod(handle, mode)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        yield partial
    finally:
        partial.unlink(missing_ok=True)
