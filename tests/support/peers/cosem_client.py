# SPDX-License-Identifier: Apache-2.0
"""A client made of dlms-cosem, for our server: run it in an environment of its own.

Associates with GMAC, reads a register and rows of a profile, and prints them as JSON.

cosem_client.py '{"port": 4059, "hdlc": false, "suite": 0, "rows": 60, "dedicated": false}'
"""

import json
import logging
import sys
from datetime import datetime, timedelta, timezone

import structlog
from dlms_cosem import cosem, enumerations
from dlms_cosem.client import DlmsClient
from dlms_cosem.cosem.capture_object import CaptureObject
from dlms_cosem.cosem.selective_access import RangeDescriptor
from dlms_cosem.io import BlockingTcpIO, HdlcTransport, TcpTransport
from dlms_cosem.security import HighLevelSecurityGmacAuthentication
from dlms_cosem.utils import parse_as_dlms_data

structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
OPTIONS = json.loads(sys.argv[1])
SIZE = 32 if OPTIONS["suite"] == 2 else 16
START = datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=1)))


def attribute(interface, code, number):
    return cosem.CosemAttribute(interface, cosem.Obis.from_string(code), number)


def main():
    line = BlockingTcpIO("127.0.0.1", OPTIONS["port"], timeout=300)
    transport = HdlcTransport(1, 1, line) if OPTIONS["hdlc"] else TcpTransport(1, 1, line)
    client = DlmsClient(
        transport,
        HighLevelSecurityGmacAuthentication(challenge_length=32),
        encryption_key=bytes(range(SIZE)),
        authentication_key=bytes(range(0xE0 - SIZE, 0xE0)),
        security_suite=OPTIONS["suite"],
        dedicated_ciphering=OPTIONS.get("dedicated", False),
        block_transfer=True,
        max_pdu_size=1024,
        client_system_title=b"COS\0\0\0\0\x01",
        client_initial_invocation_counter=OPTIONS.get("counter", 1),
    )
    told = {}
    with client.session() as meter:
        register = attribute(enumerations.CosemInterface.REGISTER, "1.0.1.8.0.255", 2)
        told["energy"] = parse_as_dlms_data(meter.get(register))
        profile = attribute(enumerations.CosemInterface.PROFILE_GENERIC, "1.0.99.1.0.255", 2)
        clock = attribute(enumerations.CosemInterface.CLOCK, "0.0.1.0.0.255", 2)
        last = START + (OPTIONS["rows"] - 1) * timedelta(minutes=15)
        chosen = RangeDescriptor(CaptureObject(clock), START, last)  # entries it cannot ask for
        rows = parse_as_dlms_data(meter.get(profile, chosen))
        told["rows"] = [row[2] for row in rows]
    print(json.dumps(told))


main()
