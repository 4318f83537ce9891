"""Our engine behind a pipe: ``python ours.py FOLDER``; see bench/engine_choice.py for what goes through it."""

import json
import sys
import time
from pathlib import Path

from llmi_api.launch import Device, Precision, Task
from llmi_server.engine.loading import load_model
from llmi_server.engine.preparation import LoadRequest
from llmi_server.engine.protocol import EncodedText
from llmi_server.generation.loading import Unwatched


def _text(ids: list[int]) -> EncodedText:
    return EncodedText(
        ids=tuple(ids),
        type_ids=(0,) * len(ids),
        special=(False,) * len(ids),
        offsets=((0, 0),) * len(ids),
        text="",
    )


def main() -> None:
    """Answer each line of token ids with seconds and logits."""
    request = LoadRequest(
        folder=Path(sys.argv[1]),
        task=Task.TEXT_CLASSIFICATION,
        precision=Precision.FLOAT32,
        device=Device.CPU,
        max_batch_tokens=4096,
    )
    engine = load_model(request, watcher=Unwatched()).engine
    print(json.dumps({"engine": engine.facts.engine}), flush=True)
    for line in sys.stdin:
        batch = [_text(ids) for ids in json.loads(line)]
        began, used = time.perf_counter(), time.process_time()
        logits = engine.compute(batch)
        took = {"seconds": time.perf_counter() - began, "processor_seconds": time.process_time() - used}
        print(json.dumps(took | {"logits": [row.tolist() for row in logits]}), flush=True)


if __name__ == "__main__":
    main()
