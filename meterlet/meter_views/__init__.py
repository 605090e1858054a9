# SPDX-License-Identifier: Apache-2.0
"""What meters sent, as JSON: one module for each protocol, one shape for all of them.

    {"frames": 3, "frames_bad": 0, "telegrams": [
      {"offset": 0, "protocol": "p1", "meter": "...", "time": "...", "encrypted": false,
       "authenticated": null, "values": [
        {"obis": "1-0:1.8.0", "value": 4408736, "scaler": -3, "unit": "kWh"}]}]}

`frames` are whole and their checks hold, `frames_bad` began and were damaged. A telegram that
cannot be read has `values` null, and `error` says why. A value is the number sent, before its power
of ten (`scaler`) is applied, or a text.
"""
