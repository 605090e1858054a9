# SPDX-License-Identifier: Apache-2.0
"""Processes that end with whoever has started them, however that one ends: killed, too.

A process of `multiprocessing` calls `end_with_parent`. Another program is started as

    python -m utility_server.with_parent PROGRAM_MODULE ARGUMENTS...

with a pipe as its standard input, which the starter holds open. What is started has no standard
input then. Once the pipe is closed, it gets SIGTERM, and ends as it does with that.
"""

import multiprocessing
import os
import runpy
import signal
import sys
import threading
from multiprocessing.connection import wait
from typing import Final

GONE: Final = 1
"""The exit code of a process whose starter is gone."""


def end_with_parent() -> None:
    """Let this process of `multiprocessing` end at once when the one that has started it is gone.

    Whatever it does: nobody is left who could use it, and a queue that it waits at never closes.
    """
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_watch, args=(parent.sentinel,), daemon=True).start()


def _watch(sentinel: int) -> None:
    wait([sentinel])
    os._exit(GONE)


def _watch_pipe(pipe: int) -> None:
    while os.read(pipe, 1 << 10):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def main() -> None:
    """Run another module's program, as `python -m` does, until it ends or its starter is gone."""
    pipe = os.dup(0)
    empty = os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty, 0)
    os.close(empty)
    threading.Thread(target=_watch_pipe, args=(pipe,), daemon=True).start()
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
