"""The table of what is measured: one row a figure, with what it must reach and what it aims at."""

from dataclasses import dataclass
from enum import StrEnum


class Figure(StrEnum):
    """What is read off a measurement; two servers give a ratio, ours over the other."""

    TOKENS = "tokens/s"
    P50 = "p50"
    FIRST_TOKEN = "first token p50"  # noqa: S105 - no secret
    START = "start to first 200"
    MEMORY = "peak memory over model bytes"
    FLOOR = "share of the arithmetic floor"
    HEALTH = "p99 of /livez, ms"
    COSINE = "mean cosine to float32"


HIGHER_IS_BETTER = frozenset({Figure.TOKENS, Figure.FLOOR, Figure.COSINE})


@dataclass(frozen=True, kw_only=True)
class Load:
    """A closed loop of clients that ends when so many requests are answered."""

    clients: int
    requests: int


@dataclass(frozen=True, kw_only=True)
class Duel:
    """Two servers under the same load, in alternating blocks; our health is probed meanwhile if it is ``probed``."""

    model: str
    ours: str
    other: str
    load: Load
    probed: bool = False


@dataclass(frozen=True, kw_only=True)
class Solo:
    """Our server alone under load, its health probed meanwhile, and the processor's rate measured before."""

    model: str
    ours: str
    load: Load


@dataclass(frozen=True, kw_only=True)
class Starts:
    """Two servers started and ended, one after another."""

    model: str
    ours: str
    other: str


@dataclass(frozen=True, kw_only=True)
class Likeness:
    """The same sentences to the same model in two precisions."""

    model: str
    ours: str
    other: str


Experiment = Duel | Solo | Starts | Likeness


@dataclass(frozen=True, kw_only=True)
class Row:
    """One figure.

    Attributes:
        title: What the report calls it.
        experiment: Where it is measured; rows may share one, which then runs once.
        figure: What is read off.
        must: What it must reach.
        aim: What it aims at.
    """

    title: str
    experiment: Experiment
    figure: Figure
    must: float
    aim: float

    def reaches(self, value: float, bound: float) -> bool:
        """Say whether a value is as good as a bound."""
        return value >= bound if self.figure in HIGHER_IS_BETTER else value <= bound


def _bert(other: str, clients: int, requests: int, ours: str = "ours-bert") -> Duel:
    return Duel(model="bert-large", ours=ours, other=other, load=Load(clients=clients, requests=requests))


def _llama(other: str, clients: int, requests: int) -> Duel:
    return Duel(model="llama-134m", ours="ours-llama", other=other, load=Load(clients=clients, requests=requests))


_MINILM = Duel(model="minilm", ours="ours-minilm", other="naive-minilm", load=Load(clients=32, requests=1280))
_ALONE = Solo(model="bert-large", ours="ours-bert", load=Load(clients=32, requests=128))
_STARTS = Starts(model="bert-large", ours="ours-bert", other="naive-bert")
_INT8 = Likeness(model="minilm", ours="ours-minilm-int8", other="ours-minilm")

