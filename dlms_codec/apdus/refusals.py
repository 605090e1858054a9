# SPDX-License-Identifier: Apache-2.0
"""What a meter answers when it cannot answer (DLMS UA 1000-2, clauses 9.3.11 and 9.4).

d8 | state error | service error | counter, 4 bytes, if the error is 6        exception
0e | service | what is wrong | which of them                  confirmed-service-error
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

from dlms_codec.errors import EncodingError
from dlms_codec.reader import Reader

STATE_ERRORS: Final = {1: "service-not-allowed", 2: "service-unknown"}
SERVICE_ERRORS: Final = {
    1: "operation-not-possible", 2: "service-not-supported", 3: "other-reason",
    4: "pdu-too-long", 5: "deciphering-error", 6: "invocation-counter-error",
}  # fmt: skip
COUNTER_ERROR: Final = 6


@dataclass(frozen=True, slots=True)
class ExceptionResponse:
    """The meter does not take a request at all."""

    state_error: int
    service_error: int
    counter: int | None = None
    """With a wrong counter: the one that the meter expects at least."""
    tag: ClassVar[int] = 0xD8

    def __post_init__(self) -> None:
        if (self.counter is not None) != (self.service_error == COUNTER_ERROR):
            raise EncodingError("an exception has a counter if, and only if, the counter is wrong")

    @property
    def reason(self) -> str:
        """Both errors in the standard's words."""
        state = STATE_ERRORS.get(self.state_error, f"state-error-{self.state_error}")
        return f"{state}, {SERVICE_ERRORS.get(self.service_error, f'error-{self.service_error}')}"

    def encode(self) -> bytes:
        """Return the APDU."""
        counter = b"" if self.counter is None else self.counter.to_bytes(4, "big")
        return bytes([self.tag, self.state_error, self.service_error]) + counter


def read_exception_response(reader: Reader) -> ExceptionResponse:
    """Return the response whose tag was read."""
    state, service = reader.uint(1), reader.uint(1)
    return ExceptionResponse(state, service, reader.uint(4) if service == COUNTER_ERROR else None)


CONFIRMED_SERVICES: Final = {1: "initiate-error", 5: "read", 6: "write"}
ERROR_KINDS: Final = {
    0: "application-reference", 1: "hardware-resource", 2: "vde-state-error", 3: "service",
    4: "definition", 5: "access", 6: "initiate", 7: "load-data-set", 9: "task", 10: "other",
}  # fmt: skip
INITIATE_ERRORS: Final = {
    0: "other", 1: "dlms-version-too-low", 2: "incompatible-conformance", 3: "pdu-size-too-short",
    4: "refused-by-the-VDE-Handler",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class ConfirmedServiceError:
    """The meter refuses a service, mostly the initiation of an association."""

    service: int
    kind: int
    error: int
    tag: ClassVar[int] = 0x0E

    @property
    def reason(self) -> str:
        """The three in the standard's words."""
        service = CONFIRMED_SERVICES.get(self.service, f"service-{self.service}")
        kind = ERROR_KINDS.get(self.kind, f"kind-{self.kind}")
        names = INITIATE_ERRORS if self.kind == 6 else {}
        return f"{service}, {kind}: {names.get(self.error, self.error)}"

    def encode(self) -> bytes:
        """Return the APDU."""
        return bytes([self.tag, self.service, self.kind, self.error])


def read_confirmed_service_error(reader: Reader) -> ConfirmedServiceError:
    """Return the error whose tag was read."""
    return ConfirmedServiceError(reader.uint(1), reader.uint(1), reader.uint(1))
