"""Sends one request to a model through a forwarded port."""

import time
from http import HTTPStatus
from pathlib import Path
from typing import Any

import aiohttp

from llmi_api.launch import Task
from llmi_api.v1alpha1 import LLMInferenceSpec
from llmi_kubectl.errors import Exit, PluginError
from llmi_kubectl.rendering import Answer
from llmi_kubectl.request import PATH, make_request, summarise

_SPARE_SECONDS = 10


async def ask_model(
    base: str, namespace: str, name: str, spec: LLMInferenceSpec, *, text: str | None, key: str | None
) -> Answer:
    """Send a request that fits the task.

    Raises:
        PluginError: The model answered with an error, or not at all.
    """
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    timeout = aiohttp.ClientTimeout(total=spec.limits.request_timeout_seconds + _SPARE_SECONDS)
    # The address is on the loopback: a proxy of the environment is for other things.
    async with aiohttp.ClientSession(base, headers=headers, timeout=timeout, trust_env=False) as session:
        try:
            mask = (await _call(session, "GET", "/status")).get("mask_token") if spec.task is Task.FILL_MASK else None
            request = make_request(spec.task, text, mask)
            began = time.monotonic()
            answer = await _call(session, "POST", PATH, request.body)
            seconds = time.monotonic() - began
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise PluginError(
                f"{name} did not answer ({type(error).__name__}: {error}): see kubectl llminference status {name}.",
                Exit.NO_ANSWER,
            ) from error
    return Answer(
        namespace=namespace,
        name=name,
        task=spec.task,
        text=request.text,
        seconds=round(seconds, 3),
        summary=summarise(spec.task, answer),
        answer=answer,
    )


def read_key(path: Path | None) -> str | None:
    """The first line of a file with API keys.

    Raises:
        PluginError: The file cannot be read, or is empty.
    """
    if path is None:
        return None
    try:
        lines = path.read_text().split()
    except (OSError, ValueError) as error:
        raise PluginError(f"{path} cannot be read ({error}): correct --api-key-file.", Exit.BAD_USAGE) from error
    if not lines:
        raise PluginError(f"{path} is empty: write an API key into it.", Exit.BAD_USAGE)
    return lines[0]


async def _call(session: aiohttp.ClientSession, method: str, path: str, body: object = None) -> Any:  # noqa: ANN401
    async with session.request(method, path, json=body) as response:
        answer = await response.json(content_type=None)
        if response.status == HTTPStatus.OK:
            return answer
    said = answer.get("error") if isinstance(answer, dict) else None
    message = str(said.get("message") if isinstance(said, dict) else said or response.reason)
    if response.status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        message += " Put one of spec.access.apiKeySecret into a file and name it with --api-key-file."
    raise PluginError(f"The model answered {response.status}: {message}", Exit.NO_ANSWER)
