"""Hugging Face's task request: ``inputs`` and ``parameters``, one model for each task."""

from typing import Annotated

from pydantic import Field

from llmi_api.launch import Task
from llmi_server.schema.request import RequestBody
from llmi_server.tasks.embeddings import EmbeddingParameters
from llmi_server.tasks.fill_mask import FillMaskParameters
from llmi_server.tasks.rerank import RerankParameters
from llmi_server.tasks.task import Direction, TaskParameters
from llmi_server.tasks.text_classification import TextClassificationParameters
from llmi_server.tasks.token_classification import TokenClassificationParameters
from llmi_server.tasks.zero_shot_classification import ZeroShotParameters

Inputs = Annotated[str | list[str], Field(description="One text or several.")]


class TaskRequest(RequestBody):
    """Body of ``POST /`` and ``POST /models/{name}``."""

    inputs: Inputs
    parameters: TaskParameters

    @property
    def texts(self) -> list[str]:
        """The inputs as a list."""
        return [self.inputs] if isinstance(self.inputs, str) else self.inputs

    @property
    def chosen_parameters(self) -> TaskParameters:
        """The parameters, wherever the body has them."""
        return self.parameters


class FillMaskRequest(TaskRequest):
    """Fill the masks of one text or several."""

    parameters: FillMaskParameters = FillMaskParameters()


class TextClassificationRequest(TaskRequest):
    """Classify one text or several."""

    parameters: TextClassificationParameters = TextClassificationParameters()


class TokenClassificationRequest(TaskRequest):
    """Find entities in one text or several."""

    parameters: TokenClassificationParameters = TokenClassificationParameters()


class ZeroShotRequest(TaskRequest):
    """Classify one text or several by labels of the request's own."""

    parameters: ZeroShotParameters


class QueryAndTexts(RequestBody):
    """What is reranked."""

    query: str = Field(min_length=1, description="What the texts are judged by.")
    texts: list[str] = Field(description="The documents.")


class RerankTaskRequest(RequestBody):
    """Judge texts by a query."""

    inputs: QueryAndTexts
    parameters: RerankParameters = RerankParameters()

    @property
    def texts(self) -> list[str]:
        """The documents."""
        return self.inputs.texts

    @property
    def chosen_parameters(self) -> TaskParameters:
        """The parameters, with the query among them."""
        return self.parameters.model_copy(update={"query": self.inputs.query})


class EmbeddingTaskRequest(TaskRequest):
    """Embed one text or several."""

    parameters: EmbeddingParameters = EmbeddingParameters()
    truncate: bool | None = Field(default=None, description="As in parameters; this client sends it here.")
    truncation_direction: Direction | None = Field(default=None, description="Likewise.")
    normalize: bool | None = Field(default=None, description="Likewise.")
    prompt_name: str | None = Field(default=None, max_length=200, description="Likewise.")

    @property
    def chosen_parameters(self) -> TaskParameters:
        """The parameters; Hugging Face's client sends those of embeddings beside the inputs."""
        beside = self.model_dump(
            include={"truncate", "truncation_direction", "normalize", "prompt_name"}, exclude_none=True
        )
        return self.parameters.model_copy(update=beside)


TASK_REQUESTS: dict[Task, type[TaskRequest | RerankTaskRequest]] = {
    Task.FILL_MASK: FillMaskRequest,
    Task.TEXT_CLASSIFICATION: TextClassificationRequest,
    Task.TOKEN_CLASSIFICATION: TokenClassificationRequest,
    Task.ZERO_SHOT_CLASSIFICATION: ZeroShotRequest,
    Task.EMBEDDINGS: EmbeddingTaskRequest,
    Task.RERANK: RerankTaskRequest,
}
"""The request model of each task."""


def default_parameters(task: Task) -> TaskParameters:
    """Return what a request of the task has when it says nothing, or an example where it must say something."""
    if task is Task.ZERO_SHOT_CLASSIFICATION:
        return ZeroShotParameters(candidate_labels=["a"])
    parameters: TaskParameters = TASK_REQUESTS[task].model_fields["parameters"].default
    return parameters
