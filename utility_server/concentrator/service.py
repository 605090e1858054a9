# SPDX-License-Identifier: Apache-2.0
"""The concentrator: asks hubs, multiplies what they encrypt, hands batches to the MDMS.

It holds no key and no reading: everything that passes is encrypted, masked and signed by hub or
operator. It believes only rounds that the operator has signed, and keeps contributions until the
MDMS ends the round, at the longest until the round's time is over: they are the evidence should a
sum not open. What is wrong with one hub's message is said and counted, and the round goes on.

    request                     answer
    keys region nonce           keys meter data | absent meter why ...
    collect round               refused? absent meter step why ... batch data
    points digest               points meter data | absent meter step why ...
    pair digest meter points    pair meter data | absent ...
    evidence digest             contribution data ...
    end digest
    status                      status rounds bytes taken refused
"""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from applets.aggregation.messages import command_agree, command_contribute, command_keys
from applets.aggregation.messages import command_open, command_pair_key, command_points
from protocols.aggregation import (
    AggregationError,
    Collector,
    ContributionRefused,
    MalformedMessage,
    Round,
    RoundRefused,
)
from protocols.secure_channel import CommandApdu
from utility_server.concentrator.errors import ConcentratorError, ConcentratorRefused, LineError
from utility_server.concentrator.hubs import Hub, Hubs, read_hubs
from utility_server.concentrator.lines import Item, Message, encode, read_message

__all__ = ["Concentrator"]
