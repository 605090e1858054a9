# SPDX-License-Identifier: Apache-2.0
"""Decodes captures with another library and prints microseconds a telegram; run as a process.

    python benchmarks/dlms_peers.py amshan|dlms-cosem|gurux FILE [KEY AUTH-KEY SYSTEM-TITLE]

gurux-dlms has the GPL: no module of ours imports this file.
"""

import json
import sys
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from importlib import import_module
from io import StringIO
from pathlib import Path
from typing import Any

ROUNDS, CALLS = 20, 20


def amshan(data: bytes, _secrets: list[bytes]) -> Callable[[], object]:
    frames, decoder = import_module("han.hdlc"), import_module("han.autodecoder").AutoDecoder()

    def run() -> object:
        [frame] = frames.HdlcFrameReader(False).read(data)
        return decoder.decode_message(frame)

    return run


def dlms_cosem(data: bytes, _secrets: list[bytes]) -> Callable[[], object]:
    frames = import_module("dlms_cosem.hdlc.frames")
    messages = import_module("dlms_cosem.protocol.xdlms")
    parse = import_module("dlms_cosem.utils").parse_as_dlms_data

    def run() -> object:
        frame = frames.UnnumberedInformationFrame.from_bytes(data)
        return parse(messages.DataNotification.from_bytes(frame.payload[3:]).body)

    return run


def gurux(data: bytes, secrets: list[bytes]) -> Callable[[], object]:
    library: Any = import_module("gurux_dlms")
    enums: Any = import_module("gurux_dlms.enums")
    make: Any = import_module("gurux_dlms.secure").GXDLMSSecureClient

    def run() -> object:
        client = make(True, 0, 0, enums.Authentication.NONE, None, enums.InterfaceType.HDLC)
        if secrets:
            client.ciphering.security = enums.Security.AUTHENTICATION_ENCRYPTION
            client.ciphering.blockCipherKey, client.ciphering.authenticationKey = secrets[:2]
            client.ciphering.systemTitle = secrets[2]
        buffer = library.GXByteBuffer(data)
        reply, push = library.GXReplyData(), library.GXReplyData()
        for _ in range(8):
            client.getData(buffer, reply, push)
            if buffer.position >= len(data):
                break
        return push.value

    return run


WAYS = {"amshan": amshan, "dlms-cosem": dlms_cosem, "gurux": gurux}


def main(way: str, path: str, *secrets: str) -> None:
    """Print the outcome as JSON: `µs`, or why there is none."""
    data = Path(path).read_bytes()
    try:
        run = WAYS[way](data, [bytes.fromhex(secret) for secret in secrets])
        with redirect_stdout(StringIO()):  # gurux tells what it deciphers
            if run() is None:
                raise ValueError("it reads nothing")
            times = []
            for _ in range(ROUNDS):
                begin = time.perf_counter()
                for _ in range(CALLS):
                    run()
                times.append((time.perf_counter() - begin) / CALLS)
    except Exception as error:  # noqa: BLE001  (whatever a peer raises is its outcome)
        print(json.dumps({"error": f"{type(error).__name__}: {error}"[:120]}))
        return
    print(json.dumps({"µs": min(times) * 1e6}))


if __name__ == "__main__":
    main(*sys.argv[1:])
