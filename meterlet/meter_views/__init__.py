# SPDX-License-Identifier: Apache-2.0
"""What a capture of a meter says, as JSON: one module for each kind of meter."""
