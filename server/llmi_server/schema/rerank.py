"""The rerank request that Cohere, Jina and vLLM agree on, and its answer."""

from pydantic import BaseModel, Field

from llmi_server.schema.request import RequestBody


class Document(RequestBody):
    """A document as an object."""

    text: str


class RerankRequest(RequestBody):
    """Body of ``POST /v1/rerank``."""

    model: str = Field(min_length=1, description="The served model's name.")
    query: str = Field(min_length=1, description="What the documents are judged by.")
    documents: list[str | Document] = Field(description="Texts, or objects with a text.")
    top_n: int | None = Field(default=None, ge=1, description="How many of the best; all if absent.")
    return_documents: bool = Field(default=True, description="Whether the answer repeats the documents.")
    truncate: bool | None = Field(
        default=None, description="Cut documents that are too long, or refuse them (an extension)."
    )

    @property
    def texts(self) -> list[str]:
        """The documents' texts."""
        return [entry if isinstance(entry, str) else entry.text for entry in self.documents]


class RankedText(BaseModel):
    """A document in an answer."""

    text: str


class RankedDocument(BaseModel):
    """A document's place and score."""

    index: int = Field(description="Place in the request.")
    relevance_score: float = Field(description="Between 0 and 1; more is better.")
    document: RankedText | None = None


class RerankUsage(BaseModel):
    """Tokens that were computed."""

    prompt_tokens: int
    total_tokens: int
    truncated_inputs: int | None = Field(default=None, description="Documents that were cut, if any (an extension).")


class RerankAnswer(BaseModel):
    """Answer of ``POST /v1/rerank``."""

    model: str
    results: list[RankedDocument] = Field(description="Best first.")
    usage: RerankUsage
