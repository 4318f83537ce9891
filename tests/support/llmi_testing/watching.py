"""A watcher of loading that remembers."""


class Watching:
    """Takes note of everything that a load tells."""

    def __init__(self) -> None:
        self.phases: list[str] = []
        self.predicted = 0
        self.expected = 0
        self.done = 0

    def enter_phase(self, name: str) -> None:
        self.phases.append(name)

    def predict(self, *, memory_bytes: int) -> None:
        self.predicted = memory_bytes

    def expect(self, total_bytes: int) -> None:
        self.expected = total_bytes

    def read(self, count: int) -> None:
        self.done += count
