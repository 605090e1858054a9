# SPDX-License-Identifier: Apache-2.0
"""A meter made of gurux-dlms (GPL), for our client: run it in a process and environment of its own.

Prints its port, then serves connections until its input ends. The server of gurux-dlms 1.0.203 for
Python cannot grant an association with GMAC, nor answer a GET (it calls what is not there). So
frames, reading the AARQ, ciphers, proofs and data are gurux's; the AARE and the services are here.

gurux_server.py '{"hdlc": false, "suite": 0, "rows": 500, "longest": 512}'
"""

import datetime
import json
import socket
import sys
import threading

from gurux_dlms import GXByteBuffer, GXDateTime
from gurux_dlms._GXAPDU import _GXAPDU
from gurux_dlms.AesGcmParameter import AesGcmParameter
from gurux_dlms.ConnectionState import ConnectionState
from gurux_dlms.enums import Command, DataType, InterfaceType, Security
from gurux_dlms.GXCiphering import GXCiphering
from gurux_dlms.GXDLMS import GXDLMS
from gurux_dlms.GXSecure import GXSecure
from gurux_dlms.GXServerReply import GXServerReply
from gurux_dlms.internal._GXCommon import _GXCommon
from gurux_dlms.internal._GXDataInfo import _GXDataInfo
from gurux_dlms.objects.enums import SecuritySuite
from gurux_dlms.secure import GXDLMSSecureServer

OPTIONS = json.loads(sys.argv[1])
START = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
ENERGY = (3, "1.0.1.8.0.255", 2)
CLOCK = (8, "0.0.1.0.0.255", 2)
PROFILE = (7, "1.0.99.1.0.255")


def encoded(*typed):
    buffer = GXByteBuffer()
    for kind, value in typed:
        _GXCommon.setData(None, buffer, kind, value)
    return bytes(buffer.array())


def column(class_id, name, attribute):
    return b"\2\4" + encoded(
        (DataType.UINT16, class_id),
        (DataType.OCTET_STRING, _GXCommon.logicalNameToBytes(name)),
        (DataType.INT8, attribute),
        (DataType.UINT16, 0),
    )


def row(number):
    moment = GXDateTime(START + number * datetime.timedelta(minutes=15))
    values = encoded((DataType.OCTET_STRING, moment), (DataType.UINT32, 1000 + 7 * number))
    return b"\2\2" + values


def rows(first, last):
    chosen = range(first - 1, min(last or OPTIONS["rows"], OPTIONS["rows"]))
    head = GXByteBuffer()
    head.setUInt8(DataType.ARRAY)
    _GXCommon.setObjectCount(len(chosen), head)
    return bytes(head.array()) + b"".join(map(row, chosen))


def value_of(class_id, name, attribute, parameters):
    if (class_id, name, attribute) == ENERGY:
        return encoded((DataType.UINT32, 4408736))
    if (class_id, name, attribute) == CLOCK:
        return encoded((DataType.OCTET_STRING, GXDateTime(START)))
    if (class_id, name) == PROFILE and attribute == 3:
        return b"\1\2" + column(*CLOCK) + column(*ENERGY)
    if (class_id, name) == PROFILE and attribute == 2:
        return rows(*(parameters[:2] if parameters else (1, 0)))
    return None


def open_request(settings, data):
    """Gurux leaves the tag out of the parameters, and then all of them stand wrong."""
    data.data.position -= 1
    cipher = settings.cipher
    key = cipher.dedicatedKey or cipher.blockCipherKey
    parameters = AesGcmParameter(0, settings.sourceSystemTitle, key, cipher.authenticationKey)
    plain = GXCiphering.decrypt(settings, parameters, data.data)
    data.data.clear()
    data.data.set(plain)
    data.command = Command(data.data.getUInt8())


GXDLMS.handleGloDedRequest = open_request


class Reply(GXServerReply):
    def setReply(self, value):
        self.reply = value

    def getConnectionInfo(self):
        return self.connectionInfo


