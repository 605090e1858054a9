# SPDX-License-Identifier: Apache-2.0
"""Where the bytes of meters come from: lines that are heard, meters that are asked, brokers.

lines       serial lines with speed, data bits, parity and stop bits
listening   a serial line that is heard
ports       a line on which something can be asked
asking      once every so often
bus         the master of an M-Bus, on a serial line or behind a bridge
readout     sign-on at an optical port (IEC 62056-21)
broker      MQTT
addresses   what an address such as mbus:///dev/ttyUSB0?every=15min means

Each source is an asynchronous iterator of bytes, as those of `sml_codec.sources`; a source that
breaks is opened again in the same way.
"""

from hub.meters.sources.addresses import OpenedSource, SourceOptions, kind_at, open_meter_source

__all__ = ["OpenedSource", "SourceOptions", "kind_at", "open_meter_source"]
