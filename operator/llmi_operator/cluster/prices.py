"""Reads the list of prices from its file, which a ConfigMap is mounted as, and again when it has changed."""

import logging
from collections.abc import Callable
from pathlib import Path

from llmi_operator.metrics import PRICES_VALID
from llmi_operator.prices import MOST_BYTES, PriceList, PriceListError, parse_prices

logger = logging.getLogger(__name__)
FRESH_SECONDS = 2.0


class PriceReader:
    """The list of prices, or why there is none.

    Attributes:
        prices: None when there is no file, or none that can be used.
        fault: Why the file cannot be used; empty when it can, or is not there.
    """

    def __init__(self, path: str, *, clock: Callable[[], float]) -> None:
        self._path = Path(path) if path else None
        self._clock = clock
        self._looked_at: float | None = None
        self._text: str | None = None
        self.prices: PriceList | None = None
        self.fault = ""

    def look(self) -> bool:
        """Read what has changed; whether there is a list at all, usable or not."""
        if self._path is None:
            return False
        if self._looked_at is None or self._clock() - self._looked_at >= FRESH_SECONDS:
            self._looked_at = self._clock()
            self._read(self._path)
        return self._text is not None

    def _read(self, path: Path) -> None:
        try:
            with path.open(encoding="utf-8", errors="replace") as file:
                text = file.read(MOST_BYTES + 1)
        except FileNotFoundError:
            self._text, self.prices, self.fault = None, None, ""
            return
        except OSError as error:
            # What was read before is still the best that is known.
            logger.warning("Could not read the prices", extra={"error": str(error)})
            return
        if text == self._text:
            return
        self._text = text
        try:
            self.prices, self.fault = parse_prices(text), ""
            logger.info("Read the prices", extra={"source": self.prices.source})
        except PriceListError as error:
            self.prices, self.fault = None, str(error)
            logger.warning("Cannot use the prices", extra={"error": self.fault})
        PRICES_VALID.set(self.prices is not None)
