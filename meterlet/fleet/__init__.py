# SPDX-License-Identifier: Apache-2.0
"""Many emulated homes on one machine: hubs that dial a utility, and answers made without hubs.

homes           which homes there are: meters, households
stored_answers  right answers of many meters, quickly, to try out a utility with
"""
