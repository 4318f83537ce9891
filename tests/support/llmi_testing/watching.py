"""A watcher of loading that remembers."""

from collections.abc import Mapping


class Watching:
    """Takes note of everything that a load tells."""

    def __init__(self) -> None:
        self.phases: list[str] = []
        self.predicted = 0
        self.expected = 0
        self.done = 0

    def enter_phase(self, name: str) -> None:
        self.phases.append(name)

    def predict(self, *, memory_bytes: int, by_precision: Mapping[str, int], weights: Mapping[str, int]) -> None:
        self.predicted, self.by_precision, self.weights = memory_bytes, dict(by_precision), dict(weights)

    def expect(self, total_bytes: int) -> None:
        self.expected = total_bytes

    def read(self, count: int) -> None:
        self.done += count
