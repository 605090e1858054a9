# SPDX-License-Identifier: Apache-2.0
"""Who may ask the service: keys of systems, staff by OpenID Connect, operators by password."""
