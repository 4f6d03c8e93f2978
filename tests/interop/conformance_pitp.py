#!/usr/bin/env python3
"""Runs the checks of PITP over a real hearth: `conformance_pitp.py BINARY [NAME...]`.

Prints `ok NAME` or `FAIL NAME why` for each; the exit status is 1 if any failed.
"""

import sys

from imtp_stage import main

GROUPS = ("checks_pitp_store", "checks_pitp_watch", "checks_pitp_abroad", "checks_pitp_families")

if __name__ == "__main__":
    sys.exit(main(__doc__, GROUPS))
