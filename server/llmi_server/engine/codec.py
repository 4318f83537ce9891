"""A Hugging Face tokenizer as a text codec."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from tokenizers import Encoding

from llmi_server.engine.protocol import EncodedText

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class HuggingFaceCodec:
    """Tokenises with the Rust tokenizer inside a Transformers tokenizer.

    Padding and truncation that a ``tokenizer.json`` may bring along are switched off: the server pads no more than a
    batch needs, and never cuts silently.
    """

    def __init__(self, tokenizer: "PreTrainedTokenizerBase") -> None:
        self._tokenizer = tokenizer
        self._backend = tokenizer.backend_tokenizer
        self._backend.no_padding()
        self._backend.no_truncation()
        self.mask_token: str | None = tokenizer.mask_token
        self.mask_token_id: int | None = tokenizer.mask_token_id
        self.pad_token_id: int | None = tokenizer.pad_token_id
        self.unknown_token_id: int | None = tokenizer.unk_token_id
        self.marks_subwords = bool(getattr(self._backend.model, "continuing_subword_prefix", None))
        self._vocabulary: dict[str, int] = tokenizer.get_vocab()

    def encode(self, texts: Sequence[str]) -> list[EncodedText]:
        """Tokenise whole texts with special tokens, without padding or truncation."""
        encodings = self._backend.encode_batch(list(texts)) if len(texts) > 1 else [self._backend.encode(texts[0])]
        return [_from_encoding(encoding, text) for encoding, text in zip(encodings, texts, strict=True)]

    def truncate(self, text: EncodedText, limit: int, *, keep_end: bool = False) -> EncodedText:
        """Shorten a text to ``limit`` tokens, special tokens kept, as the tokenizer itself does."""
        encoding = self._backend.encode(text.text, add_special_tokens=False)
        direction: Literal["left", "right"] = "left" if keep_end else "right"
        room = max(0, limit - self._backend.num_special_tokens_to_add(is_pair=False))
        encoding.truncate(room, direction=direction)
        return _from_encoding(self._backend.post_process(encoding), text.text)

    def decode(self, ids: Sequence[int], *, skip_special: bool) -> str:
        """Return the text of token ids."""
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=skip_special))

    def token(self, token_id: int) -> str:
        """Return the vocabulary's spelling of a token."""
        spelling: str = self._backend.id_to_token(token_id)
        return spelling

    def join(self, tokens: Sequence[str]) -> str:
        """Return the text of vocabulary spellings."""
        text: str = self._tokenizer.convert_tokens_to_string(list(tokens))
        return text

    def candidate(self, word: str) -> int | None:
        """Return the id of a word, or of its first piece when the vocabulary lacks it; None if it has no tokens."""
        known = self._vocabulary.get(word)
        if known is not None:
            return known
        pieces = self._backend.encode(word, add_special_tokens=False).ids
        return pieces[0] if pieces else None


def _from_encoding(encoding: Encoding, text: str) -> EncodedText:
    return EncodedText(
        ids=tuple(encoding.ids),
        type_ids=tuple(encoding.type_ids),
        special=tuple(map(bool, encoding.special_tokens_mask)),
        offsets=tuple(encoding.offsets),
        text=text,
    )
