"""The operator with a wrong clock: ``LLMI_TEST_CLOCK_SKEW`` seconds off. Started like ``llmi_operator``."""

import os
from datetime import UTC, datetime, timedelta

from llmi_operator import startup
from llmi_operator.__main__ import main


def _wrong_now() -> datetime:
    return datetime.now(UTC) + timedelta(seconds=float(os.environ["LLMI_TEST_CLOCK_SKEW"]))


startup._now = _wrong_now

if __name__ == "__main__":
    main()
