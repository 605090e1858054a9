# SPDX-License-Identifier: Apache-2.0
"""Remote administration over HTTP: an agent that dials, a server whose answers carry commands.

The pattern is that of GlobalPlatform GPC_SPE_011 (Amendment B) v1.2: the agent POSTs, each answer
brings a script of commands and where to POST what came of it. Both ends are state machines without
sockets, clocks or files (`agent`, `server`); `scripts` has the scripts of ETSI TS 102 226, `http`
the header fields, `parameters` what triggers and configures an agent.
"""
