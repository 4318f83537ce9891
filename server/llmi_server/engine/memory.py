"""Whether the memory is there that a model takes, before anything is loaded."""

from llmi_api.failure import FailureCode
from llmi_api.launch import Precision
from llmi_server.engine.protocol import LoadWatcher
from llmi_server.errors import StartupError
from llmi_server.model.memory import MIB, MemoryNeeds


def refuse_if_too_large(
    needs: MemoryNeeds, precision: Precision, *, on_gpu: bool, free: int, watcher: LoadWatcher
) -> None:
    """Predict what the model takes in every precision that it could have, and refuse one that does not fit.

    Raises:
        StartupError: It does not fit, with the numbers, and the precision in which it would.
    """
    choices = tuple(dict.fromkeys((*needs.choices(on_gpu=on_gpu), precision)))
    expected = {one: needs.expected_bytes(one, on_gpu=on_gpu) for one in choices}
    watcher.predict(
        memory_bytes=expected[precision],
        by_precision={one.value: size for one, size in expected.items()},
        weights={one.value: needs.weight_bytes(one) for one in choices},
    )
    needed = needs.least_bytes(precision)
    if needed <= free:
        return
    weights, use = needs.weight_bytes(precision), needs.use(precision).least
    smaller = next((one for one in choices if needs.least_bytes(one) <= free), None)
    instead = f"set precision to {smaller} (about {needs.least_bytes(smaller) // MIB} MiB), " if smaller else ""
    raise StartupError(
        FailureCode.OUT_OF_MEMORY,
        f"The model needs about {needed // MIB} MiB of memory in {precision} ({weights // MIB} MiB of it weights"
        f"{f', {use // MIB} MiB to generate' if use else ''}) and {free // MIB} MiB are free.",
        next_step=f"Raise the memory limit above {needed * 5 // 4 // MIB} MiB, {instead}or choose a smaller model.",
    )
