# SPDX-License-Identifier: Apache-2.0
"""The service's log: one JSON object a line, without secrets and without anything of a customer.

Who writes to it says facts, never what was sent: a route's pattern, not its address.
"""

import json
import logging
from collections.abc import Callable, Mapping
from threading import Lock
from typing import Final, TextIO

from utility_server.service.words import utc_text

_LIBRARIES: Final = ("uvicorn", "uvicorn.error", "asyncio")


class JsonLog:
    """Writes lines; safe to use from several threads."""

    def __init__(self, stream: TextIO, now: Callable[[], int]) -> None:
        self._stream, self._now, self._lock = stream, now, Lock()

    def __call__(self, event: str, facts: Mapping[str, object]) -> None:
        """Write one line."""
        line = json.dumps({"time": utc_text(self._now()), "event": event, **facts}, default=str)
        with self._lock:
            self._stream.write(f"{line}\n")
            self._stream.flush()

    def take_libraries(self) -> None:
        """Let warnings and errors of the server's libraries come here, by their kind alone."""
        handler = _Handler(self)
        for name in _LIBRARIES:
            logger = logging.getLogger(name)
            logger.handlers, logger.propagate = [handler], False
            logger.setLevel(logging.WARNING)


class _Handler(logging.Handler):
    def __init__(self, log: JsonLog) -> None:
        super().__init__(logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        """Say which library has what kind of trouble; its text may have what was sent."""
        facts: dict[str, object] = {"library": record.name, "level": record.levelname.lower()}
        if record.exc_info and record.exc_info[0] is not None:
            error, trace = record.exc_info[0], record.exc_info[2]
            facts["error"] = error.__name__
            while trace is not None and trace.tb_next is not None:
                trace = trace.tb_next
            if trace is not None:
                facts["at"] = f"{trace.tb_frame.f_code.co_name}:{trace.tb_lineno}"
        self._log("library", facts)
