"""What the server and the engine's process say to each other. Pickled: both ends are ours."""

from dataclasses import dataclass, field

from llmi_api.failure import Failure
from llmi_api.launch import Device, LogLevel, Precision
from llmi_server.engine.protocol import ModelFacts
from llmi_server.generation.request import Job
from llmi_server.generation.steps import FinishReason
from llmi_server.settings import LogFormat


@dataclass(frozen=True, kw_only=True)
class EngineSettings:
    """What the engine's process is told when it starts.

    Attributes:
        folder: The model's folder.
        precision: Number format that is asked for.
        device: Where the model shall run.
        threads: CPU threads; the CPU limit if None.
        max_batch_tokens: Most tokens computed at once.
        max_input_tokens: Longest prompt, if that is bounded.
        max_output_tokens: Longest answer, if that is bounded.
        max_sequences: Most texts at the same time.
        kv_cache_bytes: Most memory for keys and values; what is free decides if None.
        log_level: Least severity that is logged.
        log_format: How log lines look.
    """

    folder: str
    precision: Precision
    device: Device
    threads: int | None
    max_batch_tokens: int
    max_input_tokens: int | None
    max_output_tokens: int | None
    max_sequences: int
    kv_cache_bytes: int | None
    log_level: LogLevel
    log_format: LogFormat


@dataclass(frozen=True)
class Submit:
    """Compute a job."""

    job: Job


@dataclass(frozen=True)
class Cancel:
    """Forget a job."""

    key: int


Command = Submit | Cancel


@dataclass(frozen=True)
class PhaseBegins:
    """A phase of starting begins."""

    name: str


@dataclass(frozen=True)
class MemoryPredicted:
    """The model will take this much, and would take so much in each precision."""

    count: int
    by_precision: dict[str, int]
    weights: dict[str, int]


@dataclass(frozen=True)
class BytesExpected:
    """So many bytes of weights are to be read, which begins now."""

    count: int


@dataclass(frozen=True)
class BytesRead:
    """So many more were read."""

    count: int


@dataclass(frozen=True)
class GaveUp:
    """The model cannot be served."""

    failure: Failure


@dataclass(frozen=True, kw_only=True)
class TokenizerParts:
    """What the server needs of the tokenizer, so that it need not import Transformers.

    Attributes:
        definition: The content of a ``tokenizer.json``.
        chat_template: The model's template for conversations, if it has one.
        special: Names and spellings of special tokens, which templates may use.
    """

    definition: str
    chat_template: str | None
    special: dict[str, str]


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """The model answers.

    Attributes:
        facts: What it says about itself.
        tokenizer: How texts become tokens.
        path: How texts are computed: ``batched``, ``cached`` or ``recomputed``.
        max_sequence_tokens: Longest text, prompt and answer together.
        max_sequences: Most texts at the same time.
        kv_cache_bytes: Most memory that keys and values take.
        device_memory_bytes: What is in use on the device, if it has memory of its own.
    """

    facts: ModelFacts
    tokenizer: TokenizerParts
    path: str
    max_sequence_tokens: int
    max_sequences: int
    kv_cache_bytes: int
    device_memory_bytes: int | None = None


@dataclass(frozen=True, kw_only=True)
class TokenChosen:
    """One more token of an answer.

    Attributes:
        key: The job.
        token: The token's id.
        finish: Why the answer ends here, if it does.
        logprob: Natural logarithm of the token's probability, if that was asked for.
        top: Likely tokens with the same, likeliest first.
    """

    key: int
    token: int
    finish: FinishReason | None = None
    logprob: float | None = None
    top: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True, kw_only=True)
class StepDone:
    """What a step yielded, and how full the engine is.

    Attributes:
        started: Jobs that have begun.
        chosen: Tokens of answers.
        failed: Jobs that have ended without an answer.
        out_of_memory: Whether that was for want of memory.
        prompt_tokens: Tokens of prompts that were computed.
        reused_tokens: Tokens of prompts that were known already.
        texts: Texts in the step's passes.
        running: Jobs that go on.
        used_share: Share of the memory for keys and values that is in use.
        seconds: How long it took.
    """

    started: tuple[int, ...] = ()
    chosen: tuple[TokenChosen, ...] = ()
    failed: tuple[int, ...] = ()
    out_of_memory: bool = False
    prompt_tokens: int = 0
    reused_tokens: int = 0
    texts: int = 0
    running: int = 0
    used_share: float = field(default=0.0)
    seconds: float = 0.0


Event = PhaseBegins | MemoryPredicted | BytesExpected | BytesRead | GaveUp | Loaded | StepDone
