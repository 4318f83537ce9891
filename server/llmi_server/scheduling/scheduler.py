"""The queue: admit, enqueue, next_batch, fold_back; cancel and expire."""

from bisect import bisect_left, insort
from dataclasses import dataclass, field

from llmi_server.errors import QueueFullError
from llmi_server.scheduling.batch import Batch, Item
from llmi_server.scheduling.limits import Limits


@dataclass
class _Request:
    deadline: float
    waiting: set[int] = field(default_factory=set)
    computing: int = 0
    started: bool = False


class Scheduler:
    """Decides which texts are computed together and who is refused.

    A request waits from `admit` until its first text is in a batch. Batches start with the text that came first, so
    none is overtaken for ever, and are filled with the waiting texts nearest to it in length, so little is padded.
    Time is whatever monotonic number the caller passes.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._requests: dict[int, _Request] = {}
        self._by_arrival: dict[int, Item] = {}
        self._by_length: list[tuple[int, int]] = []
        self._arrivals = 0
        self._waiting = 0
        self._waiting_tokens = 0

    @property
    def waiting_requests(self) -> int:
        """Number of requests of which nothing has been computed yet."""
        return self._waiting

    @property
    def running_requests(self) -> int:
        """Number of requests of which at least one text was handed out."""
        return len(self._requests) - self._waiting

    def refuse_if_full(self) -> None:
        """Let nobody in where as many requests wait as may wait.

        Raises:
            QueueFullError: They do.
        """
        if self._waiting >= self._limits.max_queued_requests:
            raise QueueFullError(self._limits.max_queued_requests)

    def admit(self, request: int, *, deadline: float) -> None:
        """Take a place in the queue for a request whose texts come later.

        Raises:
            QueueFullError: As many requests wait as may wait.
        """
        self.refuse_if_full()
        self._requests[request] = _Request(deadline=deadline)
        self._waiting += 1

    def enqueue(self, request: int, lengths: list[int]) -> bool:
        """Queue the texts of an admitted request, given as numbers of tokens; False if it was cancelled meanwhile.

        Raises:
            QueueFullError: More tokens would wait than may; a lone request always may.
        """
        entry = self._requests.get(request)
        if entry is None:
            return False
        if self._by_arrival and self._waiting_tokens + sum(lengths) > self._limits.max_queued_tokens:
            raise QueueFullError(self._limits.max_queued_tokens, what="tokens")
        entry.waiting.update(range(self._arrivals, self._arrivals + len(lengths)))
        for index, tokens in enumerate(lengths):
            self._insert(Item(request=request, index=index, tokens=tokens, arrival=self._arrivals))
            self._arrivals += 1
        return True

    def next_batch(self) -> Batch | None:
        """Hand out the next batch, or None if nothing waits."""
        if not self._by_arrival:
            return None
        items = self._company(next(iter(self._by_arrival.values())))
        for item in items:
            entry = self._requests[item.request]
            self._waiting -= not entry.started
            entry.started = True
            entry.computing += 1
            entry.waiting.discard(item.arrival)
            self._remove(item)
        return Batch(tuple(items))

    def fold_back(self, batch: Batch) -> list[int]:
        """Note that a batch was computed; returns the requests that are complete by it."""
        complete = []
        for item in batch.items:
            entry = self._requests.get(item.request)
            if entry is None:
                continue
            entry.computing -= 1
            if not entry.waiting and not entry.computing:
                del self._requests[item.request]
                complete.append(item.request)
        return complete

    def cancel(self, request: int) -> None:
        """Forget a request: its waiting texts are never computed. Unknown requests are ignored."""
        entry = self._requests.pop(request, None)
        if entry is not None:
            self._waiting -= not entry.started
            for arrival in entry.waiting:
                self._remove(self._by_arrival[arrival])

    def expire(self, now: float) -> list[int]:
        """Cancel the requests whose deadline has passed and return them."""
        late = [request for request, entry in self._requests.items() if entry.deadline <= now]
        for request in late:
            self.cancel(request)
        return late

    def _company(self, oldest: Item) -> list[Item]:
        """Choose the waiting items nearest in length to ``oldest`` that fit into one batch with it."""
        place = bisect_left(self._by_length, (oldest.tokens, oldest.arrival))
        shorter, longer = place - 1, place + 1
        chosen, longest, sum_of_tokens = [oldest], oldest.tokens, oldest.tokens
        while len(chosen) < self._limits.max_batch_items:
            candidates = []
            if shorter >= 0:
                candidates.append((oldest.tokens - self._by_length[shorter][0], 0))
            if longer < len(self._by_length):
                candidates.append((self._by_length[longer][0] - oldest.tokens, 1))
            if not candidates:
                break
            at = shorter if min(candidates)[1] == 0 else longer
            tokens, arrival = self._by_length[at]
            longest, sum_of_tokens = max(longest, tokens), sum_of_tokens + tokens
            cost = sum_of_tokens if self._limits.padding_free else longest * (len(chosen) + 1)
            if cost > self._limits.batch_tokens:
                break
            chosen.append(self._by_arrival[arrival])
            shorter, longer = (shorter - 1, longer) if at == shorter else (shorter, longer + 1)
        return chosen

    def _insert(self, item: Item) -> None:
        self._by_arrival[item.arrival] = item
        insort(self._by_length, (item.tokens, item.arrival))
        self._waiting_tokens += item.tokens

    def _remove(self, item: Item) -> None:
        del self._by_arrival[item.arrival]
        del self._by_length[bisect_left(self._by_length, (item.tokens, item.arrival))]
        self._waiting_tokens -= item.tokens
