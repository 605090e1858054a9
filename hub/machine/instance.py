# SPDX-License-Identifier: Apache-2.0
"""One applet, running: its own memory, its own fuel, and a short life.

    asleep --any call--> started --fault or discard()--> asleep

A started instance keeps its memory from call to call, as a card does while it has power. Whatever
goes wrong inside ends this instance and nothing else; the next call starts a fresh one.
"""

import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import wasmtime

from hub.machine import limits
from hub.machine._abi import Err, Malformed
from hub.machine._running import Program, Running
from hub.machine.allowance import Allowance
from hub.machine.bundle import Bundle
from hub.machine.errors import AppletFault, FaultKind
from hub.machine.host_calls import Host
from hub.machine.meter import WorkMeter
from protocols.platform.services import Platform

MAX_DETAIL: Final = 16_000
_COUNTED: Final = ("select", "process", "grants", "serve")
"""Calls that others cause, and that count towards an applet's allowance."""
_FRAME: Final = re.compile(r'^  File "([^"\n]+)", line (\d+), in .*$', re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Usage:
    """What a call into an applet used up."""

    fuel: int = 0
    host_calls: int = 0


class AppletInstance:
    """An applet that answers; every call may raise `AppletFault`, after which it starts afresh."""

    def __init__(
        self,
        bundle: Bundle,
        program: Callable[[], Program],
        platform: Platform,
        meter: WorkMeter | None = None,
    ) -> None:
        """`program` is asked for when the applet is first started.

        `meter` is what the platform's services charge: a call's fuel pays for their work, too.
        """
        self.bundle = bundle
        self.usage = Usage()
        self._program, self._platform = program, platform
        self._meter = WorkMeter() if meter is None else meter
        self._running: Running | None = None
        limits_of = bundle.manifest.limits
        self._fuel = min(limits_of.fuel, limits.MAX_FUEL)
        self._allowance = Allowance(
            limits_of.commands_per_minute,
            min(limits_of.fuel_per_minute, limits.MAX_FUEL_PER_MINUTE),
        )
        self._turn = threading.RLock()
        self._busy = False

    def install(self, parameters: bytes) -> bytes:
        """Let the applet prepare itself; return its response."""
        return self._answer("install", parameters)

    def select(self) -> bytes:
        """Tell the applet that a peer turns to it; return its response."""
        return self._answer("select")

    def process(self, command: bytes) -> bytes:
        """Return the response to a command APDU: data and a status word."""
        if len(command) > limits.MAX_COMMAND:
            raise ValueError(f"a command has at most {limits.MAX_COMMAND} bytes")
        return self._answer("process", command)

    def deselect(self) -> None:
        """Tell the applet that the peer has turned away; nothing happens if it sleeps."""
        if self._running is not None:
            self._call("deselect")

    def update(self) -> None:
        """Let a raw applet read and set its outputs."""
        self._call("update")

    def uninstall(self) -> bytes:
        """Tell the applet that it will be deleted; return its response."""
        return self._answer("uninstall")

    def grants(self, client: bytes, service: int, payer: WorkMeter | None = None) -> bool:
        """Return whether the applet shares a service with the applet of that AID.

        `payer` is the meter of the client, which is charged for what the applet burns.
        """
        return self._shares() and self._call("grants", client, service, payer=payer) is True

    def serve(
        self, client: bytes, service: int, request: bytes, payer: WorkMeter | None = None
    ) -> bytes:
        """Return the applet's answer to another one's request; `payer` as for `grants`."""
        answer = self._call("serve", client, service, request, payer=payer)
        assert isinstance(answer, bytes)
        return answer

    def _shares(self) -> bool:
        with self._turn:
            if self._running is None and not self._allowance.has_fuel(self._platform.clock.now()):
                raise self._out_of_allowance()
            return self._started().has("grants")

    def start(self) -> None:
        """Start the applet if it sleeps; other calls do so themselves."""
        with self._turn:
            self._started()

    def discard(self) -> None:
        """Let the applet lose its memory, as a card does when its power goes."""
        with self._turn:
            if self._running is not None:
                self._running.close()
                self._running = None

    @property
    def is_started(self) -> bool:
        """Whether it has memory that `discard` would lose."""
        return self._running is not None

    def _admit(self) -> None:
        if not self._allowance.admit(self._platform.clock.now()):
            self.usage = Usage()
            raise self._out_of_allowance()

    def _out_of_allowance(self) -> AppletFault:
        return AppletFault(
            self.bundle.manifest.name,
            FaultKind.OUT_OF_ALLOWANCE,
            "it has had what its manifest allows it in a minute",
        )

    def _answer(self, name: str, *arguments: Any) -> bytes:
        response = self._call(name, *arguments)
        assert isinstance(response, bytes)
        most = self.bundle.manifest.limits.response_bytes
        if not 2 <= len(response) <= most or not _is_status_word(response[-2:]):
            self.discard()
            raise AppletFault(
                self.bundle.manifest.name,
                FaultKind.BAD_ANSWER,
                f"{len(response)} bytes that end in {response[-2:].hex()}: not a response of at"
                f" most {most} bytes with a status word at its end",
            )
        return response

    def _call(self, name: str, *arguments: Any, payer: WorkMeter | None = None) -> Any:
        with self._turn:
            if self._busy:
                raise RuntimeError("an applet cannot be asked while it is answering")
            self._busy = True
            try:
                if name in _COUNTED:
                    self._admit()
                return self._guarded(name, arguments, payer)
            finally:
                self._busy = False

    def _guarded(
        self, name: str, arguments: tuple[Any, ...], payer: WorkMeter | None = None
    ) -> Any:
        fuel, was_asleep = self._fuel, self._running is None
        if payer is not None and payer.left is not None:
            # Who calls a server pays for it, and is left with enough to hear that it broke.
            fuel = min(fuel, payer.left // 2)
        running = self._started()
        started = running.fuel_used if was_asleep else 0
        running.refuel(max(1, min(fuel, limits.MAX_FUEL - started)))
        running.host.begin(answering=True)
        self._meter.put_in(running.host.take)
        try:
            answer = run_guarded(running, FaultKind.CRASH, name, *arguments)
        except BaseException as error:
            self._note(running, payer)
            self.discard()
            self._explain(error)
            raise
        finally:
            self._meter.put_in(None)
        running.host.answering = False
        self._note(running, payer)
        return answer

    def _note(self, running: Running, payer: WorkMeter | None = None) -> None:
        self.usage = Usage(running.fuel_used + running.host.owed, running.host.calls)
        paid = 0
        if payer is not None and payer.left is not None:
            # What the server owes beyond its part of the client's fuel is the server's own.
            paid = min(self.usage.fuel, payer.left // 2)
            payer.charge(paid)
        self._allowance.charge(self.usage.fuel - paid)

    def _started(self) -> Running:
        if self._running is None:
            self._running = self._start()
        return self._running

    def _start(self) -> Running:
        manifest, program = self.bundle.manifest, self._program()
        behind = Host(manifest, self._platform)
        behind.begin(answering=False)
        try:
            running = Running(
                program,
                behind,
                min(manifest.limits.memory_bytes, limits.MAX_MEMORY),
                limits.START_FUEL,
            )
        except wasmtime.WasmtimeError as error:
            self._allowance.charge(behind.owed)
            raise AppletFault(manifest.name, FaultKind.BAD_CODE, _trap_text(error)) from None
        if program.image is None:
            self._allowance.charge(running.fuel_used + behind.owed)
            return running
        try:
            run_guarded(running, FaultKind.BAD_CODE, "load", program.image, program.module)
        except BaseException as error:
            self._note(running)
            running.close()
            self._explain(error)
            raise
        self._allowance.charge(running.fuel_used)
        return running

    def _explain(self, error: BaseException) -> None:
        """Add each frame's line to a fault's traceback; the runtime inside has no sources."""
        if not isinstance(error, AppletFault):
            return

        def shown(frame: re.Match[str]) -> str:
            lines = self.bundle.sources.get(frame[1], b"").decode(errors="replace").splitlines()
            number = int(frame[2])
            if not 1 <= number <= len(lines):
                return frame[0]
            return f"{frame[0]}\n    {lines[number - 1].strip()}"

        error.detail = _FRAME.sub(shown, error.detail)[-MAX_DETAIL:]


def run_guarded(running: Running, crash: FaultKind, name: str, *arguments: Any) -> Any:
    """Call into an applet and return its answer; raise `AppletFault` whatever it does instead.

    An exception of a service of ours comes out as it is.
    """
    behind = running.host
    try:
        answer = running.call(name, *arguments)
    except Malformed as error:
        raise behind.fault(FaultKind.BAD_ANSWER, str(error)) from None
    except wasmtime.WasmtimeError as error:
        if behind.pending is not None:
            raise behind.pending from None
        kind = FaultKind.OUT_OF_FUEL if running.fuel_left == 0 else FaultKind.TRAP
        if "wasm trap: interrupt" in str(error):
            kind = FaultKind.OUT_OF_TIME
        raise behind.fault(kind, _trap_text(error)) from None
    if isinstance(answer, Err):
        text = str(answer.value)
        last_line = text.rstrip().rpartition("\n")[2]
        if last_line.startswith("MemoryError"):
            crash = FaultKind.OUT_OF_MEMORY
        raise behind.fault(crash, text[-MAX_DETAIL:])
    return answer.value


def _trap_text(error: wasmtime.WasmtimeError) -> str:
    text = str(error)
    if "`unreachable`" in text:
        text += "\nIt asked the system for a file, the time or randomness; there is no system here."
    return text[:2000] if len(text) < 2000 else f"{text[:1400]}\n...\n{text[-500:]}"


def _is_status_word(status: bytes) -> bool:
    # ISO/IEC 7816-4, 5.6: SW1 is 61 to 6F or 90 to 9F, and 60 means "wait".
    return 0x61 <= status[0] <= 0x6F or 0x90 <= status[0] <= 0x9F
