"""Errors of the operator.

OperatorError
├── SettingsError          the operator's own configuration is wrong
├── InvalidSpecError       a stored LLMInference breaks a rule
├── LeadershipLostError    another replica may be writing now
└── ClusterError           the API server refused or did not answer
"""

from http import HTTPStatus

STALE = "Stale"
"""The reason of an error of our own: what we know is old."""


class OperatorError(Exception):
    """Base of all errors that the operator raises itself."""


class SettingsError(OperatorError):
    """The operator's own configuration is wrong; the text says which variable and what to do."""


class InvalidSpecError(OperatorError):
    """A stored LLMInference breaks a rule; the text is a sentence for its owner."""


class LeadershipLostError(OperatorError):
    """The lease could not be kept, so another replica may be writing now."""


class ClusterError(OperatorError):
    """A request to the API server failed.

    Attributes:
        verb: What was asked: get, list, apply, delete or create.
        kind: Kind of the object.
        namespace: Namespace of the object; empty for all namespaces.
        name: Name of the object; empty for a list.
        status: HTTP status; 0 if no answer came.
        reason: The API server's one-word reason, such as ``Invalid``.
        message: The API server's words, or why no answer came.
        retry_after: Seconds the API server asked to wait, if it did.
    """

    def __init__(
        self,
        *,
        verb: str,
        kind: str,
        namespace: str,
        name: str,
        status: int,
        reason: str,
        message: str,
        retry_after: float | None = None,
    ) -> None:
        self.verb = verb
        self.kind = kind
        self.namespace = namespace
        self.name = name
        self.status = status
        self.reason = reason
        self.message = message
        self.retry_after = retry_after
        super().__init__(f"{verb} {kind} {namespace}/{name}: {status} {reason}: {message}")

    @property
    def is_absent(self) -> bool:
        """Whether the object does not exist."""
        return self.status == HTTPStatus.NOT_FOUND

    @property
    def is_conflict(self) -> bool:
        """Whether the object changed or was replaced meanwhile."""
        return self.status == HTTPStatus.CONFLICT

    @property
    def is_stale(self) -> bool:
        """Whether what the request would have followed from is not so any more."""
        return self.reason == STALE

    @property
    def is_final(self) -> bool:
        """Whether the same request will be refused again until somebody changes something."""
        return self.status in {
            HTTPStatus.BAD_REQUEST,
            HTTPStatus.FORBIDDEN,
            HTTPStatus.METHOD_NOT_ALLOWED,
            HTTPStatus.UNPROCESSABLE_ENTITY,
        }

    @property
    def is_breakdown(self) -> bool:
        """Whether something behind the API server failed, mostly a webhook that does not answer."""
        return self.status == HTTPStatus.INTERNAL_SERVER_ERROR
