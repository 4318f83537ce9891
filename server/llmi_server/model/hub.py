"""The hub's HTTP protocol: what a repository holds, and its files' bytes. Every refusal becomes one of ours."""

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from urllib.parse import quote

import httpx
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from llmi_api.failure import FailureCode
from llmi_server.errors import LlmiServerError, StartupError

DEFAULT_ENDPOINT = "https://huggingface.co"
DEFAULT_REVISION = "main"

_MODEL_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
_HOST = re.compile(r"[\w.:-]+")
_MAX_REDIRECTS = 5
_MAX_WAIT_SECONDS = 60.0


class RetryableError(LlmiServerError):
    """The hub did not answer properly this time; it may the next.

    Attributes:
        wait_seconds: How long the hub asks to wait, if it does.
    """

    def __init__(self, message: str, *, wait_seconds: float | None = None) -> None:
        super().__init__(message)
        self.wait_seconds = wait_seconds


@dataclass(frozen=True, kw_only=True)
class RemoteFile:
    """One file of a repository.

    Attributes:
        name: Path inside the repository.
        size: Size in bytes, if the hub says.
        sha256: Hash of a large file.
        git_sha1: Git's blob hash of a small one.
    """

    name: str
    size: int | None
    sha256: str | None
    git_sha1: str | None


@dataclass(frozen=True, kw_only=True)
class Repository:
    """A repository at one commit."""

    commit: str
    files: tuple[RemoteFile, ...]


class _Lfs(BaseModel):
    model_config = ConfigDict(frozen=True)

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    size: int = Field(ge=0)


class _Sibling(BaseModel):
    model_config = ConfigDict(frozen=True)

    rfilename: str
    size: int | None = Field(default=None, ge=0)
    blob_id: str | None = Field(default=None, alias="blobId", pattern=r"^[0-9a-f]{40}$")
    lfs: _Lfs | None = None


class _Description(BaseModel):
    model_config = ConfigDict(frozen=True)

    sha: str = Field(pattern=r"^[0-9a-f]{40}$")
    siblings: tuple[_Sibling, ...]


class Hub:
    """A client for one repository. Safe to use from several threads."""

    def __init__(self, *, endpoint: str, model_id: str, token: str | None, timeout_seconds: float) -> None:
        self._endpoint = _checked_endpoint(endpoint)
        self._model_id = _checked_model_id(model_id)
        self._token = token
        self._client = httpx.Client(timeout=timeout_seconds, headers={"user-agent": "llminference"})

    def close(self) -> None:
        """Close all connections."""
        self._client.close()

    def describe(self, revision: str) -> Repository:
        """Return the commit that a revision means, and its files.

        Raises:
            StartupError: The hub refuses, and why.
            RetryableError: The hub did not answer properly.
        """
        address = f"{self._endpoint}/api/models/{self._model_id}/revision/{quote(revision, safe='')}"
        with self._get(address, {"blobs": "true"}, {}, revision=revision) as response:
            try:
                description = _Description.model_validate_json(_read(response))
            except ValidationError:
                raise RetryableError(f"{self._endpoint} did not answer as a model hub does.") from None
        return Repository(commit=description.sha, files=tuple(map(_remote_file, description.siblings)))

    @contextlib.contextmanager
    def open_file(self, name: str, commit: str, *, offset: int) -> Iterator[tuple[bool, Iterator[bytes]]]:
        """Open a file from a byte on.

        Yields:
            Whether the bytes begin at ``offset`` (else at 0), and the bytes.

        Raises:
            StartupError: The hub refuses, and why.
            RetryableError: The hub did not answer properly, or the connection broke.
        """
        address = f"{self._endpoint}/{self._model_id}/resolve/{commit}/{quote(name)}"
        headers = {"accept-encoding": "identity"} | ({"range": f"bytes={offset}-"} if offset else {})
        with self._get(address, {}, headers, revision=commit) as response:
            yield response.status_code == HTTPStatus.PARTIAL_CONTENT, _bytes(response)

    def read_start(self, name: str, commit: str, *, length: int) -> bytes:
        """Return the first bytes of a file: so many, or all that it has.

        Raises:
            StartupError: The hub refuses, and why.
            RetryableError: The hub did not answer properly, or the connection broke.
        """
        address = f"{self._endpoint}/{self._model_id}/resolve/{commit}/{quote(name)}"
        headers = {"accept-encoding": "identity", "range": f"bytes=0-{length - 1}"}
        start = b""
        with self._get(address, {}, headers, revision=commit) as response:
            for block in _bytes(response):
                start += block
                if len(start) >= length:
                    break  # a mirror without ranges sends all
        return start[:length]

    @contextlib.contextmanager
    def _get(
        self, address: str, query: dict[str, str], headers: dict[str, str], *, revision: str
    ) -> Iterator[httpx.Response]:
        """Follow redirects ourselves: the token goes to the endpoint's own host and nowhere else."""
        url = httpx.URL(address, params=query) if query else httpx.URL(address)
        for _ in range(_MAX_REDIRECTS):
            request = self._client.build_request("GET", url, headers=headers | self._authorization(url))
            with _network_errors(url), contextlib.closing(self._client.send(request, stream=True)) as response:
                if response.has_redirect_location:
                    url = url.join(response.headers["location"])
                    continue
                self._refuse(response, revision)
                yield response
                return
        raise RetryableError(f"{url.host} redirects without end.")

    def _authorization(self, url: httpx.URL) -> dict[str, str]:
        own = httpx.URL(self._endpoint)
        same = (url.scheme, url.host, url.port) == (own.scheme, own.host, own.port)
        return {"authorization": f"Bearer {self._token}"} if self._token and same else {}

    def _refuse(self, response: httpx.Response, revision: str) -> None:
        status = response.status_code
        if status in (HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT):
            return
        if status == HTTPStatus.TOO_MANY_REQUESTS:
            raise RetryableError("The hub asks to slow down (429).", wait_seconds=_retry_after(response))
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status == HTTPStatus.REQUEST_TIMEOUT:
            raise RetryableError(f"The hub answered {status}.", wait_seconds=_retry_after(response))
        raise self._refusal(status, response.headers.get("x-error-code", ""), revision)

    def _refusal(self, status: int, reason: str, revision: str) -> StartupError:
        model = self._model_id
        if reason == "RevisionNotFound":
            return StartupError(
                FailureCode.REVISION_UNKNOWN,
                f"The repository {model} has no revision {revision}.",
                next_step="Set revision to a branch, tag or commit that the repository has, or leave it out.",
            )
        if reason == "RepoNotFound" or status == HTTPStatus.NOT_FOUND:
            return StartupError(
                FailureCode.REPOSITORY_UNKNOWN,
                f"The repository {model} is unknown to {self._endpoint}, or private.",
                next_step="Check the model's id; for a private model give a token that may read it.",
            )
        if status == HTTPStatus.UNAUTHORIZED:
            return self._unauthorized()
        if status == HTTPStatus.FORBIDDEN:
            return StartupError(
                FailureCode.ACCESS_GATED,
                f"The repository {model} is gated and access was not granted.",
                next_step=f"Ask for access at {self._endpoint}/{model}, and give the token of that account.",
            )
        return StartupError(
            FailureCode.HUB_UNREACHABLE,
            f"{self._endpoint} answered {status} for {model}.",
            next_step="Check that the endpoint is a model hub.",
        )

    def _unauthorized(self) -> StartupError:
        if self._token:
            return StartupError(
                FailureCode.TOKEN_REFUSED,
                f"{self._endpoint} refused the token for {self._model_id}.",
                next_step="Check that the token is valid, not expired, and may read this model.",
            )
        return StartupError(
            FailureCode.TOKEN_MISSING,
            f"{self._endpoint} wants a token for {self._model_id}, and none was given.",
            next_step="Put a token into a Secret and name it in spec.model.tokenSecret.",
        )


