"""What an answer says of texts that were too long."""

from llmi_server.inference.service import Answers


def told(answers: Answers) -> dict[str, str]:
    """Return the headers that say how many texts were not computed whole; none if all were."""
    counts = {"x-llmi-truncated-inputs": answers.truncated, "x-llmi-windowed-inputs": answers.windowed}
    return {name: str(count) for name, count in counts.items() if count}
