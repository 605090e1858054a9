# SPDX-License-Identifier: Apache-2.0
"""What `meterlet hub run --sample` prints: the service's tables, to be put behind a hub.toml."""

from typing import Final

SAMPLE: Final = """
# What the service does: `meterlet hub run`. Each table may be left out.

# A meter's line, by a name of your choice. As many as you have.
#[sources.main]
#address = "serial:///dev/ttyUSB0?baud=9600"   # or tcp://, http://, mbus://, d0://, mqtt://
#kind = "sml"                      # what is spoken there; by default found from the bytes
#every = "1min"                    # keep one reading in so long; by default all
#silent_after = "10min"            # not well where so long nothing comes; by default never
#of = "gas"                        # readings of this further meter alone
#login_file = "keys/plug.login"    # user:password in a file of mode 0600, for HTTP and MQTT

# Dials a recipient's server: no port is opened. `meterlet hub dial-key` asks for the certificate.
#[recipients.supplier]             # the name that it was asked for under
#address = "https://hubs.supplier.example"
#poll = "15min"                    # between two sessions, where the server does not say
#wake = "mqtts://hubs.supplier.example:8883"   # its broker, which wakes the hub between two polls
#of = "gas"                        # for this further meter

# Answers recipients that call, on a local network.
[serve]
address = "127.0.0.1:7816"

# The resident's pages. Beyond loopback they need TLS.
[pages]
address = "127.0.0.1:8321"
#names = ["hub.home"]              # what browsers call the hub, too
#certificate = "hub.pem"
#key = "keys/pages.key"            # mode 0600

# /healthz says whether all is up, and nothing else.
[health]
address = "127.0.0.1:7817"
"""
