"""Asks pods how many requests they have in flight."""

import asyncio
import logging
from collections.abc import Sequence

import aiohttp

from llmi_operator.metrics_api.exposition import read_in_flight
from llmi_operator.metrics_api.pods import Target

logger = logging.getLogger(__name__)
TIMEOUT_SECONDS = 3.0
LARGEST_BODY = 1024 * 1024
AT_ONCE = 32


class Scraper:
    """Asks many pods at a time; one that does not answer is left out, and autoscalers reckon with that."""

    def __init__(self) -> None:
        self._places = asyncio.Semaphore(AT_ONCE)
        # Pods are asked directly: proxies of the environment are for other things.
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
        self._session = aiohttp.ClientSession(timeout=timeout, trust_env=False)

    async def close(self) -> None:
        """Close the connections."""
        await self._session.close()

    async def ask(self, targets: Sequence[Target]) -> list[tuple[str, int]]:
        """The pods that told a number, with it."""
        answers = await asyncio.gather(*(self._ask(target) for target in targets))
        return [(target.pod, number) for target, number in zip(targets, answers, strict=True) if number is not None]

    async def _ask(self, target: Target) -> int | None:
        try:
            async with self._places, self._session.get(target.url, allow_redirects=False) as answer:
                body = await answer.content.read(LARGEST_BODY) if answer.ok else b""
                while answer.ok and len(body) < LARGEST_BODY and (more := await answer.content.read(LARGEST_BODY)):
                    body += more
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            logger.info("A pod does not tell its metrics", extra={"pod": target.pod, "error": repr(error)})
            return None
        return read_in_flight(body.decode(errors="replace"))
