# SPDX-License-Identifier: Apache-2.0
"""Several processes that do the same at once, and processes that die at a given point."""

import multiprocessing
import os
import signal
import traceback
from collections.abc import Callable, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Final

from click.testing import CliRunner

from applets.billing.messages import BillQuestion
from meterlet.commands.main import main
from tests.support.waiting import PATIENCE
from utility_server.database import open_database
from utility_server.head_end import HeadEnd
from utility_server.retail.ledger import Appending, Ledger
from utility_server.retail.questions import Questions
from utility_server.retail.utility import Utility

_SERVER: Final = multiprocessing.get_context("forkserver")
_SERVER.set_forkserver_preload([__name__])


def started(work: Callable[..., Any], *arguments: Any) -> BaseProcess:
    """Start a process that does some work."""
    process = _SERVER.Process(target=work, args=arguments, daemon=True)
    process.start()
    return process


def at_once(work: Callable[..., Any], calls: Sequence[tuple[Any, ...]]) -> list[Any]:
    """Do the same work in several processes at the same moment; return what each of them did.

    Where one raises, what it raised is returned as text.
    """
    barrier, results = _SERVER.Barrier(len(calls)), _SERVER.Queue()
    crowd = [
        started(_one_of, work, barrier, results, place, call) for place, call in enumerate(calls)
    ]
    found = dict(results.get(timeout=PATIENCE) for _ in calls)
    for process in crowd:
        process.join(PATIENCE)
        assert process.exitcode == 0
    return [found[place] for place in range(len(calls))]


def _one_of(
    work: Callable[..., Any], barrier: Any, results: Any, place: int, call: tuple[Any, ...]
) -> None:
    try:
        results.put((place, work(barrier.wait, *call)))
    except Exception:  # noqa: BLE001 - whatever it is, the test says so
        results.put((place, traceback.format_exc()))


def die_after(owner: type | Any, name: str, times: int = 1) -> None:
    """Let this process die, as by kill -9, right after so many calls of a function."""
    real, left = getattr(owner, name), [times]

    def dying(*arguments: Any, **options: Any) -> Any:
        result = real(*arguments, **options)
        left[0] -= 1
        if not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    is_static = isinstance(vars(owner).get(name), staticmethod)
    setattr(owner, name, staticmethod(dying) if is_static else dying)


def command(ready: Callable[[], object], *arguments: str) -> tuple[int, str]:
    """Run the command; return its exit code and what it printed."""
    ready()
    done = CliRunner().invoke(main, arguments)
    return done.exit_code, done.stdout


def command_and_die(arguments: Sequence[str], point: str, times: int) -> None:
    """Run the command, and die right after so many calls of `point`."""
    die_after(*_place(point), times)
    main(arguments)


def _place(point: str) -> tuple[type, str]:
    """Return whose function a point names, and its name."""
    owner, _, name = point.partition(".")
    places = {
        "Appending": Appending, "HeadEnd": HeadEnd, "Ledger": Ledger, "Questions": Questions,
        "Utility": Utility,
    }  # fmt: skip
    return places[owner], name


def verify(
    ready: Callable[[], object], folder: Path, question: bytes, answer: bytes
) -> tuple[int, int, bytes]:
    """Verify an answer; return the numbers of its invoice and of the one it replaces, and it."""
    with Utility.open(folder) as utility:
        ready()
        billed = utility.verify(BillQuestion.decode(question), answer)
    return billed.invoice.number, billed.invoice.replaces, billed.document


def verify_all(folder: Path, asked: Sequence[tuple[bytes, bytes]]) -> None:
    """Verify several answers, one after the other."""
    for question, answer in asked:
        verify(lambda: None, folder, question, answer)


def verify_and_die(folder: Path, asked: Sequence[tuple[bytes, bytes]], point: str) -> None:
    """Do the same, and die right after the first call of `point`, as by kill -9."""
    die_after(*_place(point))
    verify_all(folder, asked)


def append(ready: Callable[[], object], database: Path, writer: int, entries: int) -> int:
    """Append so many entries to a ledger, each with evidence of its own."""
    engine = open_database(database)
    ready()
    for number in range(entries):
        evidence = b"%d %d" % (writer, number)
        Ledger(engine).append(number, "refused", b"meter %d" % writer, {"why": "test"}, evidence)
    engine.dispose()
    return entries


def open_new(ready: Callable[[], object], database: Path) -> list[int]:
    """Open a database that may not be there yet; return its ledger's numbers."""
    ready()
    engine = open_database(database)
    entries = [entry.sequence for entry in Ledger(engine).entries()]
    engine.dispose()
    return entries
