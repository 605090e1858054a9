# SPDX-License-Identifier: Apache-2.0
"""The applet machine: any vendor's code, held to its manifest.

An applet runs inside a WebAssembly component that imports the platform's contract (`wit/`) and no
system interface: no files, sockets, clock or randomness but what the hub hands it. Fuel bounds its
time, a limit its memory; what goes wrong inside is an `AppletFault`, and the hub goes on.
"""
