# SPDX-License-Identifier: Apache-2.0
"""`meterlet utility worker`, `retry`: answers that were received become bills."""

import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from itertools import count
from pathlib import Path
from typing import Any, Final, TypeVar

import rich_click as click
from click.core import ParameterSource

from meterlet.commands.common import (
    Shown,
    json_option,
    json_or_text,
    one_line_errors,
    print_json,
    utility_option,
)
from meterlet.commands.ending import ending
from meterlet.key_files import KeyFileProblem
from meterlet.secret_files import SECRET_FILE
from utility_server.errors import QueueRefused, QueueUnreachable, StoreUnreachable
from utility_server.pipeline.outages import Fewer, Told, pause
from utility_server.pipeline.queue import LocalQueue, Queue, server_place
from utility_server.pipeline.sweeper import Sweeper
from utility_server.pipeline.worker import BATCH, WAIT_SECONDS, Worker
from utility_server.retail.utility import Utility

_MOST_SECRET: Final = 256
OpenedT = TypeVar("OpenedT")


def _nats_url(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """Refuse at once what is no URL of NATS; waiting for it would be in vain."""
    if value is None:
        return None
    try:
        server_place(value)
    except QueueRefused as error:
        raise click.BadParameter(str(error)) from None
    said = context.get_parameter_source(str(parameter.name))
    if "@" in value and said is ParameterSource.COMMANDLINE:
        raise click.BadParameter(
            "a password or token does not belong into arguments, which others can read: say"
            " --nats-token-file or --nats-credentials, or put the whole URL in METERLET_NATS"
        )
    return value


nats_option = click.option(
    "--nats", envvar="METERLET_NATS", metavar="URL", callback=_nats_url,
    help="Where a NATS server with JetStream carries the queue: nats://HOST:PORT. Without it the"
    " database is looked at every so often.",
)  # fmt: skip
nats_token_option = click.option(
    "--nats-token-file", "token_file", type=SECRET_FILE, envvar="METERLET_NATS_TOKEN_FILE",
    help="A file with the token that the server wants.",
)  # fmt: skip
nats_credentials_option = click.option(
    "--nats-credentials", "credentials", type=SECRET_FILE, envvar="METERLET_NATS_CREDENTIALS",
    help="A file with NATS credentials (.creds), instead of a token.",
)  # fmt: skip


def open_queue(nats: str | None, token_file: Path | None, credentials: Path | None) -> Queue:
    """Return the queue that options name; one of this process by itself where they name none."""
    if nats is None:
        return LocalQueue()
    from utility_server.pipeline.jetstream import JetStreamQueue

    token = None
    if token_file is not None:
        try:
            token = token_file.read_text(encoding="ascii")[:_MOST_SECRET].strip()
        except (OSError, UnicodeError):
            raise KeyFileProblem(f"{token_file}: not readable as a token") from None
    return JetStreamQueue.open(nats, credentials=credentials, token=token)


@click.command("worker")
@utility_option
@nats_option
@nats_token_option
@nats_credentials_option
@click.option(
    "--batch", type=click.IntRange(1, 256), default=BATCH, show_default=True,
    help="So many answers are verified at once at most.",
)  # fmt: skip
@click.option("--once", is_flag=True, help="Work on what waits now, then end.")
@json_option
def worker(
    folder: Path,
    nats: str | None,
    token_file: Path | None,
    credentials: Path | None,
    batch: int,
    once: bool,
    as_json: bool,
) -> None:
    """Verify the answers that hubs have given, and enter their bills, until it is stopped.

    Several may run, on several computers. Whichever is killed, the others go on with its answers,
    and none is entered twice. Prints a line for each bill and for whatever it waits for.
    """
    told = Fewer(EventPrinter("meterlet.utility.worker/1", as_json=as_json))
    with one_line_errors(), ending() as watched, ExitStack() as opened:
        stopping = watched.stopping
        watched.say_last(lambda: told("stopped", {}))
        waits = None if once else stopping
        utility = opened.enter_context(reached(lambda: Utility.open(folder), told, waits))
        queue = opened.enter_context(
            closing(reached(lambda: open_queue(nats, token_file, credentials), told, waits))
        )
        # By itself it finds at once what waits; beside a queue, only what that has lost.
        sweeper = Sweeper(utility, queue, told)
        if nats is None or once:
            sweeper = Sweeper(utility, queue, told, patience_seconds=0, every_seconds=1.0)
        working = Worker(utility, queue, batch, told, stopping.wait, is_patient=not once)
        watched.say_last(lambda: told("stopped", dict(working.counts)))
        if once:
            _work_once(working, sweeper, stopping)
        else:
            told("ready", {"batch": batch, "queue": "nats" if nats else "database"})
            sweeping = threading.Thread(target=sweeper.run, args=(stopping,), daemon=True)
            sweeping.start()
            working.run(stopping)
            sweeping.join()
    told("stopped", dict(working.counts))


def _work_once(working: Worker, sweeper: Sweeper, stopping: threading.Event) -> None:
    """Work on what waits now; raise where database or queue are not reached."""
    while not stopping.is_set() and sweeper.sweep():
        while not stopping.is_set() and working.step(0.0):
            pass
        # What an error of ours has kept from its verdict is tried again after a pause.
        working.step(WAIT_SECONDS)


def reached(
    open_it: Callable[[], OpenedT], told: Told, stopping: threading.Event | None
) -> OpenedT:
    """Open a database or queue, however long its server takes to come up; less and less often.

    Without `stopping` it is tried once.
    """
    for failures in count(1):
        try:
            return open_it()
        except (StoreUnreachable, QueueUnreachable) as error:
            if stopping is None:
                raise
            told("waits", {"why": str(error)})
            if stopping.wait(pause(failures)):
                break
    told("stopped", {})
    raise SystemExit(0)


class EventPrinter:
    """Prints events, of several threads, a line each."""

    def __init__(self, schema: str, *, as_json: bool) -> None:
        """Print JSON objects of that schema, or text."""
        self._schema, self._as_json = schema, as_json
        self._lock = threading.Lock()

    def __call__(self, event: str, facts: Mapping[str, object]) -> None:
        """Print one event."""
        with self._lock:
            if self._as_json:
                print_json(self._schema, {"event": event, **facts}, is_line=True)
            else:
                said = ", ".join(f"{name} {value}" for name, value in facts.items())
                click.echo(f"{event}: {said}" if said else event)
            sys.stdout.flush()


@click.command("retry")
@utility_option
@json_or_text("meterlet.utility.retry/1")
def retry(folder: Path) -> Shown:
    """Try answers again that were set aside: an error of the program kept them from a verdict."""
    with one_line_errors(), Utility.open(folder) as utility:
        number = utility.questions.taken_up_again()
    facts: dict[str, Any] = {"answers": number}
    return facts, f"{number} answers are tried again" if number else "nothing was set aside"
