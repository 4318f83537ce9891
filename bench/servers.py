"""The servers that are compared: how each is started, and how it is asked."""

import os
import sys
import sysconfig
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from peers import folder_of, python_of

HERE = Path(__file__).resolve().parent
NAME = "bench"
ANSWER_TOKENS = 64
Body = Callable[[str, str], dict[str, Any]]
"""From a text and the model's name to a request."""

_BOTH_CORES = {"VLLM_CPU_OMP_THREADS_BIND": f"0-{(os.cpu_count() or 1) - 1}", "VLLM_CPU_KVCACHE_SPACE": "2"}
_OFFLINE = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "DO_NOT_TRACK": "1", "VLLM_NO_USAGE_STATS": "1"}


@dataclass(frozen=True, kw_only=True)
class Server:
    """One server on one model.

    Attributes:
        title: What it is called in the report.
        peer: Whose environment it runs in; ours if None.
        command: From the model's folder and a port to a command line.
        environment: From the model's folder to variables beside those that we have ourselves.
        health: Path that answers 200 once requests are answered.
        route: Path that is asked.
        body: What is sent there.
        named_by_folder: Whether the model's name is the path of its folder.
    """

    title: str
    command: Callable[[Path, int], list[str]]
    route: str
    body: Body
    health: str = "/health"
    peer: str | None = None
    named_by_folder: bool = False
    environment: Callable[[Path], Mapping[str, str]] = field(default=lambda _: {})


def ours(task: str, route: str, body: Body, **settings: str) -> Server:
    """Describe our own server."""

    def environment(folder: Path) -> Mapping[str, str]:
        own = {"MODEL_DIR": str(folder), "MODEL_NAME": NAME, "TASK": task, "HOST": "127.0.0.1"}
        own |= {"REQUEST_TIMEOUT_SECONDS": "3600", "TERMINATION_MESSAGE_PATH": os.devnull}
        return {f"LLMI_{name.upper()}": value for name, value in (own | settings).items()}

    def command(_: Path, port: int) -> list[str]:
        return [sys.executable, "-P", "-m", "llmi_server", "serve", "--port", str(port)]

    title = "ours, " + ", ".join(f"{name}={value}" for name, value in settings.items()) if settings else "ours"
    return Server(title=title, command=command, environment=environment, health="/readyz", route=route, body=body)


def naive(task: str) -> Server:
    """Describe baseline A."""

    def command(folder: Path, port: int) -> list[str]:
        return [sys.executable, str(HERE / "naive_server.py"), task, str(folder), str(port)]

    return Server(
        title="A: FastAPI and a pipeline",
        command=command,
        environment=lambda _: _OFFLINE,
        route="/predict",
        body=lambda text, _: {"text": text},
    )


def infinity(route: str, device: str = "cpu") -> Server:
    """Describe infinity on its PyTorch engine; on a GPU it computes in float16."""

    def command(folder: Path, port: int) -> list[str]:
        program = str(folder_of("infinity") / "bin" / "infinity_emb")
        model = ["--model-id", str(folder), "--served-model-name", NAME, "--host", "127.0.0.1", "--port", str(port)]
        options = ["--engine", "torch", "--device", device, "--no-bettertransformer", "--no-model-warmup"]
        return [program, "v2", *model, *options]

    return Server(
        title="infinity (torch)",
        peer="infinity",
        command=command,
        environment=lambda _: _OFFLINE,
        route=route,
        body=lambda text, name: {"model": name, "input": [text]},
    )


def vllm(route: str, body: Body, *options: str) -> Server:
    """Describe vLLM for CPUs, bound to all cores; by its module, as its program asks for another package's version."""

    def command(folder: Path, port: int) -> list[str]:
        program = [str(python_of("vllm")), "-m", "vllm.entrypoints.openai.api_server"]
        model = ["--model", str(folder), "--served-model-name", NAME, "--host", "127.0.0.1", "--port", str(port)]
        return [*program, *model, "--dtype", "float32", *options]

    return Server(
        title="vLLM (CPU, all cores)",
        peer="vllm",
        command=command,
        environment=lambda _: _OFFLINE | _BOTH_CORES,
        route=route,
        body=body,
    )


