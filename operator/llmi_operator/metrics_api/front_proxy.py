"""Who may ask: the API server, which has judged the asker before it passes a request on."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

CONFIG_NAMESPACE, CONFIG_NAME = "kube-system", "extension-apiserver-authentication"


@dataclass(frozen=True)
class FrontProxy:
    """How the API server shows that it is the API server.

    Attributes:
        authority: Certificates that sign its client certificate, as PEM.
        names: Common names that it may have; empty for any.
    """

    authority: str
    names: frozenset[str]

    def is_it(self, certificate: Mapping[str, Any] | None) -> bool:
        """Whether a client with this certificate, whose signature TLS has checked, is the API server."""
        if not certificate:
            return False
        subject = certificate.get("subject") or ()
        names = {value for part in subject for key, value in part if key == "commonName"}
        return not self.names or bool(names & self.names)


def read_front_proxy(config: Mapping[str, Any] | None) -> FrontProxy | None:
    """Read what every API server writes down for those whom it passes requests on to; None where it does not."""
    data = (config or {}).get("data") or {}
    authority = data.get("requestheader-client-ca-file")
    if not authority:
        return None
    return FrontProxy(authority, frozenset(json.loads(data.get("requestheader-allowed-names") or "[]")))
