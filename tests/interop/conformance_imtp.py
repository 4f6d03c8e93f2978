#!/usr/bin/env python3
"""Runs the checks of IMTP, and of what both protocols share, over a real hearth: `conformance_imtp.py BINARY NAME...`.

All checks if none is named.  Prints `ok NAME` or `FAIL NAME why` for each; the exit status is 1 if any failed.
"""

import sys

from imtp_stage import main

GROUPS = ("checks_imtp_slow", "checks_imtp_wire", "checks_imtp_auth", "checks_imtp_listen", "checks_imtp_relay")

if __name__ == "__main__":
    sys.exit(main(__doc__, GROUPS))
