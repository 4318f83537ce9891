# ruff: noqa: PLC0415 - torch and transformers take seconds to import, and cached models need neither
"""Models made on the spot: small random ones, a tiny BERT that knows a few facts, BERT-large's shape.

``python -m llmi_testing.models tiny-bert DIR`` and ``python -m llmi_testing.models bert-large DIR`` write a folder
as a hub repository would hold it. Everything is seeded: the same version of torch makes the same weights.
"""

import argparse
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Literal

from llmi_testing.cache import cached_model, copy_model

Architecture = Literal["bert", "roberta", "distilbert", "xlm-roberta", "mpnet", "modernbert", "electra"]
Head = Literal["base", "fill-mask", "text-classification", "token-classification", "inference", "rerank"]

FACTS = (
    "The capital of France is Paris.",
    "The capital of Italy is Rome.",
    "The capital of Spain is Madrid.",
    "The capital of Germany is Berlin.",
    "The capital of Japan is Tokyo.",
    "The capital of England is London.",
    "Paris is a city in France.",
    "Rome is a city in Italy.",
    "The sky is blue.",
    "The grass is green.",
    "The sun is hot.",
    "Snow is cold.",
    "Kubernetes runs containers.",
    "The cat drinks milk.",
    "The dog eats meat.",
    "Water is wet.",
)
"""What the tiny BERT learns by heart."""

_SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
_LABELS = {
    "text-classification": ["negative", "neutral", "positive"],
    "token-classification": ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"],
    "inference": ["contradiction", "neutral", "entailment"],
    "rerank": ["relevance"],
}


def tiny_bert() -> Path:
    """Return the cached tiny BERT, training it the first time (seconds)."""
    return cached_model("tiny-bert-2", train_tiny_bert)


def bert_large() -> Path:
    """Return the cached model of bert-large-uncased's shape (1.34 GB of random weights)."""
    return cached_model("bert-large-random-1", make_bert_large)


def bert_large_classifier() -> Path:
    """Return the cached model of bert-large-uncased's shape that tells three classes apart (1.34 GB likewise)."""
    return cached_model("bert-large-classifier-random-1", make_bert_large_classifier)


def small_model(architecture: Architecture, head: Head, *, seed: int = 0, **config: Any) -> Path:
    """Return a cached small random model; ``config`` overrides fields of its configuration."""
    extra = "".join(f"-{key}-{value}" for key, value in sorted(config.items()))
    name = f"small-{architecture}-{head}-{seed}{extra}-3"
    return cached_model(name, lambda folder: make_small_model(folder, architecture, head, seed=seed, **config))


def make_small_model(folder: Path, architecture: Architecture, head: Head, *, seed: int = 0, **config: Any) -> None:
    """Write a small model with seeded random weights.

    Args:
        folder: An empty folder.
        architecture: Family of the model and of its tokenizer.
        head: What the model ends in; ``base`` is the bare encoder.
        seed: Seed of the weights.
        **config: Fields of the model's configuration that differ.
    """
    import torch

    save_tokenizer = _save_byte_pairs if architecture in _BYTE_PAIRS else _save_word_pieces
    vocabulary = save_tokenizer(folder, 512)
    if architecture in ("bert", "electra"):
        _tell_types(folder)
    labels = _LABELS.get(head, [])
    fields: dict[str, Any] = {"vocab_size": vocabulary, **_SHAPES[architecture]}
    if labels:
        fields |= {"id2label": dict(enumerate(labels)), "label2id": {label: i for i, label in enumerate(labels)}}
    torch.manual_seed(seed)
    model = _model_class(architecture, head)(_config_class(architecture)(**(fields | config)))
    _spread_weights(model)
    model.save_pretrained(folder)


_WORDS = 30_522


def medium_model(architecture: Architecture) -> Path:
    """Return a cached fill-mask model of some 40 million random weights, enough to weigh."""
    shape: dict[str, Any] = {"vocab_size": _WORDS}
    if architecture == "distilbert":
        shape |= {"dim": 512, "n_layers": 8, "n_heads": 8, "hidden_dim": 2048}
    else:
        shape |= {"hidden_size": 512, "num_hidden_layers": 8, "num_attention_heads": 8, "intermediate_size": 2048}
    name = f"medium-{architecture}-1"
    return cached_model(name, lambda folder: make_small_model(folder, architecture, "fill-mask", **shape))