def read_token(path: Path) -> str:
    """Return the token in a file.

    Raises:
        StartupError: There is none, or it cannot be one.
    """
    try:
        token = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        token = ""
    if not token:
        raise StartupError(
            FailureCode.TOKEN_MISSING,
            f"The token file {path} is missing or empty.",
            next_step="Check the Secret's key that spec.model.tokenSecret names.",
        )
    if not re.fullmatch(r"[!-~]+", token):
        raise StartupError(
            FailureCode.TOKEN_REFUSED,
            f"The token file {path} holds more than one word, or characters that no token has.",
            next_step="Put the token alone into the Secret.",
        )
    return token


def _checked_endpoint(endpoint: str) -> str:
    try:
        url = httpx.URL(endpoint)
    except httpx.InvalidURL:
        url = httpx.URL("")
    if url.scheme not in ("http", "https") or not _HOST.fullmatch(url.host) or url.userinfo or url.query:
        raise StartupError(
            FailureCode.INVALID_SETTINGS,
            "LLMI_HUB_ENDPOINT is not a plain http or https address.",
            next_step="Set it to the hub's base address, such as https://huggingface.co.",
        )
    return endpoint.rstrip("/")


def _checked_model_id(model_id: str) -> str:
    if not _MODEL_ID.fullmatch(model_id):
        raise StartupError(
            FailureCode.INVALID_SETTINGS,
            f"{model_id[:100]!r} is not a repository's name.",
            next_step="Set the model's id as owner/name, such as google-bert/bert-large-uncased.",
        )
    return model_id


def _remote_file(sibling: _Sibling) -> RemoteFile:
    return RemoteFile(
        name=sibling.rfilename,
        size=sibling.lfs.size if sibling.lfs else sibling.size,
        sha256=sibling.lfs.sha256 if sibling.lfs else None,
        git_sha1=None if sibling.lfs else sibling.blob_id,
    )


def _read(response: httpx.Response) -> bytes:
    with _network_errors(response.url):
        return response.read()


def _bytes(response: httpx.Response) -> Iterator[bytes]:
    with _network_errors(response.url):
        yield from response.iter_raw()  # as they come: a chunk size would hold bytes back when the connection breaks


@contextlib.contextmanager
def _network_errors(url: httpx.URL) -> Iterator[None]:
    try:
        yield
    except httpx.TimeoutException:
        raise RetryableError(f"{url.host} did not answer in time.") from None
    except httpx.HTTPError as error:
        raise RetryableError(f"{url.host} cannot be reached: {str(error)[:200] or type(error).__name__}.") from None


def _retry_after(response: httpx.Response) -> float | None:
    value = response.headers.get("retry-after", "")
    return min(float(value), _MAX_WAIT_SECONDS) if value.isascii() and value.isdigit() else None
