"""How many bytes of request bodies are held at once, all requests together."""

from starlette.types import Message, Receive

from llmi_server.errors import QueueFullError


class HeldBodies:
    """Counts the bytes of bodies from their arrival to the answer. For one event loop."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.total = 0

    def add(self, count: int, *, own: int) -> None:
        """Hold more bytes of a request that holds ``own`` already.

        Raises:
            QueueFullError: That would be too many; a lone request always may.
        """
        others = self.total - own
        if others and self.total + count > self._limit:
            raise QueueFullError(self._limit, what="bytes of requests")
        self.total += count

    def release(self, count: int) -> None:
        """Hold bytes no longer."""
        self.total -= count


class HeldBody:
    """The body of one request as it arrives."""

    def __init__(self, receive: Receive, bodies: HeldBodies) -> None:
        self._receive = receive
        self._bodies = bodies
        self._held = 0
        self._answered = False

    async def receive(self) -> Message:
        """Pass on what arrives.

        Raises:
            QueueFullError: Too many bytes of all requests are held.
        """
        message = await self._receive()
        count = len(message.get("body", b""))
        if not self._answered and count:
            self._bodies.add(count, own=self._held)
            self._held += count
        return message

    def release(self) -> None:
        """Hold the body no longer: the request is answered, and whatever still comes is thrown away."""
        self._answered = True
        self._bodies.release(self._held)
        self._held = 0