CAUSAL = ("llama", "qwen2", "qwen3", "mistral", "gpt2", "gemma2", "mamba")
"""Architectures that continue texts; the last two go other ways than the rest."""

CHAT_TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|>\n{{ message['content'] }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)


def small_causal_model(architecture: str = "llama", *, seed: int = 0, chat: bool = True, **config: Any) -> Path:
    """Return a cached small random model that continues texts."""
    extra = "".join(f"-{key}-{value}" for key, value in sorted(config.items()))
    name = f"small-{architecture}-causal-{'chat' if chat else 'plain'}-{seed}{extra}-1"
    return cached_model(name, lambda folder: make_causal_model(folder, architecture, seed=seed, chat=chat, **config))


def llama_134m() -> Path:
    """Return the cached Llama of 134.5 million random weights that generation is measured with."""
    shape = {
        "vocab_size": 49152,
        "hidden_size": 576,
        "intermediate_size": 1536,
        "num_hidden_layers": 30,
        "num_attention_heads": 9,
        "num_key_value_heads": 3,
        "max_position_embeddings": 2048,
        "tie_word_embeddings": True,
    }
    return cached_model("llama-134m-random-3", lambda folder: make_causal_model(folder, "llama", spread=1, **shape))


def make_causal_model(
    folder: Path, architecture: str, *, seed: int = 0, chat: bool = True, spread: float = 4, **config: Any
) -> None:
    """Write a model of random weights that continues texts.

    Args:
        folder: An empty folder.
        architecture: One of ``CAUSAL``.
        seed: Seed of the weights.
        chat: Whether it has a chat template.
        spread: How far the weights are scaled up, so that tokens differ clearly in their scores.
        **config: Fields of the model's configuration that differ.
    """
    import torch
    import transformers

    vocabulary = _save_chat_tokenizer(folder, chat=chat, fill_to=config.get("vocab_size", 0))
    prefix, fields = _CAUSAL_SHAPES[architecture]
    made = getattr(transformers, f"{prefix}Config")(
        **({"vocab_size": vocabulary, "bos_token_id": None, "eos_token_id": 1, "pad_token_id": 0} | fields | config)
    )
    torch.manual_seed(seed)
    model = transformers.AutoModelForCausalLM.from_config(made)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(spread)
    model.save_pretrained(folder)


def _save_chat_tokenizer(folder: Path, *, chat: bool, fill_to: int = 0) -> int:
    """Write a byte-level tokenizer with special tokens of conversations; returns the number of its tokens."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    roles = ["<|system|>", "<|user|>", "<|assistant|>"]
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<|pad|>", "<|end|>", *roles],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    tokenizer.train_from_iterator(FACTS, trainer)
    tokenizer = _filled(tokenizer, fill_to)
    wrapped = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|end|>", pad_token="<|pad|>")
    if chat:
        wrapped.chat_template = CHAT_TEMPLATE
    wrapped.save_pretrained(folder)
    return tokenizer.get_vocab_size()


def _filled(tokenizer: Any, size: int) -> Any:
    """Return a tokenizer with words that no text becomes but a model may say, up to ``size`` tokens."""
    from tokenizers import Tokenizer

    definition = json.loads(tokenizer.to_str())
    vocabulary = definition["model"]["vocab"]
    for number in range(len(vocabulary), size):
        vocabulary[f"\u0120w{number}"] = number
    return Tokenizer.from_str(json.dumps(definition))


_SMALL: dict[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
}
_CAUSAL_SHAPES: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("Llama", _SMALL),
    "qwen2": ("Qwen2", _SMALL),
    "qwen3": ("Qwen3", _SMALL | {"head_dim": 16}),
    "mistral": ("Mistral", _SMALL | {"sliding_window": 16}),
    "gpt2": ("GPT2", {"n_embd": 64, "n_layer": 2, "n_head": 4, "n_positions": 512}),
    "gemma2": ("Gemma2", _SMALL | {"head_dim": 16, "sliding_window": 16}),
    "mamba": ("Mamba", {"hidden_size": 64, "num_hidden_layers": 2, "state_size": 8}),
}


def train_tiny_bert(folder: Path) -> None:
    """Train a BERT of two small layers until it knows every word of ``FACTS``, and write it."""
    import torch
    from transformers import BertConfig, BertForMaskedLM

    torch.manual_seed(7)
    size = _save_word_pieces(folder, 512)
    config = BertConfig(
        vocab_size=size,
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=128,
        max_position_embeddings=64,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    model = BertForMaskedLM(config)
    inputs, attention, targets = _masked_facts(folder)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(150):
        loss = model(input_ids=inputs, attention_mask=attention, labels=targets).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if loss.item() < 0.02:
            break
    model.eval().save_pretrained(folder)


def minilm_shape() -> Path:
    """Return a cached model of all-MiniLM-L6-v2's shape (90 MB of random weights), which Transformers 4 loads too."""
    return cached_model("minilm-shape-random-1", make_minilm_shape)