ROWS = {
    "bert-c8": Row(
        title="BERT-large, 8 clients, over A",
        experiment=_bert("naive-bert", 8, 64),
        figure=Figure.TOKENS,
        must=1.6,
        aim=1.8,
    ),
    "bert-c32": Row(
        title="BERT-large, 32 clients, over A",
        experiment=_bert("naive-bert", 32, 128),
        figure=Figure.TOKENS,
        must=1.6,
        aim=1.8,
    ),
    "bert-c8-infinity": Row(
        title="BERT-large, 8 clients, over infinity (torch)",
        experiment=_bert("infinity-bert", 8, 64),
        figure=Figure.TOKENS,
        must=1.4,
        aim=1.6,
    ),
    "bert-c8-vllm": Row(
        title="BERT-large, 8 clients, over vLLM (CPU, all cores)",
        experiment=_bert("vllm-bert", 8, 64),
        figure=Figure.TOKENS,
        must=1.05,
        aim=1.2,
    ),
    "bert-c8-triton": Row(
        title="BERT-large, 8 clients, over Triton (Python back end, dynamic batcher)",
        experiment=_bert("triton-bert", 8, 64),
        figure=Figure.TOKENS,
        must=1.7,
        aim=2,
    ),
    "bert-c1-p50": Row(
        title="BERT-large, one client, over A",
        experiment=_bert("naive-bert", 1, 25),
        figure=Figure.P50,
        must=0.7,
        aim=0.55,
    ),
    "minilm-c32": Row(
        title="MiniLM embeddings, 32 clients, over A", experiment=_MINILM, figure=Figure.TOKENS, must=2.3, aim=2.8
    ),
    "bert-floor": Row(
        title="BERT-large, 32 clients, of what the processor can multiply",
        experiment=_ALONE,
        figure=Figure.FLOOR,
        must=0.72,
        aim=0.85,
    ),
    "bert-bf16-c8": Row(
        title="BERT-large in bfloat16 (auto on this processor), 8 clients, over A in float32",
        experiment=_bert("naive-bert", 8, 64, ours="ours-bert-bf16"),
        figure=Figure.TOKENS,
        must=2.6,
        aim=3,
    ),
    "bert-int8-c8": Row(
        title="BERT-large in int8, 8 clients, over A in float32",
        experiment=_bert("naive-bert", 8, 64, ours="ours-bert-int8"),
        figure=Figure.TOKENS,
        must=2.6,
        aim=3,
    ),
    "minilm-int8": Row(
        title="MiniLM in int8 to float32, 300 sentences", experiment=_INT8, figure=Figure.COSINE, must=0.99, aim=0.995
    ),
    "llama-c8": Row(
        title="Llama of 134 M, 8 clients, over transformers serve",
        experiment=_llama("transformers-llama", 8, 8),
        figure=Figure.TOKENS,
        must=5,
        aim=8,
    ),
    "llama-c1-vllm": Row(
        title="Llama of 134 M, one client, over vLLM (CPU, all cores)",
        experiment=_llama("vllm-llama", 1, 4),
        figure=Figure.TOKENS,
        must=1,
        aim=1.2,
    ),
    "llama-c8-vllm": Row(
        title="Llama of 134 M, 8 clients, over vLLM (CPU, all cores)",
        experiment=_llama("vllm-llama", 8, 32),
        figure=Figure.TOKENS,
        must=1.2,
        aim=1.6,
    ),
    "llama-c8-vllm-first": Row(
        title="Llama of 134 M, 8 clients, over vLLM (CPU, all cores)",
        experiment=_llama("vllm-llama", 8, 32),
        figure=Figure.FIRST_TOKEN,
        must=1,
        aim=0.6,
    ),
    "bert-start": Row(title="BERT-large, over A", experiment=_STARTS, figure=Figure.START, must=0.7, aim=0.5),
    "bert-memory": Row(
        title="BERT-large in float32, after 32 clients", experiment=_ALONE, figure=Figure.MEMORY, must=1.35, aim=1.2
    ),
    "livez": Row(title="BERT-large, under 32 clients", experiment=_ALONE, figure=Figure.HEALTH, must=50, aim=10),
}


def _bert_on_gpu(other: str, clients: int, requests: int, *, probed: bool = False) -> Duel:
    load = Load(clients=clients, requests=requests)
    return Duel(model="bert-large", ours="ours-bert-gpu", other=other, load=load, probed=probed)


def _minilm_on_gpu(other: str) -> Duel:
    return Duel(model="minilm-shape", ours="ours-minilm-gpu", other=other, load=Load(clients=32, requests=3200))


_ON_GPU_C32 = _bert_on_gpu("naive-bert", 32, 1280, probed=True)

GPU_ROWS = {
    "gpu-bert-c8": Row(
        title="BERT-large, 8 clients, over A",
        experiment=_bert_on_gpu("naive-bert", 8, 800),
        figure=Figure.TOKENS,
        must=1.6,
        aim=1.8,
    ),
    "gpu-bert-c32": Row(
        title="BERT-large, 32 clients, over A", experiment=_ON_GPU_C32, figure=Figure.TOKENS, must=1.6, aim=1.8
    ),
    "gpu-bert-c8-infinity": Row(
        title="BERT-large, 8 clients, over infinity (torch)",
        experiment=_bert_on_gpu("infinity-bert-gpu", 8, 1600),
        figure=Figure.TOKENS,
        must=1.4,
        aim=1.6,
    ),
    "gpu-bert-c32-infinity": Row(
        title="BERT-large, 32 clients, over infinity (torch)",
        experiment=_bert_on_gpu("infinity-bert-gpu", 32, 3200),
        figure=Figure.TOKENS,
        must=1.4,
        aim=1.6,
    ),
    "gpu-bert-c1-p50": Row(
        title="BERT-large, one client, over A",
        experiment=_bert_on_gpu("naive-bert", 1, 200),
        figure=Figure.P50,
        must=0.7,
        aim=0.55,
    ),
    "gpu-minilm-c32": Row(
        title="MiniLM's shape, embeddings, 32 clients, over A",
        experiment=_minilm_on_gpu("naive-minilm"),
        figure=Figure.TOKENS,
        must=2.3,
        aim=2.8,
    ),
    "gpu-minilm-c32-infinity": Row(
        title="MiniLM's shape, embeddings, 32 clients, over infinity (torch)",
        experiment=_minilm_on_gpu("infinity-minilm-gpu"),
        figure=Figure.TOKENS,
        must=1.4,
        aim=1.6,
    ),
    "gpu-start": Row(title="BERT-large, over A", experiment=_ON_GPU_C32, figure=Figure.START, must=0.7, aim=0.5),
    "gpu-livez": Row(
        title="BERT-large, under 32 clients", experiment=_ON_GPU_C32, figure=Figure.HEALTH, must=50, aim=10
    ),
}
"""The same on a machine with a GPU: the same inputs, and the same bounds where a row has a twin."""

ALL_ROWS = ROWS | GPU_ROWS
