# SPDX-License-Identifier: Apache-2.0
"""The applet machine: any vendor's code, held to its manifest.

An applet runs inside a WebAssembly component that imports the platform's contract (`wit/`) and no
system interface: no files, sockets, clock or randomness but what the hub hands it. Fuel bounds its
time, a limit its memory; what goes wrong inside is an `AppletFault`, and the hub goes on.
"""

from hub.machine.bundle import Bundle, build_bundle
from hub.machine.ed25519 import Ed25519Signatures
from hub.machine.errors import (
    AppletFault,
    BundleError,
    CacheRefused,
    ContractBroken,
    FaultKind,
    MachineError,
    ManifestError,
    RuntimeNotBuilt,
)
from hub.machine.instance import AppletInstance, Usage
from hub.machine.machine import AppletMachine
from hub.machine.manifest import (
    AGGREGATE,
    SUMS,
    WEIGHTED,
    AppletLimits,
    Code,
    Confinement,
    Manifest,
    Output,
    Peer,
    Runtime,
    Shared,
    StatementGrant,
)
from hub.machine.python_runtime import Progress
from hub.machine.raw import OUTPUT_COMPONENT, OutputBoard, RawApplet, Released, at_resolution

__all__ = [
    "AGGREGATE",
    "OUTPUT_COMPONENT",
    "SUMS",
    "WEIGHTED",
    "AppletFault",
    "AppletInstance",
    "AppletLimits",
    "AppletMachine",
    "Bundle",
    "BundleError",
    "CacheRefused",
    "Code",
    "Confinement",
    "ContractBroken",
    "Ed25519Signatures",
    "FaultKind",
    "MachineError",
    "Manifest",
    "ManifestError",
    "Output",
    "OutputBoard",
    "Peer",
    "Progress",
    "RawApplet",
    "Released",
    "Runtime",
    "RuntimeNotBuilt",
    "Shared",
    "StatementGrant",
    "Usage",
    "at_resolution",
    "build_bundle",
]
