# SPDX-License-Identifier: Apache-2.0
"""How commands are told the broker of MQTT over which hubs are woken."""

from typing import Any

import rich_click as click

from protocols.remote_admin.wake import BrokerAddress


class BrokerOption(click.ParamType[BrokerAddress]):
    """A broker of MQTT, over TLS."""

    name = "BROKER"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> BrokerAddress:
        """Return the address."""
        if isinstance(value, BrokerAddress):
            return value
        try:
            return BrokerAddress.parse(str(value))
        except ValueError as error:
            self.fail(f"not a broker: {error}", param, ctx)
