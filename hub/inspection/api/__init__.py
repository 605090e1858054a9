# SPDX-License-Identifier: Apache-2.0
"""The programming interface: the views as JSON, for the resident's own programs, read only."""
