"""ONNX Runtime behind the same pipe: ``python onnx_runtime.py FOLDER CACHE export|alone|padded``.

``export`` writes the graph and ends, since that takes several times the model's memory; attention, GELU and norms are
fused by ONNX Runtime's own optimiser for BERT. ``alone`` computes each text of a batch by itself, so nothing is padded;
``padded`` computes them as one matrix.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from onnxruntime.transformers import optimizer
from transformers import AutoModelForSequenceClassification

GRAPH = "fused.onnx"


def export(folder: Path, cache: Path) -> None:
    """Write the fused graph, unless it is there."""
    if (cache / GRAPH).exists():
        return
    cache.mkdir(parents=True, exist_ok=True)
    model = AutoModelForSequenceClassification.from_pretrained(folder, attn_implementation="eager").eval()
    names = ["input_ids", "attention_mask", "token_type_ids"]
    example = tuple(torch.ones(2, 16, dtype=torch.int64) for _ in names)
    axes = {name: {0: "texts", 1: "tokens"} for name in names} | {"logits": {0: "texts"}}
    plain = cache / "plain.onnx"
    torch.onnx.export(
        model, example, plain, input_names=names, output_names=["logits"], dynamic_axes=axes, dynamo=False
    )
    heads, width = model.config.num_attention_heads, model.config.hidden_size
    graph = optimizer.optimize_model(str(plain), model_type="bert", num_heads=heads, hidden_size=width)
    graph.save_model_to_file(str(cache / GRAPH), use_external_data_format=True)


def compute(session: onnxruntime.InferenceSession, batch: list[list[int]]) -> list[list[float]]:
    """Return the logits of texts as one padded matrix."""
    longest = max(map(len, batch))
    ids = np.zeros((len(batch), longest), dtype=np.int64)
    mask = np.zeros_like(ids)
    for row, text in enumerate(batch):
        ids[row, : len(text)], mask[row, : len(text)] = text, 1
    given = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
    rows: list[list[float]] = session.run(None, given)[0].tolist()
    return rows


def main() -> None:
    """Export, or answer each line of token ids with seconds and logits."""
    folder, cache, way = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
    if way == "export":
        export(folder, cache)
        return
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(str(cache / GRAPH), options)
    alone = way == "alone"
    print(json.dumps({"engine": f"ONNX Runtime {onnxruntime.__version__}, {way}"}), flush=True)
    for line in sys.stdin:
        batch = json.loads(line)
        began, used = time.perf_counter(), time.process_time()
        parts = [[text] for text in batch] if alone else [batch]
        logits = [row for part in parts for row in compute(session, part)]
        took = {"seconds": time.perf_counter() - began, "processor_seconds": time.process_time() - used}
        print(json.dumps(took | {"logits": logits}), flush=True)


if __name__ == "__main__":
    main()
