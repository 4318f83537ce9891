"""The commit to which a branch or a tag was resolved once, for every replica and every restart.

The first replica resolves the revision and reports the commit; from then on a ConfigMap says it. The pod template
names only the ConfigMap's key, which is optional, so it stays the same when the pin comes into being: no rollout.
"""

import hashlib
import re
from collections.abc import Mapping
from typing import Any

from llmi_api.v1alpha1.model_source import ModelSource
from llmi_operator.parse import Resource
from llmi_operator.plan.names import make_metadata, make_pin_name

MAX_PINS = 64
_COMMIT = re.compile(r"[0-9a-f]{40}")


def needs_pin(source: ModelSource) -> bool:
    """Whether what the user wrote can name another commit tomorrow."""
    return source.id is not None and not _COMMIT.fullmatch(source.revision or "")


def make_pin_key(source: ModelSource) -> str:
    """Key of the pin: another revision or another hub is another question, to be answered anew."""
    asked = f"{source.id}@{source.revision or ''}@{source.endpoint or ''}"
    return hashlib.sha256(asked.encode()).hexdigest()[:16]


def choose_pin(source: ModelSource, pins: Mapping[str, str], fetched: str | None) -> str | None:
    """The commit that all replicas use: pinned before, or else what the first replica fetched; None when neither."""
    return pins.get(make_pin_key(source), fetched) if needs_pin(source) else None


def build_pins(resource: Resource, pins: Mapping[str, str], commit: str | None) -> dict[str, Any] | None:
    """Build the ConfigMap; None when there is nothing to put into it.

    Earlier pins stay, for who goes back to an earlier revision, and for pods of that time.
    """
    if resource.spec.model.id is None or not (pins or commit):
        return None
    data = dict(pins)
    if commit is not None:
        data = {**(data if len(data) < MAX_PINS else {}), make_pin_key(resource.spec.model): commit}
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": make_metadata(resource, make_pin_name(resource)),
        "data": dict(sorted(data.items())),
    }
