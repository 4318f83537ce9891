"""A Hugging Face tokenizer as a text codec."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tokenizers import Encoding, Tokenizer
from tokenizers.normalizers import BertNormalizer

from llmi_server.engine.protocol import EncodedText

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True, kw_only=True)
class SpecialTokens:
    """The tokens that tasks ask for, as texts, and two habits of the tokenizer.

    Attributes:
        mask: Stands for a word to be found.
        padding: Fills up.
        unknown: Stands for what the vocabulary lacks.
        tidies: Whether decoding takes blanks before punctuation away.
        typed: Whether the model is told which of two texts a token is from.
    """

    mask: str | None
    padding: str | None
    unknown: str | None
    tidies: bool = False
    typed: bool = False


class HuggingFaceCodec:
    """Tokenises with a Rust tokenizer.

    Padding and truncation that a ``tokenizer.json`` may bring along are switched off: the server pads no more than a
    batch needs, and never cuts silently.
    """

    def __init__(self, backend: Tokenizer, special: SpecialTokens) -> None:
        self._backend = backend
        self._backend.no_padding()
        self._backend.no_truncation()
        self._tidies = special.tidies and type(backend.model).__name__ != "BPE"
        self._typed = special.typed
        self._vocabulary: dict[str, int] = backend.get_vocab(with_added_tokens=True)
        self.mask_token: str | None = special.mask
        self.mask_token_id = self._id(special.mask)
        self.pad_token_id = self._id(special.padding)
        self.unknown_token_id = self._id(special.unknown)
        self.marks_subwords = bool(getattr(backend.model, "continuing_subword_prefix", None))

    def encode(self, texts: Sequence[str]) -> list[EncodedText]:
        """Tokenise whole texts with special tokens, without padding or truncation."""
        encodings = self._backend.encode_batch(list(texts)) if len(texts) > 1 else [self._backend.encode(texts[0])]
        return [
            replace(self._encoded(encoding, text), source=number)
            for number, (encoding, text) in enumerate(zip(encodings, texts, strict=True))
        ]

    def truncate(self, text: EncodedText, limit: int, *, keep_end: bool = False) -> EncodedText:
        """Shorten a text to ``limit`` tokens, special tokens kept, as the tokenizer itself does."""
        encoding = self._backend.encode(text.text, add_special_tokens=False)
        direction: Literal["left", "right"] = "left" if keep_end else "right"
        room = max(0, limit - self._backend.num_special_tokens_to_add(is_pair=False))
        encoding.truncate(room, direction=direction)
        return self._encoded(self._backend.post_process(encoding), text.text)

    def windows(self, text: str, limit: int, *, prompt: str, overlap: int) -> list[EncodedText]:
        """Cut a text into overlapping parts of at most ``limit`` tokens; each begins with the prompt."""
        before = self._backend.encode(prompt, add_special_tokens=False)
        rest = self._backend.encode(text, add_special_tokens=False)
        room = limit - self._backend.num_special_tokens_to_add(is_pair=False) - len(before.ids)
        if room < 1:
            return []
        rest.truncate(room, stride=min(overlap, room - 1))
        parts = [Encoding.merge([before, part], growing_offsets=False) for part in (rest, *rest.overflowing)]
        return [self._encoded(self._backend.post_process(part), text) for part in parts]

    def encode_pairs(self, pairs: Sequence[tuple[str, str]]) -> list[EncodedText]:
        """Tokenise pairs of texts, each pair as one sequence, without padding or truncation."""
        encodings = self._backend.encode_batch(list(pairs))
        return [self._encoded(encoding, first) for encoding, (first, _) in zip(encodings, pairs, strict=True)]

    def truncate_pair(self, pair: tuple[str, str], limit: int, *, shorten: int) -> EncodedText | None:
        """Shorten one text of a pair so that the whole has ``limit`` tokens; None if the other leaves no room."""
        parts = [self._backend.encode(text, add_special_tokens=False) for text in pair]
        room = limit - self._backend.num_special_tokens_to_add(is_pair=True) - len(parts[1 - shorten].ids)
        if room < 1:
            return None
        parts[shorten].truncate(room)
        return self._encoded(self._backend.post_process(parts[0], parts[1]), pair[0])

    def decode(self, ids: Sequence[int], *, skip_special: bool) -> str:
        """Return the text of token ids."""
        text: str = self._backend.decode(list(ids), skip_special_tokens=skip_special)
        return _tidied(text) if self._tidies else text

    def token(self, token_id: int) -> str:
        """Return the vocabulary's spelling of a token."""
        return self._backend.id_to_token(token_id) or ""

    def join(self, tokens: Sequence[str]) -> str:
        """Return the text of vocabulary spellings."""
        decoder = self._backend.decoder
        if decoder is None:
            return " ".join(tokens)
        text: str = decoder.decode(list(tokens))
        return text

    def candidate(self, word: str) -> int | None:
        """Return the id of a word, or of its first piece when the vocabulary lacks it; None if it has no tokens."""
        known = self._vocabulary.get(word)
        if known is not None:
            return known
        pieces = self._backend.encode(word, add_special_tokens=False).ids
        return pieces[0] if pieces else None

    def _encoded(self, encoding: Encoding, text: str) -> EncodedText:
        return EncodedText(
            ids=tuple(encoding.ids),
            type_ids=tuple(encoding.type_ids) if self._typed else (0,) * len(encoding.ids),
            special=tuple(map(bool, encoding.special_tokens_mask)),
            offsets=tuple(encoding.offsets),
            text=text,
        )

    def _id(self, token: str | None) -> int | None:
        return None if token is None else self._vocabulary.get(token)


