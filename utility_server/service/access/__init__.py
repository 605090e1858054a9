# SPDX-License-Identifier: Apache-2.0
"""Who may ask the service.

Systems by key or certificate, staff by OpenID Connect, operators by password.
"""
