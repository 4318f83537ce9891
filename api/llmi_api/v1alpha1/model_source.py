"""Where a model comes from: the hub, a claim, or an image; and where downloads are kept."""

from enum import StrEnum
from typing import Self

from pydantic import ConfigDict, Field, model_validator

from llmi_api.meta import DNS_SUBDOMAIN, Model, Quantity, SecretKey, rules

IMAGE_REFERENCE = r"^[a-z0-9]([-a-z0-9.:_/]*[a-z0-9])?(:[A-Za-z0-9_][-.A-Za-z0-9_]*)?(@sha256:[a-f0-9]{64})?$"
RELATIVE_PATH = r"^[A-Za-z0-9_][-._A-Za-z0-9]*(/[A-Za-z0-9_][-._A-Za-z0-9]*)*$"
ONE_SOURCE = "Set exactly one of model.id, model.claim and model.image."
HUB_ONLY = "model.revision, model.tokenSecret, model.endpoint and model.cache go with model.id only."
CLAIM_OR_SIZE = (
    "Set exactly one of model.cache.claim and model.cache.size: a claim of yours, or the size of one of ours."
)
OURS_ONLY = "model.cache.storageClass, accessMode and retention go with model.cache.size only."
FIXED_CLASS = (
    "model.cache.storageClass and accessMode cannot be changed, because a claim's cannot: "
    "remove model.cache first, then set it anew."
)
NO_SHRINKING = (
    "model.cache.size cannot be lowered, because a claim cannot shrink: remove model.cache first, then set it anew."
)


class ModelClaim(Model):
    """A folder on a PersistentVolumeClaim that holds the model's files."""

    name: str = Field(
        min_length=1,
        max_length=253,
        pattern=DNS_SUBDOMAIN,
        description="Name of a PersistentVolumeClaim in the same namespace. It is mounted read-only.",
    )
    path: str | None = Field(
        default=None,
        max_length=512,
        pattern=RELATIVE_PATH,
        description="Folder on the claim that holds config.json. Without it: the claim's root.",
    )


class ModelImage(Model):
    """An OCI image or artifact that holds the model's files, mounted read-only without being run."""

    reference: str = Field(
        min_length=1,
        max_length=512,
        pattern=IMAGE_REFERENCE,
        description="Reference of the image, with a tag or a digest.",
    )
    path: str | None = Field(
        default=None,
        max_length=512,
        pattern=RELATIVE_PATH,
        description="Folder in the image that holds config.json. Without it: the image's root.",
    )


class CacheRetention(StrEnum):
    """What becomes of a cache that is no longer wanted."""

    DELETE = "Delete"
    RETAIN = "Retain"


class CacheAccessMode(StrEnum):
    """From how many nodes a cache can be used at once."""

    READ_WRITE_ONCE = "ReadWriteOnce"
    READ_WRITE_MANY = "ReadWriteMany"


