"""vLLM's known failures, by what it writes last."""

import re

from llmi_api.v1alpha1 import Reason
from llmi_operator.plan.engines.descriptor import Symptom

LIMITS = "spec.limits.maxInputTokens and maxOutputTokens"
ROOM = "more memory (spec.resources.limits.memory on a CPU, spec.accelerator on a GPU)"


def _on(words: str, reason: Reason, fact: str, step: str) -> Symptom:
    return Symptom(re.compile(words, re.DOTALL), reason, fact, step)


SYMPTOMS = (
    _on(
        r"max seq len \((?P<length>\d+)\).{0,20}?(?P<needed>[\d.]+) GiB KV.{0,80}?memory \((?P<there>[-\d.]+) GiB\)"
        r".{0,80}?estimated maximum model length is (?P<fits>\d+)",
        Reason.OUT_OF_MEMORY,
        "vLLM's memory for keys and values does not hold one request of {length} tokens: {needed} GiB are needed and "
        "{there} GiB are there",
        f"set {LIMITS} to at most {{fits}} together, or give {ROOM}",
    ),
    _on(
        r"max seq len \((?P<length>\d+)\).{0,20}?(?P<needed>[\d.]+) GiB KV.{0,80}?memory \((?P<there>[-\d.]+) GiB\)",
        Reason.OUT_OF_MEMORY,
        "vLLM's memory for keys and values does not hold one request of {length} tokens: {needed} GiB are needed and "
        "{there} GiB are there",
        f"lower {LIMITS}, or give {ROOM}",
    ),
    _on(
        r"No available memory for the cache blocks",
        Reason.OUT_OF_MEMORY,
        "The model leaves vLLM no memory for keys and values",
        f"give {ROOM}, or choose a smaller model",
    ),
    _on(
        r"(?:CUDA|HIP) out of memory\. Tried to allocate (?P<amount>[\d.]+ \w+)",
        Reason.OUT_OF_MEMORY,
        "The GPU has not enough memory: vLLM found no {amount} more",
        "ask for a larger GPU or for more of them (spec.accelerator), lower spec.limits.maxBatchTokens, or choose a "
        "smaller model",
    ),
    _on(
        r"Free memory on device \S+ \((?P<free>[\d.]+)/(?P<whole>[\d.]+) GiB\) on startup is less",
        Reason.OUT_OF_MEMORY,
        "Something else uses the GPU's memory: {free} of {whole} GiB are free",
        "give the replica a GPU of its own, or set --gpu-memory-utilization in spec.engine.args",
    ),
    _on(
        r"Available memory on node \S+ \((?P<free>[\d.]+)/[\d.]+ GiB\).{0,80}?"
        r"requested memory for kv \((?P<asked>[\d.]+)",
        Reason.OUT_OF_MEMORY,
        "The node has {free} GiB of memory free and vLLM asks for {asked} GiB for keys and values",
        "raise spec.resources.requests.memory, so that the replica goes where there is room, or lower the limit",
    ),
    _on(
        r"Model architectures \[(?P<names>[^\]]+)\] are not supported",
        Reason.TASK_MISMATCH,
        "vLLM does not know the architecture {names}",
        "choose another model, a newer image in spec.engine.image, or spec.engine.name transformers",
    ),
    _on(
        r"Unsupported CPU attention configuration: head_dim=(?P<size>\d+)",
        Reason.TASK_MISMATCH,
        "vLLM's attention on a CPU does not take this model's heads of {size}",
        "choose another model, a GPU (spec.accelerator), or spec.engine.name transformers",
    ),
    _on(
        r"(?:requires you to execute|contains custom code|trust_remote_code=True)",
        Reason.REMOTE_CODE_NEEDED,
        "The model wants code from its repository, which is never run",
        "choose a model whose architecture vLLM knows by itself",
    ),
    _on(
        r"max_model_len \((?P<asked>\d+)\) is greater than the derived max_model_len \(\w+=(?P<able>\d+)",
        Reason.INVALID_SETTINGS,
        f"{LIMITS} are {{asked}} together, and the model takes {{able}} tokens",
        "lower them, or leave them out",
    ),
    _on(
        r"max_num_batched_tokens \((?P<batch>\d+)\) is smaller than max_model_len \((?P<length>\d+)\)",
        Reason.INVALID_SETTINGS,
        "spec.limits.maxBatchTokens is {batch}, and one request may have {length} tokens",
        "raise it, or lower spec.limits.maxInputTokens",
    ),
    _on(
        r"Loading lora (?P<name>\S+) failed: No adapter found for (?P<path>\S+?)[',\s]",
        Reason.INVALID_SETTINGS,
        "vLLM finds no adapter {name} in {path}",
        "correct --lora-modules in spec.engine.args: the model's files are in /model",
    ),
    _on(
        r"LoRA rank (?P<rank>\d+) is greater than max_lora_rank (?P<most>\d+)",
        Reason.INVALID_SETTINGS,
        "An adapter has rank {rank}, and vLLM takes {most}",
        "set --max-lora-rank={rank} in spec.engine.args",
    ),
    _on(
        r"(?:api_server\.py|main\.py|vllm serve|vllm): error: (?P<words>[^\n]+)",
        Reason.INVALID_SETTINGS,
        "vLLM does not take its arguments ({words})",
        "correct spec.engine.args, or use an image with a vLLM that knows them",
    ),
    _on(
        r"(?i)bfloat16 is only supported on",
        Reason.PRECISION_UNSUPPORTED,
        "This GPU cannot compute in bfloat16",
        "set spec.engine.precision to float16",
    ),
    _on(
        r"Failed to infer device type|No CUDA GPUs are available|Found no NVIDIA driver|libcuda\.so\.1: cannot open",
        Reason.ACCELERATOR_ABSENT,
        "vLLM finds no device that it can use",
        "check that spec.accelerator asks for a GPU, that the node's driver works, and that the image is for it",
    ),
)
"""The first that matches is told: the more telling before the more general."""
