"""Which of a repository's files are fetched: an allow-list of names, safetensors only."""

import re
from collections.abc import Iterable

from llmi_server.errors import StartupError
from llmi_server.model.refusals import no_safetensors

_ALLOWED = re.compile(
    r"""
    (config|generation_config|tokenizer|tokenizer_config|special_tokens_map|vocab|added_tokens|modules
     |sentence_bert_config|config_sentence_transformers|model\.safetensors\.index)\.json
    | vocab\.txt | merges\.txt | [\w.-]+\.model | chat_template[\w.-]*\.jinja
    | \d+_[A-Za-z]+/config\.json
    """,
    re.VERBOSE,
)
_WEIGHTS = "model.safetensors"
_WEIGHT_PART = re.compile(r"model-\d+-of-\d+\.safetensors")


def select_files(names: Iterable[str]) -> list[str]:
    """Return the names that are fetched, in order.

    Weights are ``model.safetensors``, or else the numbered parts; other formats, other folders and code never are.

    Raises:
        StartupError: There are no safetensors weights.
    """
    offered = sorted(names)
    chosen = [name for name in offered if _ALLOWED.fullmatch(name)]
    if _WEIGHTS in offered:
        return [name for name in chosen if name != "model.safetensors.index.json"] + [_WEIGHTS]
    parts = [name for name in offered if _WEIGHT_PART.fullmatch(name)]
    if not parts:
        raise _none(offered)
    return chosen + parts


def _none(offered: list[str]) -> StartupError:
    return no_safetensors([name for name in offered if "/" not in name])
