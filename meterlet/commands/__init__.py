# SPDX-License-Identifier: Apache-2.0
"""The `meterlet` command: nouns, then verbs; a module for each noun."""
