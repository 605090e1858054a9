# SPDX-License-Identifier: Apache-2.0
"""The component's program: answers the hub by asking the applet.

Everything here may be broken by the applet, which shares its memory. Nothing in the hub relies on
it; it only makes honest applets easy to write and their mistakes easy to find.
"""

import gc
import traceback
from collections.abc import Callable
from typing import Final, TypeVar

from componentize_py_types import Err  # type: ignore[import-not-found]

import sml_codec  # noqa: F401  (part of the snapshot: applets import it for nothing)
from applets.sdk import Applet as AppletBase
from applets.sdk import AppletError, Command, Response
from applets.sdk.guest import closing, loading, services

ValueT = TypeVar("ValueT")

MAX_TRACEBACK: Final = 8_000

_running: list[AppletBase] = []


def _guarded(work: Callable[[], ValueT]) -> ValueT:
    try:
        return work()
    except BaseException as error:  # noqa: BLE001  (an applet raises what it likes)
        raise Err(_describe(error)) from None


def _answered(work: Callable[[], bytes]) -> str:
    try:
        return services.text_of(work())
    except AppletError as error:
        return services.text_of(error.status.to_bytes(2, "big"))


def _describe(error: BaseException) -> str:
    """Return the traceback without the runtime's own frames; the end of it, if it is long."""
    try:
        trace = error.__traceback__
        while trace is not None and trace.tb_frame.f_code.co_filename == __file__:
            trace = trace.tb_next
        lines = traceback.format_exception(type(error), error, trace)
        return services.printable("".join(lines)[-MAX_TRACEBACK:])
    except BaseException:  # noqa: BLE001  (no memory for it, or an exception that raises)
        return type(error).__name__


def _install(parameters: bytes) -> bytes:
    _running[0].install(parameters)
    return Response().encode()


def _process(command: bytes) -> bytes:
    response = _running[0].process(Command.decode(command))
    if not isinstance(response, Response):
        raise TypeError(f"process() must return a Response, not {type(response).__name__}")
    return response.encode()


def _uninstall() -> bytes:
    _running[0].uninstall()
    return Response().encode()


def _compile(sources: bytes) -> str:
    closing.close(services.print_stream())
    return loading.compile_sources(sources)


def _load(image: str, module: str) -> str:
    closing.close(services.print_stream())
    base: type[AppletBase] = AppletBase  # type: ignore[type-abstract]
    applet_class, better_image = loading.load_applet(image, module, base)
    _running.append(applet_class(services.platform()))
    return better_image


class Applet:
    """The interface `applet`, with text for bytes."""

    def install(self, parameters: str) -> str:
        """Forward to the applet."""
        given = services.bytes_of(parameters)
        return _guarded(lambda: _answered(lambda: _install(given)))

    def select(self) -> str:
        """Forward to the applet."""
        return _guarded(lambda: _answered(lambda: Response(_running[0].select()).encode()))

    def process(self, command: str) -> str:
        """Forward to the applet, decoded."""
        given = services.bytes_of(command)
        return _guarded(lambda: _answered(lambda: _process(given)))

    def deselect(self) -> None:
        """Forward to the applet."""
        _guarded(lambda: _running[0].deselect())

    def update(self) -> None:
        """Forward to the applet."""
        _guarded(lambda: _running[0].update())

    def uninstall(self) -> str:
        """Forward to the applet."""
        return _guarded(lambda: _answered(_uninstall))


class Sharing:
    """The interface `sharing`, with text for bytes."""

    def grants(self, client: str, service: int) -> bool:
        """Forward to the applet."""
        given = services.bytes_of(client)
        return _guarded(lambda: _running[0].grants(given, service) is True)

    def serve(self, client: str, service: int, request: str) -> str:
        """Forward to the applet."""
        given, asked = services.bytes_of(client), services.bytes_of(request)
        return _guarded(lambda: services.text_of(_running[0].serve(given, service, asked)))


class Python:
    """The interface `python`, with text for bytes."""

    def compile(self, sources: str) -> str:
        """Return the image of the sources."""
        return _guarded(lambda: _compile(services.bytes_of(sources)))

    def load(self, image: str, module: str) -> str:
        """Start the applet class in `module`."""
        return _guarded(lambda: _load(image, module))


closing.load_library()
gc.collect()
gc.freeze()  # the snapshot's objects are shared by all instances: do not touch them to count them
