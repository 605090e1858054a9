# SPDX-License-Identifier: Apache-2.0
"""The operations of the interface, by what they are about."""
