"""Runs the bundled server alone, without Kubernetes, with a real sentence embedding model: ``make serve``.

``MODEL_DIR`` and ``TASK`` serve another model that lies on the disk; ``PORT`` chooses the port.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "support"))


def main() -> None:
    """Find the model, tell how to ask it, and become the server."""
    port = os.environ.get("PORT", "8080")
    folder, task = os.environ.get("MODEL_DIR"), os.environ.get("TASK", "embeddings")
    if not folder:
        from llmi_testing.minilm import minilm  # noqa: PLC0415 - not needed for a model of one's own

        print("serve: fetching all-MiniLM-L6-v2 (83 MB, once)", flush=True)
        folder = str(minilm())
    name = Path(folder).resolve().name
    path, body = "/v1/embeddings", json.dumps({"model": name, "input": "Hello"})
    if task != "embeddings":
        path, body = "/", json.dumps({"inputs": "Hello"})
    print(f"serve: {name} on http://127.0.0.1:{port}; ask it from another terminal:")
    print(f"  curl -s http://127.0.0.1:{port}{path} -H 'content-type: application/json' -d '{body}'", flush=True)
    environment = {
        **os.environ,
        "LLMI_MODEL_DIR": folder,
        "LLMI_MODEL_NAME": name,
        "LLMI_TASK": task,
        "LLMI_PORT": port,
        "LLMI_HOST": "127.0.0.1",
        "LLMI_TERMINATION_MESSAGE_PATH": os.devnull,
    }
    os.execve(sys.executable, [sys.executable, "-P", "-m", "llmi_server", "serve"], environment)  # noqa: S606 - become it


if __name__ == "__main__":
    main()
