"""What each engine can do: the source of the rules at admission, and of docs/engines.md."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from llmi_api.launch import EngineName, LongInputs, Precision, Task
from llmi_api.v1alpha1.engine import Limits


@dataclass(frozen=True)
class Setting:
    """A part of the spec that not every engine can honour.

    Attributes:
        name: As in YAML.
        rule: CEL that is true of a spec that uses it.
        is_used: The same in Python.
        within: The setting of which this one is a case: who lacks that lacks this too.
    """

    name: str
    rule: str
    is_used: Callable[[Any], bool]
    within: "Setting | None" = None


VERIFY = Setting("verify", "has(self.verify)", lambda spec: spec.verify is not None)
LONG_INPUTS = Setting(
    "limits.longInputs",
    "has(self.limits) && has(self.limits.longInputs) && self.limits.longInputs != 'refuse'",
    lambda spec: spec.limits.long_inputs is not LongInputs.REFUSE,
)

INPUT_ALONE = Setting(
    "limits.maxInputTokens without limits.maxOutputTokens",
    "self.task == 'text-generation' && has(self.limits) && has(self.limits.maxInputTokens) && "
    "!has(self.limits.maxOutputTokens)",
    lambda spec: (
        spec.task is Task.TEXT_GENERATION
        and spec.limits.max_input_tokens is not None
        and spec.limits.max_output_tokens is None
    ),
)

LIMITS = Setting(
    "limits",
    "has(self.limits) && (has(self.limits.maxInputTokens) || has(self.limits.maxOutputTokens) || "
    "(has(self.limits.maxBatchTokens) && self.limits.maxBatchTokens != 8192) || "
    "(has(self.limits.maxQueuedRequests) && self.limits.maxQueuedRequests != 256) || "
    "(has(self.limits.requestTimeoutSeconds) && self.limits.requestTimeoutSeconds != 60))",
    lambda spec: spec.limits.model_copy(update={"long_inputs": LongInputs.REFUSE}) != Limits(),
)
API_KEY = Setting(
    "access.apiKeySecret",
    "has(self.access) && has(self.access.apiKeySecret)",
    lambda spec: spec.access is not None and spec.access.api_key_secret is not None,
)
IN_FLIGHT = Setting(
    "autoscaling.targets.inFlightPerReplica",
    "has(self.autoscaling) && has(self.autoscaling.targets) && has(self.autoscaling.targets.inFlightPerReplica)",
    lambda spec: spec.autoscaling is not None and spec.autoscaling.targets.in_flight_per_replica is not None,
)
KEDA_IN_FLIGHT = Setting(
    "autoscaling.targets.inFlightPerReplica with autoscaling.backend keda",
    f"{IN_FLIGHT.rule} && has(self.autoscaling.backend) && self.autoscaling.backend == 'keda'",
    lambda spec: IN_FLIGHT.is_used(spec) and spec.autoscaling.uses_keda,
    within=IN_FLIGHT,
)
"""KEDA asks the replicas for one metric, which only the bundled server has."""


CHAT_ROUTE = "`POST /v1/chat/completions`"
KSERVE_ROUTE = "`POST /v2/models/NAME/infer`"
"""KServe's open inference protocol: where all engines but custom ones are asked alike."""


@dataclass(frozen=True)
class Abilities:
    """What an engine can do.

    Attributes:
        routes: Where each task is asked, for every task that it can do; the first is its own.
        precisions: Values of ``engine.precision`` that it takes.
        lacks: Settings that it cannot honour, so that they are refused.
    """

    routes: Mapping[Task, tuple[str, ...]]
    precisions: frozenset[Precision]
    lacks: tuple[Setting, ...] = ()


