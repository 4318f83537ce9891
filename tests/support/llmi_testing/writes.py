"""What was written, as the API server counts it: also a write that changed nothing, which no object shows."""

from __future__ import annotations

import re
from collections import Counter

from llmi_testing.apiserver import ApiServer

_APPLIED = re.compile(
    r'^apiserver_request_total\{(?=[^}]*verb="APPLY")[^}]*resource="([^"]+)"[^}]*subresource="([^"]*)"[^}]*\} (\S+)$',
    re.MULTILINE,
)


class AppliedCount:
    """How often something was applied server-side since it was made: nobody else in these tests does that."""

    def __init__(self, server: ApiServer) -> None:
        self._server = server
        self._before = self._read()

    def since(self) -> dict[str, int]:
        """Counts by resource, or ``resource/subresource``; empty when nothing was applied."""
        return dict(self._read() - self._before)

    def _read(self) -> Counter[str]:
        counts: Counter[str] = Counter()
        for resource, subresource, count in _APPLIED.findall(self._server.kubectl("get", "--raw", "/metrics")):
            counts["/".join(filter(None, (resource, subresource)))] += int(float(count))
        return counts
