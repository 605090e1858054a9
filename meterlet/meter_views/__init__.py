# SPDX-License-Identifier: Apache-2.0
"""What `meterlet meter` prints of each kind of meter."""