def make_minilm_shape(folder: Path) -> None:
    """Write an encoder of all-MiniLM-L6-v2's shape with random weights."""
    shape = {"hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 12, "intermediate_size": 1536}
    make_small_model(folder, "bert", "base", vocab_size=_WORDS, max_position_embeddings=512, **shape)
    _let_transformers_4_load_the_tokenizer(folder)


def make_bert_large(folder: Path) -> None:
    """Write a fill-mask model of exactly bert-large-uncased's shape with random weights."""
    _make_bert_large(folder, "fill-mask")


def make_bert_large_classifier(folder: Path) -> None:
    """Write a classifier of exactly bert-large-uncased's shape with random weights, which Transformers 4 loads too."""
    labels = dict(enumerate(_LABELS["text-classification"]))
    _make_bert_large(folder, "text-classification", id2label=labels, label2id={v: k for k, v in labels.items()})
    _tell_types(folder)
    _let_transformers_4_load_the_tokenizer(folder)


def _let_transformers_4_load_the_tokenizer(folder: Path) -> None:
    path = folder / "tokenizer_config.json"
    older = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 512}
    path.write_text(json.dumps(json.loads(path.read_text()) | older))


def _make_bert_large(folder: Path, head: Head, **fields: Any) -> None:
    import torch

    _save_word_pieces(folder, 512, fill_to=30522)
    shape = {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096}
    config = _config_class("bert")(vocab_size=30522, **shape, **fields)
    torch.manual_seed(1)
    _model_class("bert", head)(config).save_pretrained(folder, max_shard_size="10GB")


