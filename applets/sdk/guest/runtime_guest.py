# SPDX-License-Identifier: Apache-2.0
"""The component's program: answers the hub by asking the applet.

Everything here may be broken by the applet, which shares its memory. Nothing in the hub relies on
it; it only makes honest applets easy to write and their mistakes easy to find.
"""

import gc
import traceback
from typing import Any, Final

from componentize_py_types import Err  # type: ignore[import-not-found]

import sml_codec  # noqa: F401  (part of the snapshot: applets import it for nothing)
from applets.sdk import Applet as AppletBase
from applets.sdk import AppletError, Command, Response
from applets.sdk.guest import closing, loading, services
from protocols.platform.services import AppletExports, PythonExports, SharingExports
from protocols.platform.table import EXPORTS, Leaf, PlatformCall, PlatformInterface, reader, writer

MAX_TRACEBACK: Final = 8_000

_running: list[AppletBase] = []


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


class _AppletAnswers:
    def install(self, parameters: bytes) -> bytes:
        _running[0].install(parameters)
        return Response().encode()

    def select(self) -> bytes:
        return Response(_running[0].select()).encode()

    def process(self, command: bytes) -> bytes:
        response = _running[0].process(Command.decode(command))
        if not isinstance(response, Response):
            raise TypeError(f"process() must return a Response, not {type(response).__name__}")
        return response.encode()

    def deselect(self) -> None:
        _running[0].deselect()

    def update(self) -> None:
        _running[0].update()

    def uninstall(self) -> bytes:
        _running[0].uninstall()
        return Response().encode()


class _SharingAnswers:
    def grants(self, client: bytes, service: int) -> bool:
        return _running[0].grants(client, service) is True

    def serve(self, client: bytes, service: int, request: bytes) -> bytes:
        return _running[0].serve(client, service, request)


class _PythonAnswers:
    def compile(self, sources: bytes) -> str:
        closing.close(services.print_stream())
        return loading.compile_sources(sources)

    def load(self, image: str, module: str) -> str:
        closing.close(services.print_stream())
        base: type[AppletBase] = AppletBase  # type: ignore[type-abstract]
        applet_class, better_image = loading.load_applet(image, module, base)
        _running.append(applet_class(services.PLATFORM))
        return better_image


def _exported(
    interface: PlatformInterface, answers: AppletExports | SharingExports | PythonExports
) -> type:
    """Return the class that the hub's calls of an interface arrive at."""
    methods = {call.method: _answering(call, answers) for call in interface.calls.values()}
    return type(interface.name.title(), (), methods)


def _answering(call: PlatformCall, answers: object) -> Any:
    readers = [reader(leaf, services.INWARD) for leaf in call.parameters.values()]
    write = writer(call.result, {Leaf.BYTES: services.text_of})
    method = getattr(answers, call.method)
    has_status = call.interface == "applet" and call.result is Leaf.BYTES

    def answer(_self: object, *crossed: Any) -> Any:
        try:
            try:
                value = method(*(read(part) for read, part in zip(readers, crossed, strict=True)))
            except AppletError as error:
                if not has_status:
                    raise
                if error.reason:
                    services.say(error.reason)
                value = error.status.to_bytes(2, "big")
            return write(value)
        except BaseException as error:  # noqa: BLE001  (an applet raises what it likes)
            raise Err(_describe(error)) from None

    return answer


Applet: Final = _exported(EXPORTS[0], _AppletAnswers())
Sharing: Final = _exported(EXPORTS[1], _SharingAnswers())
Python: Final = _exported(EXPORTS[2], _PythonAnswers())

closing.load_library()
gc.collect()
gc.freeze()  # the snapshot's objects are shared by all instances: do not touch them to count them
