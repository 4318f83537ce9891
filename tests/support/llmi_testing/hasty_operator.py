"""The operator without patience: reads nodes anew each time, and soon calls a replica stuck. A program of tests."""

from datetime import timedelta

from llmi_operator import __main__
from llmi_operator.cluster import capacity, rollout

rollout.PATIENCE = timedelta(seconds=6)
capacity.FRESH_SECONDS = 0.0
if __name__ == "__main__":
    __main__.main()
