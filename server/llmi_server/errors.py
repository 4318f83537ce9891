"""Everything this server raises on purpose.

::

    LlmiServerError
    ├── StartupError                 fetch or serve gives up; carries the Failure for the operator
    └── RequestError                 one request is answered with an error
        ├── InvalidRequestError      the client's mistake
        │   ├── InputTooLongError
        │   └── ContextExceededError  prompt and answer together
        ├── UnknownModelError
        ├── UnknownRouteError
        ├── MethodNotAllowedError
        ├── BodyTooLargeError
        ├── UnsupportedMediaError
        ├── SlowBodyError
        ├── AccessDeniedError
        ├── QueueFullError           try again later
        ├── NotReadyError            likewise
        ├── DrainingError            try another replica
        ├── DeadlineExceededError
        ├── OutOfMemoryError         the batch did not fit
        └── EngineFailedError        our mistake

``web.error_responses`` turns request errors into HTTP answers; nothing else does.
"""

from collections.abc import Mapping

from llmi_api.failure import Failure, FailureCode


class LlmiServerError(Exception):
    """Base of all errors raised by this server."""


class StartupError(LlmiServerError):
    """Fetching or starting gave up for a known reason."""

    def __init__(
        self, code: FailureCode, message: str, *, next_step: str, by_precision: Mapping[str, int] | None = None
    ) -> None:
        super().__init__(message)
        self.failure = Failure(
            code=code, message=message[:1024], next=next_step[:512], predicted_by_precision=dict(by_precision or {})
        )


class RequestError(LlmiServerError):
    """A request is answered with an error.

    Attributes:
        message: A sentence for the client. Never holds more than a short piece of what the client sent.
        param: Name of the request field at fault, if one is.
    """

    def __init__(self, message: str, *, param: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param


class InvalidRequestError(RequestError):
    """The request is malformed or asks for something that this model cannot do."""


class InputTooLongError(InvalidRequestError):
    """An input has more tokens than the limit."""

    def __init__(self, *, tokens: int, limit: int, index: int, param: str = "inputs") -> None:
        place = f"Input {index}" if index else "The input"
        super().__init__(
            f"{place} has {tokens} tokens and the limit is {limit}. Shorten it, or send the parameter truncate: true.",
            param=param,
        )
        self.tokens = tokens
        self.limit = limit


class ContextExceededError(InvalidRequestError):
    """A prompt, or prompt and answer together, have more tokens than the limit."""


class UnknownModelError(RequestError):
    """The request names a model that is not served here."""


class UnknownRouteError(RequestError):
    """No route has this path."""


class MethodNotAllowedError(RequestError):
    """The route exists but not for this method."""

    def __init__(self, message: str, *, allow: str) -> None:
        super().__init__(message)
        self.allow = allow


class BodyTooLargeError(RequestError):
    """The body is larger than the limit."""


class UnsupportedMediaError(RequestError):
    """The body is not plain JSON."""


class SlowBodyError(RequestError):
    """The body did not arrive in time."""


class AccessDeniedError(RequestError):
    """No key or a wrong key."""


class QueueFullError(RequestError):
    """As many requests wait as may wait."""

    def __init__(self, limit: int, *, what: str = "requests") -> None:
        super().__init__(f"The queue is full (at most {limit} {what} wait). Try again later.")
        self.limit = limit


class NotReadyError(RequestError):
    """The model is not loaded yet."""


class DrainingError(RequestError):
    """The server is shutting down."""


class DeadlineExceededError(RequestError):
    """The request was not answered in time."""


class OutOfMemoryError(RequestError):
    """The engine ran out of memory on this request's batch."""


class EngineFailedError(RequestError):
    """The engine raised something unexpected."""
