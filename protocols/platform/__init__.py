# SPDX-License-Identifier: Apache-2.0
"""The contract between applets and the hub: each call is one row in `services`.

The hub implements the services, applets are handed them; `table` reads the rows, `wit` writes
them out for components in other languages. Part of what runs inside the machine: it imports
nothing but the standard library.
"""
