# SPDX-License-Identifier: Apache-2.0
"""A client made of gurux-dlms (GPL), for our server: run it in a process of its own environment.

Associates, with GMAC or another mechanism, reads a register, the clock, rows of a profile by entry,
a list of two values and the list of objects; prints them as JSON.

gurux_client.py '{"port": 4059, "hdlc": false, "suite": 0, "rows": 60, "dedicated": false}'
"""

import json
import socket
import sys

from gurux_dlms import GXReplyData
from gurux_dlms.ecdsa import GXPrivateKey, GXPublicKey
from gurux_dlms.enums import Authentication, InterfaceType, Security
from gurux_dlms.objects import GXDLMSClock, GXDLMSData, GXDLMSProfileGeneric, GXDLMSRegister
from gurux_dlms.objects.enums import SecuritySuite
from gurux_dlms.secure import GXDLMSSecureClient

OPTIONS = json.loads(sys.argv[1])


class Meter:
    def __init__(self):
        interface = InterfaceType.HDLC if OPTIONS["hdlc"] else InterfaceType.WRAPPER
        mechanism = Authentication(OPTIONS.get("mechanism", 5))
        self.client = GXDLMSSecureClient(True, 1, 1, mechanism, OPTIONS.get("secret"), interface)
        cipher = self.client.ciphering
        if OPTIONS.get("protects", True):
            cipher.security = Security.AUTHENTICATION_ENCRYPTION
        cipher.securitySuite = SecuritySuite(OPTIONS["suite"])
        cipher.systemTitle = bytearray(b"GRX\0\0\0\0\x02")
        cipher.blockCipherKey = bytearray(range(16))
        cipher.authenticationKey = bytearray(range(0xD0, 0xE0))
        cipher.invocationCounter = OPTIONS.get("counter", 1)
        if "private" in OPTIONS:
            cipher.signingKeyPair = (
                GXPublicKey.fromRawBytes(bytearray.fromhex(OPTIONS["public"])),
                GXPrivateKey.fromRawBytes(bytearray.fromhex(OPTIONS["private"])),
            )
        if OPTIONS.get("dedicated"):
            cipher.dedicatedKey = bytearray(range(0x20, 0x30))
        self.line = socket.create_connection(("127.0.0.1", OPTIONS["port"]), timeout=300)

    def frame(self, data, reply):
        self.line.sendall(bytes(data))
        received = bytearray()
        while True:
            piece = self.line.recv(4096)
            if not piece:
                raise ConnectionError("closed")
            received += piece
            buffer = bytearray(received)
            if self.client.getData(buffer, reply, None):
                return

    def ask(self, messages):
        reply = GXReplyData()
        for message in messages if isinstance(messages, list) else [messages]:
            if not message:
                continue
            reply.clear()
            self.frame(message, reply)
            while reply.isMoreData():
                self.frame(self.client.receiverReady(reply), reply)
            if reply.error:
                raise ValueError(f"error {reply.error}")
        return reply

    def read(self, item, attribute):
        reply = self.ask(self.client.read(item, attribute))
        return self.client.updateValue(item, attribute, reply.value)


def main():
    meter = Meter()
    client = meter.client
    if OPTIONS["hdlc"]:
        client.parseUAResponse(meter.ask(client.snrmRequest()).data)
    client.parseAareResponse(meter.ask(client.aarqRequest()).data)
    if OPTIONS.get("mechanism", 5) > 1:
        client.parseApplicationAssociationResponse(
            meter.ask(client.getApplicationAssociationRequest()).data
        )
    told = {}
    told["energy"] = meter.read(GXDLMSRegister("1.0.1.8.0.255"), 2)
    told["clock"] = str(meter.read(GXDLMSClock("0.0.1.0.0.255"), 2))
    profile = GXDLMSProfileGeneric("1.0.99.1.0.255")
    meter.read(profile, 3)
    reply = meter.ask(client.readRowsByEntry(profile, 1, OPTIONS["rows"]))
    client.updateValue(profile, 2, reply.value)
    told["rows"] = [row[2] for row in profile.buffer]
    items = [(GXDLMSRegister("1.0.1.8.0.255"), 2), (GXDLMSData("0.0.43.1.0.255"), 2)]
    [messages] = client.readList(items)
    told["list"] = list(meter.ask(messages).value)
    client.parseObjects(meter.ask(client.getObjectsRequest()).data, True)
    told["objects"] = sorted(
        f"{int(item.objectType)} {item.logicalName}" for item in client.objects
    )
    meter.ask(client.releaseRequest())
    if OPTIONS["hdlc"]:
        meter.ask(client.disconnectRequest())
    print(json.dumps(told))


main()
