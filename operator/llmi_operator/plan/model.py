"""How the model's files come into a pod: volumes, mounts, and the container that downloads them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from llmi_api.launch import CACHE_DIR, ENVIRONMENT_PREFIX, HUB_TOKEN_DIR, MODEL_DIR, FetchLaunch
from llmi_api.meta import SecretKey
from llmi_api.v1alpha1.model_source import ModelSource
from llmi_operator.parse import Resource
from llmi_operator.plan.cache import CACHE_VOLUME, build_cache_volume

MODEL_VOLUME = "model"
HUB_TOKEN_VOLUME = "hub-token"  # noqa: S105 - the name of a volume
HUB_TOKEN_FILE = "token"  # noqa: S105 - the name of a file
SECRET_MODE = 0o440
_ID_VARIABLE, _REVISION_VARIABLE = f"{ENVIRONMENT_PREFIX}MODEL_ID", f"{ENVIRONMENT_PREFIX}MODEL_REVISION"


@dataclass(frozen=True)
class ModelFiles:
    """The parts of a pod that bring the model's files to ``/model``."""

    volumes: list[dict[str, Any]]
    mounts: list[dict[str, Any]]
    fetch: FetchLaunch | None = None
    fetch_mounts: list[dict[str, Any]] = field(default_factory=list)


def describe_source(source: ModelSource) -> str:
    """Name the model as its owner wrote it."""
    if source.claim is not None:
        return f"claim {source.claim.name}" + (f"/{source.claim.path}" if source.claim.path else "")
    if source.image is not None:
        return source.image.reference
    return source.id or ""


def identify_files(pod: Mapping[str, Any]) -> str:
    """Name the files that a pod's spec asks for: two pods with the same name for them hold the same weights."""
    for container in pod.get("initContainers") or ():
        asked = {item["name"]: item.get("value", "") for item in container.get("env") or ()}
        if _ID_VARIABLE in asked:
            return f"{asked[_ID_VARIABLE]}@{asked.get(_REVISION_VARIABLE) or 'main'}"
    for volume in pod.get("volumes") or ():
        if volume["name"] == MODEL_VOLUME:
            claim, image = volume.get("persistentVolumeClaim"), volume.get("image")
            source = f"claim {claim['claimName']}" if claim else (image or {}).get("reference", "")
            return f"{source}{_find_sub_path(pod)}"
    return ""


def plan_model_files(resource: Resource) -> ModelFiles:
    """Choose the volumes for the one source that is given."""
    source = resource.spec.model
    mount: dict[str, Any] = {"name": MODEL_VOLUME, "mountPath": str(MODEL_DIR), "readOnly": True}
    if source.claim is not None:
        claim = {"claimName": source.claim.name, "readOnly": True}
        return ModelFiles(
            volumes=[{"name": MODEL_VOLUME, "persistentVolumeClaim": claim}],
            mounts=[_with_path(mount, source.claim.path)],
        )
    if source.image is not None:
        image = {"reference": source.image.reference, "pullPolicy": "IfNotPresent"}
        return ModelFiles(
            volumes=[{"name": MODEL_VOLUME, "image": image}], mounts=[_with_path(mount, source.image.path)]
        )
    return _plan_download(resource, mount)


def build_secret_volume(name: str, secret: SecretKey, path: str) -> dict[str, Any]:
    """Build a volume with one key of a Secret as one file."""
    return {
        "name": name,
        "secret": {
            "secretName": secret.name,
            "items": [{"key": secret.key, "path": path}],
            "defaultMode": SECRET_MODE,
            "optional": False,
        },
    }


def _plan_download(resource: Resource, mount: dict[str, Any]) -> ModelFiles:
    source = resource.spec.model
    volumes: list[dict[str, Any]] = [{"name": MODEL_VOLUME, "emptyDir": {}}]
    mounts: list[dict[str, Any]] = [{"name": MODEL_VOLUME, "mountPath": str(MODEL_DIR)}]
    server_mounts = [mount]
    if source.token_secret is not None:
        volumes.append(build_secret_volume(HUB_TOKEN_VOLUME, source.token_secret, HUB_TOKEN_FILE))
        mounts.append({"name": HUB_TOKEN_VOLUME, "mountPath": str(HUB_TOKEN_DIR), "readOnly": True})
    if source.cache is not None:
        volumes.append(build_cache_volume(resource, source.cache))
        mounts.append({"name": CACHE_VOLUME, "mountPath": str(CACHE_DIR)})
        # The files in /model are links into the cache, so the server needs both.
        server_mounts.append({"name": CACHE_VOLUME, "mountPath": str(CACHE_DIR), "readOnly": True})
    launch = FetchLaunch(
        log_level=resource.spec.observability.logs.level,
        model_id=source.id or "",
        model_revision=source.revision,
        hub_endpoint=source.endpoint,
        hub_token_file=HUB_TOKEN_DIR / HUB_TOKEN_FILE if source.token_secret else None,
        cache_dir=CACHE_DIR if source.cache else None,
    )
    return ModelFiles(volumes=volumes, mounts=server_mounts, fetch=launch, fetch_mounts=mounts)


def _find_sub_path(pod: Mapping[str, Any]) -> str:
    mounts = (mount for container in pod["containers"] for mount in container.get("volumeMounts") or ())
    path = next((mount.get("subPath") for mount in mounts if mount["name"] == MODEL_VOLUME), None)
    return f"/{path}" if path else ""


def _with_path(mount: dict[str, Any], path: str | None) -> dict[str, Any]:
    return {**mount, "subPath": path} if path else mount
