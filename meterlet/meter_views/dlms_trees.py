# SPDX-License-Identifier: Apache-2.0
"""Values and messages of DLMS as trees of JSON: nothing is left out."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, Final

from dlms_codec import (
    NO_KEYS,
    Apdu,
    Data,
    Deciphered,
    DlmsError,
    Keys,
    SecurityError,
    decipher_apdu,
    decode_apdu,
    result_name,
)
from dlms_codec.apdus import action, get
from dlms_codec.apdus import set as setting
from dlms_codec.apdus.access import AccessRequest, AccessResponse
from dlms_codec.apdus.acse import Aare, Aarq, Mechanism, Rlre, Rlrq
from dlms_codec.apdus.addressing import Attribute, DataBlock, Failure, Method, Value
from dlms_codec.apdus.initiate import InitiateRequest, InitiateResponse
from dlms_codec.apdus.notifications import DataNotification, EventNotification
from dlms_codec.apdus.refusals import ConfirmedServiceError, ExceptionResponse
from dlms_codec.axdr import elements_of
from dlms_codec.blocks import GeneralBlockTransfer
from dlms_codec.data import (
    Array,
    BitString,
    CompactArray,
    Descriptor,
    DontCare,
    Structure,
    Utf8String,
    VisibleString,
)
from dlms_codec.datetimes import Date, DateTime, Time
from dlms_codec.numbers import Bcd, Boolean, Enum, Float32, Float64, SizedInt
from dlms_codec.protection import GeneralCiphered, GeneralCiphering, ProtectedText, ServiceCiphered

Tree = dict[str, Any]

_KINDS: Final = ((VisibleString, "string"), (Utf8String, "utf8"), (DateTime, "date-time"),
                 (Date, "date"), (Time, "time"))  # fmt: skip


def data_tree(value: Data) -> Tree:
    """Return a value with its type, as {"uint32": 5}."""
    if isinstance(value, Array):
        return {"array": [data_tree(item) for item in value]}
    if isinstance(value, Structure):
        return {"structure": [data_tree(item) for item in value]}
    if isinstance(value, CompactArray):
        return {"array": [data_tree(item) for item in elements_of(value)]}
    if isinstance(value, Descriptor):
        return {"descriptor": [value.class_id, str(value.obis), value.attribute]}
    return {_type_name(value): plain_value(value)}


def _type_name(value: Data) -> str:
    if value is None:
        return "null"
    if isinstance(value, bytes):
        return next((name for kind, name in _KINDS if isinstance(value, kind)), "octets")
    if isinstance(value, Boolean | Bcd | Enum):
        return {Boolean: "bool", Bcd: "bcd", Enum: "enum"}[type(value)]
    if isinstance(value, SizedInt | Float32 | Float64):
        return type(value).__name__.lower()
    if isinstance(value, BitString):
        return "bits"
    return "dontcare"


def plain_value(value: Data) -> Any:
    """Return a value without its type: number, hex of octets, text, truth, null, or a list."""
    if value is None or isinstance(value, DontCare):
        return None
    if isinstance(value, Boolean):
        return bool(value)
    if isinstance(value, SizedInt):
        return int(value)
    if isinstance(value, VisibleString | Utf8String):
        return value.text
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Float32 | Float64):
        return value.value if math.isfinite(value.value) else str(value.value)
    if isinstance(value, BitString):
        return "".join("1" if bit else "0" for bit in value.bits)
    if isinstance(value, CompactArray):
        return [data_tree(item) for item in elements_of(value)]
    if isinstance(value, Descriptor):
        return [value.class_id, str(value.obis), value.attribute]
    return [data_tree(item) for item in value]


class DialogueTrees:
    """Messages of one dialogue as trees; what is protected has `plain` if it can be read.

    The system titles and the dedicated key that messages tell are used for those that follow.
    """

    def __init__(self, keys: Keys = NO_KEYS, system_title: bytes | None = None) -> None:
        self._keys = keys
        self._titles = [] if system_title is None else [system_title]

    def of(self, apdu: Apdu) -> Tree:
        """Return a message as a tree."""
        if isinstance(apdu, Aarq | Aare | Rlrq | Rlre):
            return self._association(apdu)
        if isinstance(apdu, GeneralCiphered | ServiceCiphered | GeneralCiphering):
            return self._protected(apdu)
        if isinstance(apdu, InitiateRequest | InitiateResponse):
            if isinstance(apdu, InitiateRequest) and len(apdu.dedicated_key or b"") in (16, 32):
                self._keys = replace(self._keys, dedicated=apdu.dedicated_key)
            return _initiate(apdu)
        if isinstance(apdu, DataNotification):
            return {"apdu": "data-notification", "invoke": apdu.invoke,
                    "time": _time(apdu.time), "data": data_tree(apdu.body)}  # fmt: skip
        if isinstance(apdu, EventNotification):
            return {"apdu": "event-notification-request", "time": _time(apdu.time),
                    **_attribute(apdu.attribute), "data": data_tree(apdu.value)}  # fmt: skip
        if isinstance(apdu, ExceptionResponse):
            state, _, service = apdu.reason.partition(", ")
            counter = {} if apdu.counter is None else {"counter": apdu.counter}
            return {"apdu": "exception-response", "state": state, "service": service} | counter
        if isinstance(apdu, ConfirmedServiceError):
            return {"apdu": "confirmed-service-error", "service": apdu.service,
                    "choice": apdu.kind, "error": apdu.error, "reason": apdu.reason}  # fmt: skip
        if isinstance(apdu, AccessRequest | AccessResponse):
            return _access(apdu)
        if isinstance(apdu, GeneralBlockTransfer):
            return {"apdu": "general-block-transfer", "block": apdu.number, "last": apdu.last,
                    "streaming": apdu.streaming, "window": apdu.window,
                    "acknowledged": apdu.acknowledged, "raw": apdu.piece.hex()}  # fmt: skip
        return {"invoke": apdu.invoke} | _service(apdu)

    def _association(self, apdu: Aarq | Aare | Rlrq | Rlre) -> Tree:
        tree: Tree = {"apdu": type(apdu).__name__.lower()}
        if isinstance(apdu, Rlrq | Rlre):
            if apdu.reason is not None:
                tree["reason"] = apdu.reason
        else:
            tree["context"] = apdu.context
            if isinstance(apdu, Aare):
                source = {1: "user", 2: "provider"}[apdu.diagnostic.source]
                tree |= {"result": apdu.result, "diagnostic_source": source,
                         "diagnostic": apdu.diagnostic.code}  # fmt: skip
            if apdu.system_title is not None:
                tree["system_title"] = apdu.system_title.hex()
            if apdu.acse_requirements is not None:
                tree["acse_requirements"] = apdu.acse_requirements
            if apdu.mechanism is not None:
                tree["mechanism"] = _mechanism(apdu.mechanism)
            if apdu.authentication is not None:
                tree["authentication"] = apdu.authentication.hex()
            if apdu.others:
                tree["others"] = {f"{tag:02x}": value.hex() for tag, value in apdu.others}
            if apdu.system_title is not None:
                self._learn(apdu.system_title)
        if apdu.user_information is not None:
            try:
                tree["user_information"] = self.of(decode_apdu(apdu.user_information))
            except DlmsError as error:
                tree["user_information"] = {"raw": apdu.user_information.hex()}
                tree["error"] = str(error)
        return tree

    def _learn(self, title: bytes) -> None:
        if title in self._titles:
            self._titles.remove(title)
        self._titles = [title, *self._titles[:3]]

    def _protected(self, apdu: GeneralCiphered | ServiceCiphered | GeneralCiphering) -> Tree:
        tree: Tree
        if isinstance(apdu, ServiceCiphered):
            tree = {"apdu": apdu.name}
        elif isinstance(apdu, GeneralCiphered):
            name = "general-ded-ciphering" if apdu.dedicated else "general-glo-ciphering"
            tree = {"apdu": name, "system_title": apdu.system_title.hex()}
        else:
            tree = {"apdu": "general-ciphering", "system_title": apdu.originator.hex(),
                    "recipient": apdu.recipient.hex(),
                    "key_information": apdu.key_information.hex()}  # fmt: skip
        protected: ProtectedText = apdu.protected
        tree |= {"security": protected.control, "counter": protected.counter}
        try:
            clear = self._decipher(apdu)
            plain = self.of(decode_apdu(clear.apdu))
        except DlmsError as error:
            wrong = isinstance(error, SecurityError) and bool(protected.authenticated)
            known = self._keys.encryption is not None and self._keys.authentication is not None
            tree |= {"authenticated": False if wrong and known else None, "error": str(error)}
            return tree
        return tree | {"authenticated": clear.authenticated, "plain": plain}

    def _decipher(self, apdu: GeneralCiphered | ServiceCiphered | GeneralCiphering) -> Deciphered:
        """Return what is inside, by the first title that fits; raise why the last one does not."""
        failure: DlmsError | None = None
        titles: list[bytes | None] = [*self._titles] or [None]
        for title in titles:
            try:
                return decipher_apdu(apdu, self._keys, system_title=title, is_message=_is_message)
            except DlmsError as error:
                failure = error
        raise failure or AssertionError("at least one title, or none, was tried")


def _is_message(plain: bytes) -> bool:
    try:
        decode_apdu(plain)
    except DlmsError:
        return False
    return True


def _mechanism(number: int) -> str | int:
    return Mechanism(number).name.lower() if number in Mechanism.__members__.values() else number


def _time(time: DateTime | None) -> str | None:
    if time is None or time.local is None:
        return None
    return time.local.isoformat()


def _initiate(apdu: InitiateRequest | InitiateResponse) -> Tree:
    tree: Tree = {}
    if isinstance(apdu, InitiateRequest):
        tree["apdu"] = "initiate-request"
        if apdu.dedicated_key is not None:
            tree["dedicated_key"] = apdu.dedicated_key.hex()
        if apdu.response_allowed is not None:
            tree["response_allowed"] = apdu.response_allowed
    else:
        tree["apdu"] = "initiate-response"
    if apdu.quality is not None:
        tree["quality"] = apdu.quality
    tree |= {"dlms_version": apdu.version, "conformance": list(apdu.conformance.bit_numbers),
             "max_pdu": apdu.longest}  # fmt: skip
    return tree | ({"vaa": apdu.name} if isinstance(apdu, InitiateResponse) else {})


def _attribute(asked: Attribute) -> Tree:
    tree: Tree = {
        "class": asked.class_id, "obis": str(asked.obis), "attribute": asked.attribute
    }  # fmt: skip
    if asked.access is not None:
        parameters = data_tree(asked.access.parameters)
        tree["access"] = {"selector": asked.access.selector, "parameters": parameters}
    return tree


def _method(asked: Method) -> Tree:
    return {"class": asked.class_id, "obis": str(asked.obis), "method": asked.method}


def _block(block: DataBlock) -> Tree:
    return {"last": block.last, "block": block.number, "raw": block.piece.hex()}


def _result(result: Value | Failure) -> Tree:
    if isinstance(result, Failure):
        return {"error": result_name(result.result)}
    return {"data": data_tree(result.data)}


def _outcome(outcome: action.Outcome) -> Tree:
    back = {} if outcome.returned is None else _result(outcome.returned)
    return {"result": result_name(outcome.result)} | back


def _access(apdu: AccessRequest | AccessResponse) -> Tree:
    name = "access-request" if isinstance(apdu, AccessRequest) else "access-response"
    tree: Tree = {"invoke": apdu.invoke, "apdu": name, "time": apdu.time.hex()}
    if apdu.accesses is not None:
        names = {1: "get", 2: "set", 3: "action"}
        tree["list"] = [
            {"access": names[each.kind]}
            | (_method(each.target) if isinstance(each.target, Method) else _attribute(each.target))
            for each in apdu.accesses
        ]
    tree["data"] = [data_tree(value) for value in apdu.data]
    if isinstance(apdu, AccessResponse):
        tree["results"] = [result_name(outcome.result) for outcome in apdu.outcomes]
    return tree


def _service(
    apdu: get.AnyGetRequest
    | get.AnyGetResponse
    | setting.AnySetRequest
    | setting.AnySetResponse
    | action.AnyActionRequest
    | action.AnyActionResponse,
) -> Tree:
    match apdu:
        case get.GetRequest(attribute=asked):
            return {"apdu": "get-request-normal"} | _attribute(asked)
        case get.GetRequestNext(block=number):
            return {"apdu": "get-request-next", "block": number}
        case get.GetRequestList(attributes=attributes):
            return {"apdu": "get-request-with-list", "list": [_attribute(a) for a in attributes]}
        case get.GetResponse(result=result):
            return {"apdu": "get-response-normal"} | _result(result)
        case get.GetResponseBlock(last=last, block=number, result=piece):
            failed = isinstance(piece, Failure)
            content = _result(piece) if isinstance(piece, Failure) else {"raw": piece.hex()}
            assert failed == ("error" in content)
            return {"apdu": "get-response-block", "last": last, "block": number} | content
        case get.GetResponseList(results=results):
            return {"apdu": "get-response-with-list", "list": [_result(r) for r in results]}
        case setting.SetRequest(attribute=asked, value=value):
            tree = {"apdu": "set-request-normal"} | _attribute(asked)
            return tree | {"data": data_tree(value)}
        case setting.SetRequestFirstBlock(attribute=asked, block=block):
            tree = {"apdu": "set-request-with-first-datablock"} | _attribute(asked)
            return tree | _block(block)
        case setting.SetRequestBlock(block=block):
            return {"apdu": "set-request-with-datablock"} | _block(block)
        case setting.SetRequestList(attributes=attributes, values=values):
            named = [_attribute(a) for a in attributes]
            data = [data_tree(value) for value in values]
            return {"apdu": "set-request-with-list", "list": named, "data": data}
        case setting.SetRequestListFirstBlock(attributes=attributes, block=block):
            named = [_attribute(a) for a in attributes]
            name = "set-request-with-list-and-first-datablock"
            return {"apdu": name, "list": named} | _block(block)
        case setting.SetResponse(result=code):
            return {"apdu": "set-response-normal", "result": result_name(code)}
        case setting.SetResponseBlock(block=number):
            return {"apdu": "set-response-datablock", "block": number}
        case setting.SetResponseLastBlock(result=code, block=number):
            name = "set-response-last-datablock"
            return {"apdu": name, "result": result_name(code), "block": number}
        case setting.SetResponseListLastBlock(results=codes, block=number):
            named = [{"result": result_name(code)} for code in codes]
            name = "set-response-last-datablock-with-list"
            return {"apdu": name, "list": named, "block": number}
        case setting.SetResponseList(results=codes):
            named = [{"result": result_name(code)} for code in codes]
            return {"apdu": "set-response-with-list", "list": named}
        case _:
            return _action(apdu)


def _action(apdu: action.AnyActionRequest | action.AnyActionResponse) -> Tree:
    match apdu:
        case action.ActionRequest(method=method, parameters=parameters):
            tree = {"apdu": "action-request-normal"} | _method(method)
            if isinstance(parameters, action.NoParameters):
                return tree
            return tree | {"data": data_tree(parameters)}
        case action.ActionRequestNext(block=number):
            return {"apdu": "action-request-next-pblock", "block": number}
        case action.ActionRequestList(methods=methods, parameters=values):
            named = [_method(method) for method in methods]
            data = [data_tree(value) for value in values]
            return {"apdu": "action-request-with-list", "list": named, "data": data}
        case action.ActionRequestFirstBlock(method=method, block=block):
            tree = {"apdu": "action-request-with-first-pblock"} | _method(method)
            return tree | _block(block)
        case action.ActionRequestListFirstBlock(methods=methods, block=block):
            named = [_method(method) for method in methods]
            name = "action-request-with-list-and-first-pblock"
            return {"apdu": name, "list": named} | _block(block)
        case action.ActionRequestBlock(block=block):
            return {"apdu": "action-request-with-pblock"} | _block(block)
        case action.ActionResponse(outcome=outcome):
            return {"apdu": "action-response-normal"} | _outcome(outcome)
        case action.ActionResponseBlock(block=block):
            return {"apdu": "action-response-with-pblock"} | _block(block)
        case action.ActionResponseList(outcomes=outcomes):
            return {"apdu": "action-response-with-list", "list": [_outcome(o) for o in outcomes]}
        case action.ActionResponseNext(block=number):
            return {"apdu": "action-response-next-pblock", "block": number}