def from_transformers(tokenizer: "PreTrainedTokenizerBase") -> HuggingFaceCodec:
    """Return a codec on the Rust tokenizer inside a Transformers tokenizer."""
    special = SpecialTokens(
        mask=tokenizer.mask_token,
        padding=tokenizer.pad_token,
        unknown=tokenizer.unk_token,
        tidies=bool(tokenizer.clean_up_tokenization_spaces),
        typed=_TYPES in tokenizer.model_input_names,
    )
    return HuggingFaceCodec(tokenizer.backend_tokenizer, special)


_TYPES = "token_type_ids"
_WORD_PIECES = {"mask_token": "[MASK]", "pad_token": "[PAD]", "unk_token": "[UNK]"}
_SENTENCES = {"mask_token": "<mask>", "pad_token": "<pad>", "unk_token": "<unk>"}
_KNOWN_CLASSES: dict[str, Mapping[str, str]] = {
    "Bert": _WORD_PIECES,
    "DistilBert": _WORD_PIECES,
    "MPNet": {"mask_token": "<mask>", "pad_token": "<pad>", "unk_token": "[UNK]"},
    "Roberta": _SENTENCES,
    "XLMRoberta": _SENTENCES,
    "PreTrained": {},
    "TokenizersBackend": {},
}
_LOWER_CASE = ("Bert", "DistilBert", "MPNet")
"""Classes that set their normaliser by ``tokenizer_config.json``, whatever ``tokenizer.json`` has."""


def from_files(folder: Path, config: Mapping[str, Any]) -> HuggingFaceCodec | None:
    """Return a codec without the help of Transformers, or None where its classes may know more than the files say.

    Args:
        folder: The model's folder.
        config: The content of ``tokenizer_config.json``.
    """
    file = folder / "tokenizer.json"
    name = str(config.get("tokenizer_class", "")).removesuffix("Fast").removesuffix("Tokenizer")
    if name not in _KNOWN_CLASSES or not file.is_file():
        return None
    named = _special_tokens(folder, config)
    backend = _read_tokenizer(file)
    if name in _LOWER_CASE and isinstance(backend.normalizer, BertNormalizer):
        backend.normalizer = BertNormalizer(
            clean_text=True,
            handle_chinese_chars=config.get("tokenize_chinese_chars", True),
            strip_accents=config.get("strip_accents"),
            lowercase=config.get("do_lower_case", True),
        )
    whole = {**_KNOWN_CLASSES[name], **named}
    added = {token.content for token in backend.get_added_tokens_decoder().values() if token.special}
    if not set(whole.values()) <= added:
        return None
    special = SpecialTokens(
        mask=whole.get("mask_token"),
        padding=whole.get("pad_token"),
        unknown=whole.get("unk_token"),
        tidies=bool(config.get("clean_up_tokenization_spaces", False)),
        typed=_TYPES in config.get("model_input_names", [_TYPES] if name == "Bert" else []),
    )
    return HuggingFaceCodec(backend, special)


def _read_tokenizer(file: Path) -> Tokenizer:
    try:
        return Tokenizer.from_file(str(file))
    except Exception as error:  # noqa: BLE001 - the library raises nothing more special
        raise ValueError(f"{file.name} cannot be read: {error}") from None


def _special_tokens(folder: Path, config: Mapping[str, Any]) -> dict[str, str]:
    """Return the special tokens that the files name: the tokenizer's configuration before the older map."""
    path = folder / "special_tokens_map.json"
    older = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    found = {}
    for name in ("mask_token", "pad_token", "unk_token"):
        value = config.get(name, older.get(name))
        content = value.get("content") if isinstance(value, dict) else value
        if isinstance(content, str):
            found[name] = content
    return found


def _tidied(text: str) -> str:
    """Take the blanks away that stand before punctuation, as Transformers does where a tokenizer asks for it."""
    for spaced, close in ((" .", "."), (" ?", "?"), (" !", "!"), (" ,", ","), (" ' ", "'"), (" n't", "n't"),
                          (" 'm", "'m"), (" 's", "'s"), (" 've", "'ve"), (" 're", "'re")):  # fmt: skip
        text = text.replace(spaced, close)
    return text