class Server(GXDLMSSecureServer):
    long = b""

    def isTarget(self, serverAddress, clientAddress):
        return True

    def onDisconnected(self, connectionInfo):
        pass

    def handleCommand(self, cmd, data, sr):
        if cmd in (Command.GET_REQUEST, Command.METHOD_REQUEST, Command.RELEASE_REQUEST):
            if cmd == Command.GET_REQUEST:
                self.send(self.get(data), Command.GLO_GET_RESPONSE)
            elif cmd == Command.METHOD_REQUEST:
                self.send(self.prove(data), Command.GLO_METHOD_RESPONSE)
            else:
                self.send(bytes.fromhex("6303800100"), None)
            return self.framed(cmd)
        return super().handleCommand(cmd, data, sr)

    def handleSnrmRequest(self, data):
        self.reset(True)
        self.replyData.set(bytes.fromhex("8180140502008006020080070400000001080400000001"))
        self.settings.connected = ConnectionState.HDLC

    def generateDisconnectRequest(self):
        pass

    def framed(self, cmd):
        if self.settings.interfaceType == InterfaceType.WRAPPER:
            return GXDLMS.getWrapperFrame(self.settings, cmd, self.replyData)
        return GXDLMS.getHdlcFrame(self.settings, 0, self.replyData)

    def send(self, apdu, tag):
        if tag is not None:
            cipher = self.settings.cipher
            parameters = AesGcmParameter(
                tag, cipher.systemTitle, cipher.blockCipherKey, cipher.authenticationKey
            )
            parameters.security = Security.AUTHENTICATION_ENCRYPTION
            parameters.securitySuite = cipher.securitySuite
            parameters.invocationCounter = cipher.invocationCounter
            cipher.invocationCounter += 1
            apdu = bytes(GXCiphering.encrypt(parameters, bytearray(apdu)))
        if self.settings.interfaceType == InterfaceType.HDLC:
            self.replyData.set(_GXCommon.LLC_REPLY_BYTES)
        self.replyData.set(bytearray(apdu))

    def attribute(self, data):
        class_id, name = data.getUInt16(), bytearray(6)
        data.get(name)
        number, parameters = data.getUInt8(), None
        if data.getUInt8():
            data.getUInt8()
            parameters = _GXCommon.getData(self.settings, data, _GXDataInfo())
        return value_of(class_id, _GXCommon.toLogicalName(name), number, parameters)

    def get(self, data):
        kind, invoke = data.getUInt8(), data.getUInt8()
        if kind == 2:
            return self.block(invoke, data.getUInt32() + 1)
        if kind == 3:
            found = [self.attribute(data) for _ in range(data.getUInt8())]
            results = (b"\1\4" if value is None else b"\0" + value for value in found)
            return bytes([0xC4, 3, invoke, len(found)]) + b"".join(results)
        value = self.attribute(data)
        if value is None:
            return bytes([0xC4, 1, invoke, 1, 4])
        if len(value) < OPTIONS["longest"] - 40:
            return bytes([0xC4, 1, invoke, 0]) + value
        self.long = value
        return self.block(invoke, 1)

    def block(self, invoke, number):
        size = OPTIONS["longest"] - 60
        piece, self.long = self.long[:size], self.long[size:]
        head = bytes([0xC4, 2, invoke, not self.long]) + number.to_bytes(4, "big") + b"\0"
        length = GXByteBuffer()
        _GXCommon.setObjectCount(len(piece), length)
        return head + bytes(length.array()) + piece

    def prove(self, data):
        settings, cipher = self.settings, self.settings.cipher
        data.getUInt8()
        invoke = data.getUInt8()
        answer = bytes(data.array())[-17:]
        counter = int.from_bytes(answer[1:5], "big")
        due = GXSecure.secure(
            settings, cipher, counter, settings.stoCChallenge, settings.sourceSystemTitle
        )
        if bytes(due) != answer:
            return bytes([0xC7, 1, invoke, 3, 0])
        own = GXSecure.secure(
            settings, cipher, cipher.invocationCounter, settings.ctoSChallenge, cipher.systemTitle
        )
        return bytes([0xC7, 1, invoke, 0, 1, 0, 9, len(own)]) + bytes(own)

    def handleAarqRequest(self, data, connectionInfo):
        settings = self.settings
        settings.setCtoSChallenge(None)
        settings.cipher.dedicatedKey = None
        if settings.interfaceType == InterfaceType.WRAPPER:
            self.reset(True)
        _GXAPDU.parsePDU(settings, settings.cipher, data, None)
        settings.setStoCChallenge(GXSecure.generateChallenge())
        settings.cipher.security = Security.AUTHENTICATION_ENCRYPTION
        initiate = bytes.fromhex("0800065f1f0400001a1d") + OPTIONS["longest"].to_bytes(2, "big")
        buffer, self.replyData = self.replyData, GXByteBuffer()
        self.send(initiate + b"\0\7", Command.GLO_INITIATE_RESPONSE)
        information = bytes(self.replyData.array())
        self.replyData = buffer
        if settings.interfaceType == InterfaceType.HDLC:
            information = information[3:]
        challenge = bytes(settings.stoCChallenge)
        fields = (
            (0xA1, bytes.fromhex("060760857405080103")),
            (0xA2, b"\2\1\0"),
            (0xA3, b"\xa1\3\2\1\x0e"),
            (0xA4, b"\4\x08" + bytes(settings.cipher.systemTitle)),
            (0x88, b"\7\x80"),
            (0x89, bytes.fromhex("60857405080205")),
            (0xAA, bytes([0x80, len(challenge)]) + challenge),
            (0xBE, bytes([4, len(information)]) + information),
        )
        body = b"".join(bytes([tag, len(value)]) + value for tag, value in fields)
        self.send(bytes([0x61, len(body)]) + body, None)


def server():
    interface = InterfaceType.HDLC if OPTIONS["hdlc"] else InterfaceType.WRAPPER
    made = Server(True, interface)
    cipher = made.settings.cipher = made.settings.ciphering
    cipher.systemTitle = bytearray(b"GRX\0\0\0\0\x01")
    cipher.securitySuite = SecuritySuite(OPTIONS["suite"])
    cipher.blockCipherKey = bytearray(range(16))
    cipher.authenticationKey = bytearray(range(0xD0, 0xE0))
    made.initialized = True
    return made


def talk(made, connection):
    while piece := connection.recv(4096):
        reply = Reply(bytearray(piece))
        made.handleRequest(reply)
        if reply.reply:
            connection.sendall(bytes(reply.reply))


def main():
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)

    def serve():
        while True:
            connection, _ = listener.accept()
            with connection:
                talk(server(), connection)

    threading.Thread(target=serve, daemon=True).start()
    sys.stdin.read()


main()
