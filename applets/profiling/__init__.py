# SPDX-License-Identifier: Apache-2.0
"""Profiling: which of given load profiles a household is most like, told as sparingly as wanted."""
