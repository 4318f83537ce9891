"""Images that a node cannot get, or is getting."""

from datetime import datetime

from llmi_api.v1alpha1 import Reason
from llmi_operator.observed import ContainerState, PodState
from llmi_operator.parse import Resource
from llmi_operator.plan.pod import find_image_setting
from llmi_operator.settings import PREFIX
from llmi_operator.status.finding import Finding, Outlook, quote_words

PULL_RECHECK_SECONDS = 30
_IMAGE_REASONS = frozenset(
    {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError",
     "RegistryUnavailable", "SignatureValidationFailed"}
)  # fmt: skip


def find_image_fault(pod: PodState, resource: Resource) -> Finding | None:
    """The kubelet cannot get an image."""
    for container in pod.containers:
        if container.waiting_reason in _IMAGE_REASONS:
            return Finding(Reason.IMAGE_UNAVAILABLE, _explain_image(container, resource), Outlook.FAULT)
    return None


def find_pull(pod: PodState, now: datetime) -> Finding | None:
    """The kubelet is getting an image; nobody can say how far it is."""
    if pod.pull is None or pod.has_begun:
        return None
    return Finding(
        Reason.PULLING_IMAGE,
        f"The node {pod.node} has been pulling the image {pod.pull.image}"
        f"{_describe_duration((now - pod.pull.since).total_seconds())}.",
        Outlook.PROGRESS,
        recheck_seconds=PULL_RECHECK_SECONDS,
    )


def _describe_duration(seconds: float) -> str:
    """In steps of half a minute, so that the status is not written at every look."""
    halves = int(seconds // PULL_RECHECK_SECONDS)
    if halves == 0:
        return " since a moment ago"
    minutes, rest = divmod(halves * PULL_RECHECK_SECONDS, 60)
    return " for " + " ".join(
        part for part in (f"{minutes} min" if minutes else "", f"{rest} s" if rest else "") if part
    )


def _explain_image(container: ContainerState, resource: Resource) -> str:
    text = container.waiting_message
    model = resource.spec.model.image
    if model and model.reference in text:
        image, where = model.reference, "spec.model.image.reference"
    else:
        setting = find_image_setting(resource, container.name)
        image = container.image if setting else resource.spec.engine.image or container.image
        where = f"the operator's setting {PREFIX}{setting.upper()}" if setting else "spec.engine.image"
    fact, step = _classify_pull(container.waiting_reason, text)
    return f"The image {image} {fact}: {step.format(where=where)}"


def _classify_pull(reason: str, text: str) -> tuple[str, str]:
    lower = text.lower()
    if reason == "InvalidImageName":
        return "has an invalid name", "correct {where}."
    if reason == "ErrImageNeverPull":
        return "is not on the node and may not be pulled", "load it onto the nodes, or allow pulling it."
    for words, fact, step in _PULL_FAULTS:
        if any(word in lower for word in words):
            return fact.format(text=quote_words(text, 200).replace("{", "(").replace("}", ")")), step
    return f"cannot be pulled ({quote_words(text, 200) or reason})", "check {where}."


_PULL_FAULTS = (
    (
        ("toomanyrequests", "too many requests", "429", "rate limit"),
        "may not be pulled for now, its registry limits the rate",
        "wait, name a pull secret in spec.engine.imagePullSecrets, or keep a copy in a registry of your own ({where}).",
    ),
    (
        ("unauthorized", "denied", "forbidden", "authentication", "no basic auth"),
        "may not be pulled",
        "name a pull secret in spec.engine.imagePullSecrets, or correct {where}.",
    ),
    (("not found", "manifest unknown", "does not exist"), "does not exist", "correct {where}, or push the image."),
    (
        ("no such host", "connection refused", "timeout", "i/o", "unreachable", "eof"),
        "cannot be pulled, its registry does not answer ({text})",
        "check the registry and {where}.",
    ),
)
"""Words of the container runtime, the fact, and the next step; the first that matches wins."""