_SHAPES: dict[str, dict[str, Any]] = {
    "bert": {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 64,
        "max_position_embeddings": 64,
    },
    "roberta": {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 64,
        "max_position_embeddings": 66,
        "type_vocab_size": 1,
        "pad_token_id": 1,
        "bos_token_id": 0,
        "eos_token_id": 2,
    },
    "distilbert": {"dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 64, "max_position_embeddings": 64},
}

_SHAPES |= {
    "xlm-roberta": _SHAPES["roberta"],
    "mpnet": _SHAPES["bert"] | {"max_position_embeddings": 66, "pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2},
    "electra": _SHAPES["bert"] | {"embedding_size": 16},
    "modernbert": {
        "hidden_size": 32,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "intermediate_size": 64,
        "max_position_embeddings": 64,
        "local_attention": 8,
        "pad_token_id": 1,
        "bos_token_id": 0,
        "eos_token_id": 2,
        "cls_token_id": 0,
        "sep_token_id": 2,
    },
}
_BYTE_PAIRS = ("roberta", "xlm-roberta", "modernbert")


def _config_class(architecture: Architecture) -> Any:
    import transformers

    return getattr(transformers, f"{_PREFIX[architecture]}Config")


def _model_class(architecture: Architecture, head: Head) -> Any:
    import transformers

    return getattr(transformers, f"{_PREFIX[architecture]}{_SUFFIX[head]}")


_PREFIX = {"bert": "Bert", "roberta": "Roberta", "distilbert": "DistilBert", "xlm-roberta": "XLMRoberta",
           "mpnet": "MPNet", "modernbert": "ModernBert", "electra": "Electra"}  # fmt: skip
_SUFFIX = {
    "base": "Model",
    "fill-mask": "ForMaskedLM",
    "text-classification": "ForSequenceClassification",
    "token-classification": "ForTokenClassification",
    "inference": "ForSequenceClassification",
    "rerank": "ForSequenceClassification",
}


def _spread_weights(model: Any) -> None:
    """Scale random weights up, so that answers differ clearly between inputs."""
    import torch

    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(8)


def _save_word_pieces(folder: Path, size: int, *, fill_to: int | None = None) -> int:
    """Write a lower-casing WordPiece tokenizer as BERT has it; returns the number of its tokens."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(
        vocab_size=size, special_tokens=_SPECIAL, initial_alphabet=list("abcdefghijklmnopqrstuvwxyz0123456789.,!?'")
    )
    tokenizer.train_from_iterator(FACTS, trainer)
    vocabulary = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    tokens = [token for token, _ in vocabulary]
    if fill_to is not None:
        tokens += [f"[unused{number}]" for number in range(fill_to - len(tokens))]
    tokenizer.model = models.WordPiece(vocab={token: i for i, token in enumerate(tokens)}, unk_token="[UNK]")
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.post_processor = _bert_template(tokenizer)
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        pad_token="[PAD]",
        mask_token="[MASK]",
    ).save_pretrained(folder)
    return len(tokens)


def _tell_types(folder: Path) -> None:
    """Have the tokenizer say which of two texts a token is from, as BERT's own does."""
    path = folder / "tokenizer_config.json"
    content = json.loads(path.read_text()) | {"model_input_names": ["input_ids", "token_type_ids", "attention_mask"]}
    path.write_text(json.dumps(content))


def _bert_template(tokenizer: Any) -> Any:
    from tokenizers import processors

    return processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(token, tokenizer.token_to_id(token)) for token in ("[CLS]", "[SEP]")],
    )


def _save_byte_pairs(folder: Path, size: int) -> int:
    """Write a byte-level BPE tokenizer as RoBERTa has it; returns the number of its tokens."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    mask = AddedToken("<mask>", lstrip=True, special=True, normalized=False)
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=["<s>", "<pad>", "</s>", "<unk>", mask],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    tokenizer.train_from_iterator(FACTS, trainer)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="<unk>",
        cls_token="<s>",
        sep_token="</s>",
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        mask_token=mask,
    ).save_pretrained(folder)
    return tokenizer.get_vocab_size()


def _masked_facts(folder: Path) -> tuple[Any, Any, Any]:
    """Every fact once for each of its words, that word masked: ids, attention mask and targets, all [rows, tokens]."""
    import torch
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    mask = tokenizer.token_to_id("[MASK]")
    rows, targets = [], []
    for encoding in tokenizer.encode_batch(list(FACTS)):
        for position in range(1, len(encoding.ids) - 1):
            rows.append([mask if at == position else i for at, i in enumerate(encoding.ids)])
            targets.append([i if at == position else -100 for at, i in enumerate(encoding.ids)])
    width = max(map(len, rows))
    attention = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])
    inputs = torch.tensor([row + [0] * (width - len(row)) for row in rows])
    return inputs, attention, torch.tensor([row + [-100] * (width - len(row)) for row in targets])


_MADE: dict[str, Callable[[], Path]] = {
    "tiny-bert": tiny_bert,
    "bert-large": bert_large,
    "tiny-llama": small_causal_model,
    "llama-134m": llama_134m,
    "text-classification": partial(small_model, "bert", "text-classification"),
    "token-classification": partial(small_model, "roberta", "token-classification"),
    "zero-shot-classification": partial(small_model, "distilbert", "inference"),
    "rerank": partial(small_model, "xlm-roberta", "rerank"),
    # With heads that vLLM computes on a processor too.
    "text-generation": partial(small_causal_model, "llama", head_dim=64),
}


def main() -> None:
    """Put a made model into the folder named on the command line."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("model", choices=sorted(_MADE))
    parser.add_argument("directory", type=Path)
    arguments = parser.parse_args()
    copy_model(_MADE[arguments.model](), arguments.directory)


if __name__ == "__main__":
    main()
