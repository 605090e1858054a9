# SPDX-License-Identifier: Apache-2.0
"""Many emulated homes on one machine: hubs that dial a utility, and answers made without hubs.

homes           which homes there are: meters, households
folder          where a fleet lives
making          hubs are made, each whole and with keys of its own
street          a process with many hubs that dial; wire: their connections; faults: what breaks
process         streets in processes; workers: processes that make; memory: what they use up
run             a fleet's month from end to end, as `meterlet fleet` runs it
stored_answers  right answers of many meters, quickly, to try out a utility with
"""
