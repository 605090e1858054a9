# SPDX-License-Identifier: Apache-2.0
"""The Python side of the machine: runs inside the component, never in the hub's own process.

`runtime_guest` is the component's program, `loading` brings in an applet's modules, `services`
turns the contract's imports into the SDK's platform, `closing` shuts the doors of the standard
library before the snapshot is taken.
"""

__all__: list[str] = []
