# SPDX-License-Identifier: Apache-2.0
"""What servers of hub and utility share: whom they let in, how long they wait for whom, and how
their pages look."""
