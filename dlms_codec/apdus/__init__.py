# SPDX-License-Identifier: Apache-2.0
"""The messages of DLMS, each a frozen type in the module of its service.

decode_apdu(bytes) -> Apdu          Apdu.encode() -> the same bytes
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

from dlms_codec.apdus.access import AnyAccess, read_access_request, read_access_response
from dlms_codec.apdus.acse import (
    Aare,
    Aarq,
    Rlre,
    Rlrq,
    decode_aare,
    decode_aarq,
    decode_rlre,
    decode_rlrq,
)
from dlms_codec.apdus.action import (
    AnyActionRequest,
    AnyActionResponse,
    read_action_request,
    read_action_response,
)
from dlms_codec.apdus.get import (
    AnyGetRequest,
    AnyGetResponse,
    read_get_request,
    read_get_response,
)
from dlms_codec.apdus.initiate import (
    InitiateRequest,
    InitiateResponse,
    read_initiate_request,
    read_initiate_response,
)
from dlms_codec.apdus.notifications import (
    DataNotification,
    EventNotification,
    read_event_notification,
)
from dlms_codec.apdus.refusals import (
    ConfirmedServiceError,
    ExceptionResponse,
    read_confirmed_service_error,
    read_exception_response,
)
from dlms_codec.apdus.set import (
    AnySetRequest,
    AnySetResponse,
    read_set_request,
    read_set_response,
)
from dlms_codec.blocks import GeneralBlockTransfer
from dlms_codec.errors import MalformedDlms
from dlms_codec.options import DEFAULT_LIMITS, Limits, Quirk
from dlms_codec.protection import SERVICES, GeneralCiphered, GeneralCiphering, ServiceCiphered
from dlms_codec.reader import Reader

Apdu: TypeAlias = (
    Aarq
    | Aare
    | Rlrq
    | Rlre
    | InitiateRequest
    | InitiateResponse
    | AnyGetRequest
    | AnyGetResponse
    | AnySetRequest
    | AnySetResponse
    | AnyActionRequest
    | AnyActionResponse
    | AnyAccess
    | DataNotification
    | EventNotification
    | ExceptionResponse
    | ConfirmedServiceError
    | GeneralCiphered
    | GeneralCiphering
    | ServiceCiphered
    | GeneralBlockTransfer
)
"""Any message."""

_WHOLE: Final[dict[int, Callable[[bytes], Apdu]]] = {
    Aarq.tag: decode_aarq,
    Aare.tag: decode_aare,
    Rlrq.tag: decode_rlrq,
    Rlre.tag: decode_rlre,
    GeneralCiphered.GLOBAL_TAG: GeneralCiphered.decode,
    GeneralCiphered.DEDICATED_TAG: GeneralCiphered.decode,
    GeneralCiphering.TAG: GeneralCiphering.decode,
    GeneralBlockTransfer.tag: GeneralBlockTransfer.decode,
    **dict.fromkeys(SERVICES, ServiceCiphered.decode),
}

_FIELDS: Final[dict[int, Callable[[Reader], Apdu]]] = {
    InitiateRequest.tag: read_initiate_request,
    InitiateResponse.tag: read_initiate_response,
    ConfirmedServiceError.tag: read_confirmed_service_error,
    ExceptionResponse.tag: read_exception_response,
    EventNotification.tag: read_event_notification,
    0xC0: read_get_request,
    0xC1: read_set_request,
    0xC3: read_action_request,
    0xC4: read_get_response,
    0xC5: read_set_response,
    0xC7: read_action_response,
    0xD9: read_access_request,
    0xDA: read_access_response,
}

APDU_TAGS: Final = frozenset(_WHOLE) | frozenset(_FIELDS) | {DataNotification.tag}
"""The first bytes of messages that this package knows."""


def decode_apdu(data: bytes, *, limits: Limits = DEFAULT_LIMITS, quirks: Quirk = Quirk.ALL) -> Apdu:
    """Return the message that `data` is, all of it.

    Raises `MalformedDlms` if it is none, or has bytes that encoding it would not give back.
    """
    tag = data[0] if data else -1
    if tag == DataNotification.tag:
        return DataNotification.decode(data, limits=limits, quirks=quirks)
    if (whole := _WHOLE.get(tag)) is not None:
        return whole(data)
    if (read := _FIELDS.get(tag)) is not None:
        reader = Reader(data, 1, limits=limits)
        made = read(reader)
        reader.end()
        return made
    raise MalformedDlms("no message of DLMS begins here", offset=0)
