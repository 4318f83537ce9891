"""One text to be continued, as the engine's process gets it."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How the next token is chosen.

    Attributes:
        temperature: 0 takes the likeliest token; 1 takes the model's own probabilities.
        top_p: Only the likeliest tokens whose probabilities together reach this are considered.
        top_k: Only this many of the likeliest tokens are considered; 0 considers all.
        seed: Where the draws begin: the same seed draws alike, whatever else is computed.
        frequency_penalty: Taken from a token's score for each time it was generated.
        presence_penalty: Taken once from the score of a token that was generated.
        repetition_penalty: Divides the scores of tokens that the prompt or the answer has.
        top_logprobs: How many likely tokens to tell beside the chosen one; None tells no probabilities.
    """

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    seed: int = 0
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    repetition_penalty: float = 1.0
    top_logprobs: int | None = None

    @property
    def penalizes(self) -> bool:
        """Whether scores depend on what was generated."""
        return bool(self.frequency_penalty or self.presence_penalty or self.repetition_penalty != 1.0)


@dataclass(frozen=True, kw_only=True)
class Job:
    """A prompt in tokens and what is wanted.

    Attributes:
        key: Number of the job, never used twice.
        prompt: Its tokens, at least one.
        max_tokens: Most tokens to generate.
        sampling: How they are chosen.
    """

    key: int
    prompt: tuple[int, ...]
    max_tokens: int
    sampling: Sampling
