# SPDX-License-Identifier: Apache-2.0
"""The hub's part in private sums: what it has taken part in, and what it refuses to add to that."""

from hub.applet_host.aggregation import HubAggregation
from hub.applet_host.aggregation_record import AGGREGATION_COMPONENT, Participation, RoundRecord

__all__ = ["AGGREGATION_COMPONENT", "HubAggregation", "Participation", "RoundRecord"]
