"""Which families of encoders there are, and how each names its weights. Data, no torch."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from llmi_api.launch import Task


class NotOursError(Exception):
    """The model is not exactly of a shape that we compute ourselves; Transformers takes it."""


@dataclass(frozen=True, kw_only=True)
class LayerNames:
    """Names of one layer's weights, below the layer's own prefix."""

    query: str
    key: str
    value: str
    out: str
    out_norm: str
    up: str
    down: str
    down_norm: str


@dataclass(frozen=True, kw_only=True)
class Projection:
    """One linear step of a head, and the function after it."""

    name: str
    activation: str = "none"


@dataclass(frozen=True, kw_only=True)
class Family:
    """A family of post-norm encoders.

    Attributes:
        base: Prefix of the encoder's weights in files that have a head.
        layer: Prefix of a layer, with a place for its number.
        names: Names in a layer.
        types: Whether there are embeddings of token types.
        offset_positions: Whether positions begin after the padding token's id.
        relative_bias: Name of the bias by distance between tokens, if there is one.
        vocabulary_head: Names of dense, norm, decoder and bias of the fill-mask head; where two biases are named, the
            first that is there counts.
        text_head: The text classification head, over the first token's vector.
        defaults: What the configuration means where it is silent.
        synonyms: Names of the configuration's fields that differ from BERT's.
    """

    base: str
    layer: str
    names: LayerNames
    types: bool = False
    offset_positions: bool = False
    relative_bias: str | None = None
    vocabulary_head: tuple[str, str, str, tuple[str, ...]]
    vocabulary_activation: str | None = None
    text_head: tuple[Projection, ...]
    defaults: Mapping[str, Any]
    synonyms: Mapping[str, str]

    def read(self, config: Mapping[str, Any], field: str) -> Any:  # noqa: ANN401 - a JSON value
        """Return a field of the configuration by BERT's name."""
        return config.get(self.synonyms.get(field, field), self.defaults.get(field))


_DEFAULTS: dict[str, Any] = {
    "num_attention_heads": 12,
    "num_hidden_layers": 12,
    "hidden_size": 768,
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-12,
    "pad_token_id": 0,
}
_BERT_LAYER = LayerNames(
    query="attention.self.query",
    key="attention.self.key",
    value="attention.self.value",
    out="attention.output.dense",
    out_norm="attention.output.LayerNorm",
    up="intermediate.dense",
    down="output.dense",
    down_norm="output.LayerNorm",
)
_BERT = Family(
    base="bert.",
    layer="encoder.layer.{}.",
    names=_BERT_LAYER,
    types=True,
    vocabulary_head=(
        "cls.predictions.transform.dense",
        "cls.predictions.transform.LayerNorm",
        "cls.predictions.decoder.weight",
        ("cls.predictions.bias", "cls.predictions.decoder.bias"),
    ),
    text_head=(Projection(name="bert.pooler.dense", activation="tanh"), Projection(name="classifier")),
    defaults=_DEFAULTS,
    synonyms={},
)
_LM_HEAD = ("lm_head.dense", "lm_head.layer_norm", "lm_head.decoder.weight", ("lm_head.bias", "lm_head.decoder.bias"))
_DENSE_HEAD = (Projection(name="classifier.dense", activation="tanh"), Projection(name="classifier.out_proj"))
_ROBERTA = Family(
    base="roberta.",
    layer="encoder.layer.{}.",
    names=_BERT_LAYER,
    types=True,
    offset_positions=True,
    vocabulary_head=_LM_HEAD,
    vocabulary_activation="gelu",
    text_head=_DENSE_HEAD,
    defaults=_DEFAULTS | {"pad_token_id": 1},
    synonyms={},
)
_MPNET = Family(
    base="mpnet.",
    layer="encoder.layer.{}.",
    names=LayerNames(
        query="attention.attn.q",
        key="attention.attn.k",
        value="attention.attn.v",
        out="attention.attn.o",
        out_norm="attention.LayerNorm",
        up="intermediate.dense",
        down="output.dense",
        down_norm="output.LayerNorm",
    ),
    offset_positions=True,
    relative_bias="encoder.relative_attention_bias.weight",
    vocabulary_head=_LM_HEAD,
    vocabulary_activation="gelu",
    text_head=_DENSE_HEAD,
    defaults=_DEFAULTS,
    synonyms={"pad_token_id": "-"},  # its positions begin after 1, whatever the padding token is
)
_DISTILBERT = Family(
    base="distilbert.",
    layer="transformer.layer.{}.",
    names=LayerNames(
        query="attention.q_lin",
        key="attention.k_lin",
        value="attention.v_lin",
        out="attention.out_lin",
        out_norm="sa_layer_norm",
        up="ffn.lin1",
        down="ffn.lin2",
        down_norm="output_layer_norm",
    ),
    vocabulary_head=("vocab_transform", "vocab_layer_norm", "vocab_projector.weight", ("vocab_projector.bias",)),
    text_head=(Projection(name="pre_classifier", activation="relu"), Projection(name="classifier")),
    defaults=_DEFAULTS | {"num_hidden_layers": 6},
    synonyms={
        "num_attention_heads": "n_heads",
        "num_hidden_layers": "n_layers",
        "hidden_size": "dim",
        "hidden_act": "activation",
        "layer_norm_eps": "-",
    },
)
MPNET_PADDING = 1
_FAMILIES = {
    "bert": _BERT,
    "roberta": _ROBERTA,
    "xlm-roberta": _ROBERTA,
    "mpnet": _MPNET,
    "distilbert": _DISTILBERT,
}
_ARCHITECTURES = {"bert": "Bert", "roberta": "Roberta", "xlm-roberta": "XLMRoberta", "mpnet": "MPNet",
                  "distilbert": "DistilBert", "modernbert": "ModernBert"}  # fmt: skip
_HEADS = {
    Task.FILL_MASK: ("ForMaskedLM", "ForPreTraining"),
    Task.TEXT_CLASSIFICATION: ("ForSequenceClassification",),
    Task.ZERO_SHOT_CLASSIFICATION: ("ForSequenceClassification",),
    Task.RERANK: ("ForSequenceClassification",),
    Task.TOKEN_CLASSIFICATION: ("ForTokenClassification",),
}
_TWISTS = ("quantization_config", "is_decoder", "add_cross_attention", "auto_map")


def family_of(config: Mapping[str, Any], task: Task) -> str:
    """Return the model type if a model is of a shape that we know and its head does the task.

    Raises:
        NotOursError: It is not.
    """
    kind = str(config.get("model_type"))
    if kind not in _ARCHITECTURES or any(config.get(key) for key in _TWISTS):
        raise NotOursError(kind)
    if config.get("position_embedding_type", "absolute") != "absolute":
        raise NotOursError("position_embedding_type")
    (architecture, *_) = config.get("architectures") or [""]
    heads = _HEADS.get(task)
    if heads is not None and architecture not in {_ARCHITECTURES[kind] + head for head in heads}:
        raise NotOursError(str(architecture))
    return kind


def is_ours(config: Mapping[str, Any], task: Task) -> bool:
    """Say whether a model is of a shape that we know and its head does the task, as far as its configuration tells."""
    try:
        family_of(config, task)
    except NotOursError:
        return False
    return True


def post_norm_family(kind: str) -> Family:
    """Return the family of a model type.

    Raises:
        NotOursError: It is of another build.
    """
    try:
        return _FAMILIES[kind]
    except KeyError:
        raise NotOursError(kind) from None
