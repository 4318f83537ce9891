"""Lines of other servers, as recorded (vLLM 0.32.0, Triton 2.51), and what becomes of them in our pipeline."""

from typing import Any

CONTAINERD = "2026-11-26T03:00:00.123456789Z stderr F {line}"
"""A line as containerd writes it into a container's file."""

_GREETING = (
    '{"asctime": "2026-11-26", "levelname": "INFO", "name": "vllm.entrypoints", "process": 3, "message": "Hello"}'
)
RECORDED: tuple[tuple[str, dict[str, Any]], ...] = (
    # As the operator lets vLLM log.
    (
        "WARNING 2026-11-26 11:09:16,417 [vllm.platforms.cpu] Triton is not installed. triton-cpu is expected on x86 "
        "CPUs.",
        {"log.level": "warning", "log.logger": "vllm.platforms.cpu",
         "message": "Triton is not installed. triton-cpu is expected on x86 CPUs."},
    ),
    (
        "ERROR 2026-11-26 11:11:11,795 [vllm.v1.engine.async_llm] AsyncLLM output_handler failed.",
        {"log.level": "error", "log.logger": "vllm.v1.engine.async_llm", "message": "AsyncLLM output_handler failed."},
    ),
    (
        "INFO 2026-11-26 11:15:37,132 [vllm.entrypoints.serve.utils.request_logger] Received request chatcmpl-id-1: "
        "params: SamplingParams(n=1), lora_request: None.",
        {"log.level": "info", "log.logger": "vllm.entrypoints.serve.utils.request_logger", "http.request.id": "id-1"},
    ),
    (
        "INFO 2026-11-26 11:15:37,137 [vllm.v1.engine.async_llm] Added request chatcmpl-id-1-aae30e8a.",
        {"log.level": "info", "log.logger": "vllm.v1.engine.async_llm", "http.request.id": "id-1",
         "message": "Added request chatcmpl-id-1-aae30e8a."},
    ),
    # As it does by itself.
    (
        "(APIServer pid=372) WARNING 11-26 03:12:53 [cpu.py:224] Triton is not installed.",
        {"log.level": "warning", "message": "Triton is not installed.", "log.origin.file.name": "cpu.py",
         "log.origin.file.line": 224, "process.name": "APIServer", "process.pid": 372},
    ),
    (
        "INFO 11-26 03:12:53 [model.py:733] Resolved architecture: LlamaForCausalLM",
        {"log.level": "info", "message": "Resolved architecture: LlamaForCausalLM", "log.origin.file.name": "model.py"},
    ),
    (
        "(APIServer pid=372) ERROR 11-26 03:14:48 [async_llm.py:906] vllm.v1.engine.exceptions.EngineDeadError: "
        "EngineCore encountered an issue. See stack trace (above) for the root cause.",
        {"log.level": "error", "log.origin.file.line": 906},
    ),
    ("INFO:     Application startup complete.", {"log.level": "info", "message": "Application startup complete."}),
    (
        'INFO:     127.0.0.1:39090 - "POST /v1/chat/completions HTTP/1.1" 200 OK',
        {"log.level": "info", "client.address": "127.0.0.1", "client.port": 39090, "http.request.method": "POST",
         "url.path": "/v1/chat/completions", "http.version": "1.1", "http.response.status_code": 200},
    ),
    (
        "I1126 01:19:11.910966 25225 model_lifecycle.cc:839] \"successfully loaded 'bert'\"",
        {"log.level": "info", "message": "successfully loaded 'bert'", "log.origin.file.name": "model_lifecycle.cc",
         "log.origin.file.line": 839, "process.pid": 25225},
    ),
    (
        'E1126 01:19:04.184222 25225 server.cc:241] "CudaDriverHelper has not been initialized."',
        {"log.level": "error", "message": "CudaDriverHelper has not been initialized."},
    ),
    (
        "[Error] File: /tmp/tritonbuild/exporters/otlp/src/otlp_http_exporter.cc:122 [OTLP HTTP Client] ERROR: Export "
        "3 trace span(s) error: 1",
        {"log.level": "error", "log.origin.file.line": 122,
         "message": "[OTLP HTTP Client] ERROR: Export 3 trace span(s) error: 1"},
    ),
    (
        "W1126 03:12:46.472000 372 torch/utils/flop_counter.py:29] triton not found; flop counting will not work for "
        "triton kernels",
        {"log.level": "warning", "log.origin.file.name": "torch/utils/flop_counter.py"},
    ),
    (_GREETING, {"log.level": "info", "log.logger": "vllm.entrypoints", "message": "Hello"}),
    # What is nobody's format is kept as it is.
    ("| Repository Agent | Path |", {"message": "| Repository Agent | Path |"}),
    ('{"broken": ', {"message": '{"broken": '}),
)  # fmt: skip


def flat(fields: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Write nested and dotted fields in the same way."""
    found: dict[str, Any] = {}
    for name, value in fields.items():
        found |= flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return found