def triton() -> Server:
    """Describe Triton with a Python back end and its dynamic batcher."""
    packages = folder_of("triton") / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}/site-packages"
    # Triton's Python back end is linked against a libpython, which must be that of the standard library it will find.
    libraries = [str(sysconfig.get_config_var("LIBDIR")), str(packages / "nvidia_pytriton.libs")]

    def command(_: Path, port: int) -> list[str]:
        program = packages / "pytriton" / "tritonserver" / "bin" / "tritonserver"
        folders = [f"--model-repository={HERE / 'triton_models'}", f"--backend-directory={_triton_backends(packages)}"]
        ports = [f"--http-port={port}", "--http-address=127.0.0.1", "--allow-grpc=false", "--allow-metrics=false"]
        return [str(program), *folders, *ports]

    def environment(folder: Path) -> Mapping[str, str]:
        own = {"BENCH_MODEL": str(folder), "BENCH_SITE_PACKAGES": str(packages)}
        return _OFFLINE | own | {"LD_LIBRARY_PATH": os.pathsep.join(libraries)}

    def body(text: str, _: str) -> dict[str, Any]:
        return {"inputs": [{"name": "text", "datatype": "BYTES", "shape": [1, 1], "data": [text]}]}

    return Server(
        title="Triton (Python back end, dynamic batcher)",
        peer="triton",
        command=command,
        environment=environment,
        health="/v2/health/ready",
        route="/v2/models/bert/infer",
        body=body,
    )


def _triton_backends(packages: Path) -> Path:
    """Return a folder with the Python back end and, beside it, its part that is linked against this Python."""
    found = packages / "pytriton" / "tritonserver"
    target = folder_of("triton") / "backends"
    python = target / "python"
    python.mkdir(parents=True, exist_ok=True)
    stub = f"python_backend_stubs/{sys.version_info.major}.{sys.version_info.minor}/triton_python_backend_stub"
    for source in [*(found / "backends" / "python").iterdir(), found / stub]:
        if not (python / source.name).exists():
            (python / source.name).hardlink_to(source)
    return target


def transformers_serve() -> Server:
    """Describe `transformers serve`, with the model loaded from the start."""

    def command(folder: Path, port: int) -> list[str]:
        program = [str(folder_of("transformers") / "bin" / "transformers"), "serve", str(folder)]
        return [*program, "--host", "127.0.0.1", "--port", str(port), "--device", "cpu", "--dtype", "float32"]

    return Server(
        title="transformers serve",
        peer="transformers",
        command=command,
        environment=lambda _: _OFFLINE,
        route="/v1/chat/completions",
        body=chat,
        named_by_folder=True,
    )


def task(text: str, _: str) -> dict[str, Any]:
    """Ask in Hugging Face's way."""
    return {"inputs": text}


def classification(text: str, name: str) -> dict[str, Any]:
    """Ask vLLM for a class, or us for a vector."""
    return {"model": name, "input": text}


def chat(text: str, name: str) -> dict[str, Any]:
    """Ask for an answer of exactly 64 tokens, streamed."""
    said = [{"role": "user", "content": text}]
    return {"model": name, "messages": said, "max_tokens": ANSWER_TOKENS, "temperature": 0, "stream": True}


def chat_on(text: str, name: str) -> dict[str, Any]:
    """Ask likewise, and go on past the end of an answer."""
    return chat(text, name) | {"ignore_eos": True}


SERVERS: Mapping[str, Server] = {
    "ours-bert": ours("text-classification", "/", task, precision="float32"),
    "ours-bert-bf16": ours("text-classification", "/", task, precision="bfloat16"),
    "ours-bert-int8": ours("text-classification", "/", task, precision="int8"),
    "ours-minilm": ours("embeddings", "/v1/embeddings", classification, precision="float32"),
    "ours-minilm-int8": ours("embeddings", "/v1/embeddings", classification, precision="int8"),
    "ours-llama": ours("text-generation", "/v1/chat/completions", chat),
    "naive-bert": naive("text-classification"),
    "naive-minilm": naive("feature-extraction"),
    "infinity-bert": infinity("/classify"),
    "ours-bert-gpu": ours("text-classification", "/", task, device="cuda"),
    "ours-minilm-gpu": ours("embeddings", "/v1/embeddings", classification, device="cuda"),
    "infinity-bert-gpu": infinity("/classify", "cuda"),
    "infinity-minilm-gpu": infinity("/embeddings", "cuda"),
    "vllm-bert": vllm("/classify", classification, "--runner", "pooling"),
    "vllm-llama": vllm("/v1/chat/completions", chat_on, "--max-model-len", "2048"),
    "triton-bert": triton(),
    "transformers-llama": transformers_serve(),
}
