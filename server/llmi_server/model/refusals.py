"""Refusals of models whose files are not what they have to be."""

from llmi_api.failure import FailureCode
from llmi_server.errors import StartupError


def no_safetensors(names: list[str]) -> StartupError:
    """Return the refusal of a model that has no safetensors weights, naming what it has."""
    endings = (".bin", ".pt", ".pth", ".pkl", ".ckpt", ".h5", ".msgpack", ".onnx", ".gguf", ".safetensors")
    found = [name for name in names if name.endswith(endings)][:5]
    has = f"it has {', '.join(found)}" if found else "it has no weights at all"
    return StartupError(
        FailureCode.NO_SAFETENSORS,
        f"The model has no model.safetensors; {has}.",
        next_step="Choose a revision or a model with safetensors weights, or convert them; pickles are refused.",
    )


def invalid(message: str) -> StartupError:
    """Return the refusal of a model whose files are damaged or contradict each other."""
    return StartupError(
        FailureCode.MODEL_INVALID, message, next_step="Check the model's files, or choose another revision or model."
    )
