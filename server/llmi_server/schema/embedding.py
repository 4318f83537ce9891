"""OpenAI's embeddings: request and answer."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from llmi_server.schema.request import RequestBody


class EmbeddingRequest(RequestBody):
    """Body of ``POST /v1/embeddings``."""

    model: str = Field(min_length=1, description="The served model's name.")
    input: Annotated[str | list[str], Field(description="One text or several. Token ids are not taken.")]
    encoding_format: Literal["float", "base64"] = Field(default="float", description="Form of the vectors.")
    user: str | None = Field(default=None, description="Taken and ignored.")
    prompt_name: str | None = Field(
        default=None, max_length=200, description="Which of the model's prompts is put before each text (an extension)."
    )
    truncate: bool | None = Field(
        default=None, description="Cut inputs that are too long, or refuse them (an extension)."
    )


class Embedding(BaseModel):
    """One vector."""

    object: Literal["embedding"] = "embedding"
    index: int
    embedding: list[float] | str


class EmbeddingUsage(BaseModel):
    """Tokens that were computed."""

    prompt_tokens: int
    total_tokens: int
    truncated_inputs: int | None = Field(default=None, description="Texts that were cut, if any (an extension).")
    windowed_inputs: int | None = Field(
        default=None, description="Texts that were too long and computed in parts, if any (an extension)."
    )


class EmbeddingList(BaseModel):
    """Answer of ``POST /v1/embeddings``."""

    object: Literal["list"] = "list"
    data: list[Embedding]
    model: str
    usage: EmbeddingUsage
