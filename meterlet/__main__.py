# SPDX-License-Identifier: Apache-2.0
"""`python -m meterlet` is the command `meterlet`."""

from meterlet.commands.main import main

if __name__ == "__main__":
    main(prog_name="meterlet")
