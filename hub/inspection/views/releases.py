# SPDX-License-Identifier: Apache-2.0
"""What left the house: every message to the byte, every release, and what each recipient knows.

The view is read from the disclosure log, whose chain is checked first, and is the one source of
the command line, the pages and the programming interface.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from msgspec import convert

from hub.description import Description
from hub.device import Device
from hub.disclosure import LogEntry, Release
from hub.inspection.errors import InspectionError
from hub.inspection.views.learned import LastTold, Learned, told_record
from hub.inspection.views.meters import meter_told_of
from sml_codec import GetListRes, GetProfileListRes, ListEntry, PeriodEntry, SmlError, read_file

MESSAGE_BYTES_SHOWN: Final = 16
SENT_KINDS: Final = (
    "release",
    "message",
    "refusal",
    "output",
    "export",
    "aggregate",
    "unattributed",
)


@dataclass(frozen=True, slots=True)
class Field:
    """A line of a decoded message."""

    name: str
    value: str


@dataclass(frozen=True, slots=True)
class OutgoingMessage:
    """An answer that left, as it was before the channel's protection."""

    sequence: int
    """Its entry in the log."""
    time: int
    applet: bytes
    recipient: str
    purpose: str
    size: int
    releases: frozenset[int] | None = None
    """The entries of the releases that left with it; None where the log is too old to say."""


@dataclass(frozen=True, slots=True)
class RecordedRelease:
    """A release, and the message it left with."""

    release: Release
    message: OutgoingMessage | None
    """None: what was told to the applet has not been sent on."""
    about: Description
    """The meter that it is about."""

    @property
    def begin(self) -> int:
        """The begin of the period it is about."""
        return min(form.begin for form in self.release.forms)

    @property
    def end(self) -> int:
        """The end of the period it is about."""
        return max(form.end for form in self.release.forms)

    @property
    def size(self) -> int:
        """The bytes of its message; 0 where none was sent."""
        return 0 if self.message is None else self.message.size


@dataclass(frozen=True, slots=True)
class ReleasesView:
    """What left the house, to one recipient or to all."""

    releases: tuple[RecordedRelease, ...]
    messages: tuple[OutgoingMessage, ...]
    refusals: tuple[LogEntry, ...]
    outputs: tuple[LogEntry, ...]
    """Of raw applets."""
    exports: tuple[LogEntry, ...]
    """Readings that were handed over as such."""
    aggregates: tuple[LogEntry, ...]
    """Sums over households that this one had a part in; no bit of its own was told."""
    unattributed: tuple[LogEntry, ...]
    """What was told of energy that belongs to no slot."""
    copies: tuple[LogEntry, ...]
    """The resident's own, whichever recipient the view is about."""
    known: dict[str, Learned]
    """By recipient, in order of name: all that got anything, whichever way it left."""
    together: Learned
    """What they know if they compare notes."""
    last: LastTold | None
    """Of what was told about the resident's use, the newest."""
    bytes_left_house: int
    """On the wire, over all connections, strangers' too, protection included."""
    readings_left_house: int
    """Single readings that were handed over (samples, exports) or could be worked out at most."""
    entries: int
    """Length of the log, whose chain holds."""
    recipients: tuple[str, ...] = field(default=())


def releases_view(device: Device, recipient: str | None = None) -> ReleasesView:
    """Return what left the house; raise `LogTampered` where the log is not what was written."""
    log = device.disclosure.log
    entries = log.verify()
    told = told_record(device, recipient)
    releases, together = told.releases, told.learned_by(told.recipients)

    def records(kind: str) -> tuple[LogEntry, ...]:
        return tuple(
            entry
            for entry in log.entries(kind)
            if recipient is None or entry.facts["recipient"] in (None, recipient)
        )

    messages = tuple(map(_message, records("message")))
    return ReleasesView(
        releases=tuple(
            RecordedRelease(
                release,
                _left_with(release, releases, messages),
                meter_told_of(device, release.registers).description,
            )
            for release in releases
        ),
        messages=messages,
        refusals=records("refusal"),
        outputs=tuple(told.outputs),
        exports=tuple(told.exports),
        aggregates=tuple(told.sums),
        unattributed=tuple(told.gaps),
        copies=tuple(log.entries("copy")),
        known={name: told.learned_by([name], name) for name in told.recipients},
        together=together,
        last=told.last,
        bytes_left_house=device.disclosure.strangers.total().sent
        + sum(entry.facts["sent"] for entry in log.entries("connection")),
        readings_left_house=together.readings + together.worked_out,
        entries=entries,
        recipients=tuple(
            sorted({entry.facts["recipient"] for kind in SENT_KINDS for entry in records(kind)})
        ),
    )


def outgoing_message(device: Device, sequence: int) -> tuple[OutgoingMessage, bytes]:
    """Return a message and its exact bytes; raise `InspectionError` if there is none such."""
    for entry in device.disclosure.log.entries("message"):
        if entry.sequence == sequence:
            return _message(entry), device.disclosure.log.content(entry)
    raise InspectionError(f"entry {sequence} of the log is no message")


def decode_message(content: bytes) -> tuple[Field, ...]:
    """Return what can be read in a message without its applet; empty where it is not SML."""
    try:
        file = read_file(content)
    except SmlError:
        return ()
    fields: list[Field] = []
    for message in file.messages:
        body = message.body
        fields.append(Field(type(body).__name__, ""))
        if isinstance(body, GetProfileListRes | GetListRes):
            fields += [Field(str(listed.obis), _value_text(listed)) for listed in body.entries]
    return tuple(fields)


def _value_text(listed: PeriodEntry | ListEntry) -> str:
    if isinstance(listed.value, bytes):
        return f"{len(listed.value)} bytes, {listed.value[:MESSAGE_BYTES_SHOWN].hex()}"
    value = listed.value if listed.scaled is None else listed.scaled
    return f"{value} {listed.unit_symbol}".strip()


def _left_with(
    release: Release, releases: Sequence[Release], messages: Sequence[OutgoingMessage]
) -> OutgoingMessage | None:
    """Return the message that a release left with, or None.

    A message names the releases of its command. One of an older log does not: then it is the
    applet's first one after the release, before the next.
    """
    later = [
        other.sequence
        for other in releases
        if other.applet == release.applet and other.sequence > release.sequence
    ]
    until = min(later, default=None)
    for message in messages:
        if message.sequence < release.sequence:
            continue
        if message.releases is not None:
            if release.sequence in message.releases:
                return message
        elif message.applet == release.applet:
            return message if until is None or message.sequence < until else None
    return None


def _message(entry: LogEntry) -> OutgoingMessage:
    facts = {**entry.facts, "sequence": entry.sequence, "time": entry.time}
    return convert(facts, OutgoingMessage)
