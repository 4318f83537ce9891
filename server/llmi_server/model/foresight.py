"""Whether a model's weights can fit at all, asked of their headers before they are downloaded.

What will be computed where is not known here: the smallest precision counts, and a head that may be left out does not.
"""

import json
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from llmi_api.failure import FailureCode
from llmi_api.launch import Precision, Task
from llmi_server.errors import StartupError
from llmi_server.model.fitness import tasks_of
from llmi_server.model.hub import RemoteFile
from llmi_server.model.memory import MIB, Computing, MemoryNeeds
from llmi_server.model.weights import (
    LARGEST_HEADER_BYTES,
    LENGTH_BYTES,
    Tensor,
    count_numbers,
    header_length,
    parse_header,
)

ReadStart = Callable[[str, int], bytes]
"""Returns the first bytes of a file, by its name and their number: fewer where it has fewer."""

_START_BYTES = 256 * 1024
"""Holds most headers whole."""

_LARGEST_CONFIG_BYTES = MIB
_UNKNOWN_SIZE = 1 << 60
_HEAD = re.compile(r"(lm_head|cls|classifier|score|vocab_\w+|embed_out)\.")
"""Names of what may be left out, or be one with the table of words."""


def foresee(files: Sequence[RemoteFile], read_start: ReadStart, *, connections: int) -> MemoryNeeds | None:
    """Return what a model will take, out of its configuration and its weights' headers; None where they do not tell."""
    weights = [file for file in files if file.name.endswith(".safetensors")]
    if not any(file.name == "config.json" for file in files):
        return None
    with ThreadPoolExecutor(connections, thread_name_prefix="headers") as pool:
        try:
            config = json.loads(read_start("config.json", _LARGEST_CONFIG_BYTES))
            headers = pool.map(lambda file: _read_header(file, read_start), weights)
            tensors = tuple(tensor for header in headers for tensor in header)
            (architecture, *_) = config.get("architectures") or [""]
            generates = tasks_of(str(architecture)) == (Task.TEXT_GENERATION,)
        except (StartupError, ValueError, AttributeError, TypeError, RecursionError):
            return None  # the download tells of a hub that fails, and the server of files that are damaged
    return MemoryNeeds(tensors=tensors, computing=Computing.GENERATION if generates else Computing.OWN, config=config)


def least_by_precision(needs: MemoryNeeds, *, may_have_gpu: bool) -> dict[str, int]:
    """Return what the model cannot do without in every precision that it could have."""
    return {one.value: needs.least_bytes(one) for one in _choices(needs, may_have_gpu=may_have_gpu)}


def weights_by_precision(needs: MemoryNeeds, *, may_have_gpu: bool) -> dict[str, int]:
    """Return what of that its weights take, without a head that may be left out."""
    core = _without_heads(needs)
    return {one.value: core.weight_bytes(one) for one in _choices(needs, may_have_gpu=may_have_gpu)}


def refuse_if_hopeless(needs: MemoryNeeds, *, limit: int) -> None:
    """Refuse a model whose weights alone take more than there is.

    Raises:
        StartupError: They do in every precision, with the numbers.
    """
    core = _without_heads(needs)
    choices = needs.choices(on_gpu=False)
    smallest = min(choices, key=core.weight_bytes)
    weights = core.weight_bytes(smallest)
    if weights <= limit:
        return
    wanted = " or ".join(f"{needs.least_bytes(one) // MIB}Mi for {one}" for one in reversed(choices))
    raise StartupError(
        FailureCode.OUT_OF_MEMORY,
        f"The model's {count_numbers(needs.tensors) / 1e6:.0f} million weights take {weights // MIB} MiB even in"
        f" {smallest}, and the memory limit is {limit // MIB} MiB: nothing was downloaded.",
        next_step=f"Raise spec.resources.limits.memory to {wanted} (spec.engine.precision), or choose a smaller model.",
        by_precision=least_by_precision(needs, may_have_gpu=False),
    )


def _choices(needs: MemoryNeeds, *, may_have_gpu: bool) -> list[Precision]:
    return list(dict.fromkeys((*needs.choices(on_gpu=False), *(needs.choices(on_gpu=True) if may_have_gpu else ()))))


def _without_heads(needs: MemoryNeeds) -> MemoryNeeds:
    return replace(needs, tensors=tuple(tensor for tensor in needs.tensors if not _HEAD.match(tensor.name)))


def _read_header(file: RemoteFile, read_start: ReadStart) -> list[Tensor]:
    size = file.size if file.size is not None else _UNKNOWN_SIZE
    start = read_start(file.name, _START_BYTES)
    length = header_length(start, file_name=file.name, file_bytes=min(size, LARGEST_HEADER_BYTES))
    if LENGTH_BYTES + length > len(start):
        start = read_start(file.name, LENGTH_BYTES + length)
    return parse_header(start[LENGTH_BYTES : LENGTH_BYTES + length], file_name=file.name, file_bytes=size)