ABILITIES: Mapping[EngineName, Abilities] = {
    EngineName.TRANSFORMERS: Abilities(
        routes={
            Task.FILL_MASK: ("`POST /`", KSERVE_ROUTE),
            Task.TEXT_CLASSIFICATION: ("`POST /`", KSERVE_ROUTE),
            Task.TOKEN_CLASSIFICATION: ("`POST /`", KSERVE_ROUTE),
            Task.ZERO_SHOT_CLASSIFICATION: ("`POST /`", KSERVE_ROUTE),
            Task.EMBEDDINGS: ("`POST /v1/embeddings`", KSERVE_ROUTE),
            Task.RERANK: ("`POST /v1/rerank`", KSERVE_ROUTE),
            Task.TEXT_GENERATION: (CHAT_ROUTE,),
        },
        precisions=frozenset(Precision),
    ),
    EngineName.VLLM: Abilities(
        routes={
            Task.TEXT_GENERATION: (CHAT_ROUTE,),
            Task.EMBEDDINGS: ("`POST /v1/embeddings`", KSERVE_ROUTE),
            Task.TEXT_CLASSIFICATION: ("`POST /classify`", KSERVE_ROUTE),
            Task.RERANK: ("`POST /v1/rerank`", KSERVE_ROUTE),
        },
        precisions=frozenset(Precision) - {Precision.INT8},
        lacks=(VERIFY, LONG_INPUTS, INPUT_ALONE, KEDA_IN_FLIGHT),
    ),
    EngineName.TRITON: Abilities(
        routes={task: (KSERVE_ROUTE,) for task in Task if task is not Task.TEXT_GENERATION},
        precisions=frozenset(Precision),
        lacks=(API_KEY, KEDA_IN_FLIGHT),
    ),
    EngineName.CUSTOM: Abilities(
        routes=dict.fromkeys(Task, ("its own",)),
        precisions=frozenset({Precision.AUTO}),
        lacks=(VERIFY, LONG_INPUTS, LIMITS, API_KEY, IN_FLIGHT),
    ),
}


def write_rules() -> list[tuple[str, str]]:
    """CEL rules on the spec with their sentences."""
    on = "has(self.engine) && has(self.engine.name) && self.engine.name == '{}'"
    return [(f"!({on.format(name)}) || {rule}", text) for name, rule, _, text in _checks()]


def find_refusal(spec: Any) -> str:  # noqa: ANN401 - the spec's module needs this one
    """The sentence of the first rule that a spec breaks; empty where it breaks none."""
    return next((text for name, _, is_kept, text in _checks() if spec.engine.name == name and not is_kept(spec)), "")


def _checks() -> Iterator[tuple[EngineName, str, Callable[[Any], bool], str]]:
    for name, able in ABILITIES.items():
        if set(able.routes) != set(Task):
            tasks = [str(task) for task in able.routes]
            yield (
                name,
                f"self.task in {tasks}",
                partial(_does_task, able),
                f"engine.name {name} does {_list(tasks)} only. For other tasks set engine.name "
                f"{EngineName.TRANSFORMERS}.",
            )
        if able.precisions != set(Precision):
            precisions = sorted(str(precision) for precision in able.precisions)
            yield (
                name,
                f"!has(self.engine.precision) || self.engine.precision in {precisions}",
                partial(_has_precision, able),
                f"engine.name {name} computes in engine.precision {_list(precisions)} only. For "
                f"others set engine.name {EngineName.TRANSFORMERS}.",
            )
        for lack in able.lacks:
            able_ones = [str(other) for other, others in ABILITIES.items() if not {lack, lack.within} & {*others.lacks}]
            yield (
                name,
                f"!({lack.rule})",
                partial(_leaves_out, lack),
                f"{lack.name} does not go with engine.name {name}: leave it out, or set engine.name "
                f"{_list(able_ones, 'or')}.",
            )


def _does_task(able: Abilities, spec: Any) -> bool:  # noqa: ANN401 - the spec's module needs this one
    return spec.task in able.routes


def _has_precision(able: Abilities, spec: Any) -> bool:  # noqa: ANN401 - the spec's module needs this one
    return spec.engine.precision in able.precisions


def _leaves_out(lack: Setting, spec: Any) -> bool:  # noqa: ANN401 - the spec's module needs this one
    return not lack.is_used(spec)


def _list(words: list[str], last: str = "and") -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} {last} {words[-1]}"
