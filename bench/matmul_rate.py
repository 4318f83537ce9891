"""What this processor can multiply: the floor under every float32 server on it.

``python bench/matmul_rate.py`` multiplies matrices of BERT-large's shape on one thread for some seconds and prints
billions of operations a second. One such process for each core gives the machine's rate.
"""

import subprocess
import sys
import time

SECONDS = 4.0
_ROWS, _IN, _OUT = 2048, 1024, 4096


def machine_rate(processes: int) -> float:
    """Return operations a second of so many processes with one thread each, at the same time."""
    command = [sys.executable, __file__]
    children = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(processes)]
    return sum(float(child.communicate()[0]) for child in children) * 1e9


def _measure() -> float:
    import torch  # noqa: PLC0415 - seconds, and only the child needs it

    torch.set_num_threads(1)
    left, right = torch.rand(_ROWS, _IN), torch.rand(_IN, _OUT)
    rates = []
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        began = time.perf_counter()
        torch.mm(left, right)
        rates.append(2 * _ROWS * _IN * _OUT / (time.perf_counter() - began) / 1e9)
    # Nearly the best: a floor is what the processor can, not what it does while others interfere.
    return sorted(rates)[len(rates) * 9 // 10]


if __name__ == "__main__":
    print(_measure())
