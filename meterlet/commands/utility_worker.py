# SPDX-License-Identifier: Apache-2.0
"""`meterlet utility worker`, `retry`: answers that were received become bills."""

import signal
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, Final, TypeVar

import rich_click as click

from meterlet.commands.common import (
    Shown,
    json_option,
    json_or_text,
    one_line_errors,
    print_json,
    utility_option,
)
from meterlet.key_files import KeyFileProblem
from meterlet.secret_files import SECRET_FILE
from utility_server.errors import QueueUnreachable, StoreUnreachable
from utility_server.pipeline.queue import LocalQueue, Queue
from utility_server.pipeline.sweeper import Sweeper
from utility_server.pipeline.worker import BATCH, Told, Worker
from utility_server.retail.utility import Utility

_MOST_SECRET: Final = 256
_RETRY_SECONDS: Final = 1.0
OpenedT = TypeVar("OpenedT")

nats_option = click.option(
    "--nats", envvar="METERLET_NATS", metavar="URL",
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
    told = EventPrinter("meterlet.utility.worker/1", as_json=as_json)
    stopping = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopping.set())
    with one_line_errors(), ExitStack() as opened:
        utility = opened.enter_context(reached(lambda: Utility.open(folder), told, stopping))
        queue = opened.enter_context(
            closing(reached(lambda: open_queue(nats, token_file, credentials), told, stopping))
        )
        # By itself it finds at once what waits; beside a queue, only what that has lost.
        sweeper = Sweeper(utility, queue, told)
        if nats is None or once:
            sweeper = Sweeper(utility, queue, told, patience_seconds=0, every_seconds=1.0)
        working = Worker(utility, queue, batch, told, stopping.wait)
        if once:
            while sweeper.sweep():
                while working.step(0.0):
                    pass
        else:
            told("ready", {"batch": batch, "queue": "nats" if nats else "database"})
            sweeping = threading.Thread(target=sweeper.run, args=(stopping,), daemon=True)
            sweeping.start()
            working.run(stopping)
            sweeping.join()
    told("stopped", dict(working.counts))


def reached(open_it: Callable[[], OpenedT], told: Told, stopping: threading.Event) -> OpenedT:
    """Open a database or queue, however long its server takes to come up."""
    while True:
        try:
            return open_it()
        except (StoreUnreachable, QueueUnreachable) as error:
            told("waits", {"why": str(error)})
            if stopping.wait(_RETRY_SECONDS):
                told("stopped", {})
                raise SystemExit(0) from None


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
