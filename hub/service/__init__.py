# SPDX-License-Identifier: Apache-2.0
"""The hub as one service: it reads the meters, certifies, answers, and shows the pages.

    configuration   what hub.toml says of it, checked strictly; `places` finds the line at fault
    part            what a part of the service is: started, stopped, asked for its state
    supervisor      runs each part in a thread of its own, and again when it breaks
    sources, recipients, answering, health, control     the parts
    service         all of them, from hub.toml; changed when the file is
    log             a line for each change of state, without readings and secrets
    lock, notify    one service a hub; what systemd is told

Errors: ServiceError
"""
