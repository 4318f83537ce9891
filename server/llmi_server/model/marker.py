"""The note that a finished fetch leaves beside the files: which commit, and each file's size and hash."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

MARKER_NAME = ".llmi-fetch.json"


class FetchedFile(BaseModel):
    """One file of a finished fetch."""

    model_config = ConfigDict(frozen=True)

    name: str = Field(description="Path inside the model's folder.")
    size: int = Field(ge=0, description="Size in bytes.")
    algorithm: str = Field(description="sha256, or git-sha1 for small files.")
    digest: str = Field(description="Hash as the hub gave it, verified.")


class Marker(BaseModel):
    """What a finished fetch put into the folder."""

    model_config = ConfigDict(frozen=True)

    model_id: str = Field(description="Repository on the hub.")
    revision: str = Field(description="The commit.")
    files: tuple[FetchedFile, ...] = Field(description="Every file, verified.")


def read_marker(folder: Path) -> Marker | None:
    """Return the folder's marker, or None if there is none that can be read."""
    try:
        return Marker.model_validate_json((folder / MARKER_NAME).read_text(encoding="utf-8"))
    except (OSError, ValidationError, ValueError):
        return None


def write_marker(folder: Path, marker: Marker) -> None:
    """Write the marker, all or nothing."""
    scratch = folder / (MARKER_NAME + ".part")
    scratch.write_text(marker.model_dump_json(), encoding="utf-8")
    scratch.replace(folder / MARKER_NAME)
