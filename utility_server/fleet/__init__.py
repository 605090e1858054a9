# SPDX-License-Identifier: Apache-2.0
"""Many hubs' cards managed: versions of applets rolled out and back, keys replaced, states read."""