class ModelCache(Model):
    """A PersistentVolumeClaim that keeps downloads, so that replicas and restarts need not download again."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            ("has(self.claim) != has(self.size)", CLAIM_OR_SIZE),
            ("has(self.size) || !(has(self.storageClass) || has(self.accessMode) || has(self.retention))", OURS_ONLY),
            (
                "!(has(self.size) && has(oldSelf.size)) || (has(self.storageClass) == has(oldSelf.storageClass) && "
                "(!has(self.storageClass) || self.storageClass == oldSelf.storageClass) && "
                "has(self.accessMode) == has(oldSelf.accessMode) && "
                "(!has(self.accessMode) || self.accessMode == oldSelf.accessMode))",
                FIXED_CLASS,
            ),
            (
                "!(has(self.size) && has(oldSelf.size)) || "
                "quantity(string(self.size)).compareTo(quantity(string(oldSelf.size))) >= 0",
                NO_SHRINKING,
            ),
        )
    )

    claim: str | None = Field(
        default=None,
        min_length=1,
        max_length=253,
        pattern=DNS_SUBDOMAIN,
        description="Name of a writable PersistentVolumeClaim of yours in the same namespace; several models may "
        "share it.",
    )
    size: Quantity | None = Field(
        default=None,
        description="Size of a PersistentVolumeClaim that is made for this model alone, such as 20Gi. It can grow "
        "where the StorageClass allows that, never shrink.",
    )
    storage_class: str | None = Field(
        default=None,
        min_length=1,
        max_length=253,
        pattern=DNS_SUBDOMAIN,
        description="StorageClass of the claim that is made. Without it: the cluster's default.",
    )
    access_mode: CacheAccessMode | None = Field(
        default=None,
        description="How the claim that is made can be used. ReadWriteOnce, also without this field: from one node, "
        "so all replicas run there. ReadWriteMany: from many nodes, if the storage can.",
    )
    retention: CacheRetention | None = Field(
        default=None,
        description="What becomes of the claim that was made. Delete, also without this field: it goes with the "
        "resource, or when cache is removed. Retain: it stays, and a resource of the same name finds it again.",
    )

    @model_validator(mode="after")
    def _claim_or_size(self) -> Self:
        if (self.claim is None) == (self.size is None):
            raise ValueError(CLAIM_OR_SIZE)
        if self.size is None and (self.storage_class or self.access_mode or self.retention):
            raise ValueError(OURS_ONLY)
        return self

    @property
    def is_for_one_node(self) -> bool:
        """Whether all replicas must run on one node, because the claim that is made can be used on one only."""
        return self.size is not None and self.access_mode is not CacheAccessMode.READ_WRITE_MANY


class ModelSource(Model):
    """Where the model comes from: exactly one of id, claim and image."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            ("[has(self.id), has(self.claim), has(self.image)].filter(given, given).size() == 1", ONE_SOURCE),
            (
                "has(self.id) || !(has(self.revision) || has(self.tokenSecret) || has(self.endpoint) || "
                "has(self.cache))",
                HUB_ONLY,
            ),
        )
    )

    id: str | None = Field(
        default=None,
        min_length=1,
        max_length=193,
        pattern=r"^([A-Za-z0-9][-._A-Za-z0-9]*/)?[A-Za-z0-9][-._A-Za-z0-9]*$",
        description="Repository on the Hugging Face hub, such as google-bert/bert-large-uncased. It needs safetensors "
        "weights.",
    )
    revision: str | None = Field(
        default=None,
        min_length=1,
        max_length=255,
        pattern=r"^[A-Za-z0-9][-._/A-Za-z0-9]*$",
        description="Branch, tag or commit. A branch or tag is resolved once, and that commit is kept until this "
        "field changes. Without it: the repository's main branch.",
    )
    token_secret: SecretKey | None = Field(
        default=None, description="Token for a gated or private repository. Only the download sees it, not the server."
    )
    endpoint: str | None = Field(
        default=None,
        max_length=512,
        pattern=r"^https?://[-.:\[\]A-Za-z0-9]+(/[-._~/A-Za-z0-9]*)?$",
        description="Base URL of a mirror that speaks the hub's protocol. Without it: https://huggingface.co.",
    )
    cache: ModelCache | None = Field(
        default=None,
        description="Where the download is kept beyond a pod's life. Without it each pod downloads to its node's disk.",
    )
    claim: ModelClaim | None = Field(
        default=None, description="The model's files are on a PersistentVolumeClaim; nothing is downloaded."
    )
    image: ModelImage | None = Field(
        default=None,
        description="The model's files are in an OCI image, which the node pulls and keeps. Needs image volumes: "
        "Kubernetes 1.35, or 1.33 with the feature gate ImageVolume.",
    )

    @model_validator(mode="after")
    def _exactly_one_source(self) -> Self:
        if sum(source is not None for source in (self.id, self.claim, self.image)) != 1:
            raise ValueError(ONE_SOURCE)
        if self.id is None and (self.revision or self.token_secret or self.endpoint or self.cache):
            raise ValueError(HUB_ONLY)
        return self
