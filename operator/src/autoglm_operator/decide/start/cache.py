"""The cache of a warm start: its claim, and the folders on it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from autoglm_operator.api.hashing import content_hash
from autoglm_operator.api.quantity import GIBIBYTE, byte_count
from autoglm_operator.api.v1alpha1 import AccessMode, Model, Spec
from autoglm_operator.decide.reasons import Reason
from autoglm_operator.errors import Terminal

#: For weights of unknown size: 70 billion parameters in two bytes leave no room in less.
_UNKNOWN_SIZE: Final = 200 * GIBIBYTE
#: While a rollout lasts the old revision is there beside the new one.
_REVISIONS: Final = 2
#: Compile caches, of a few hundred MiB for each shape of the engine.
_COMPILE_BYTES: Final = 10 * GIBIBYTE
_STEP: Final = 10 * GIBIBYTE
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9._-]+")


@dataclass(frozen=True, slots=True)
class Claim:
    """A PersistentVolumeClaim.

    Attributes:
        name: in the namespace of the deployment.
        owned: whether it is made by us, and removed with the deployment.
        size: bytes; 0 if it is not ours.
        storage_class: `None` for the default one.
    """

    name: str
    owned: bool
    size: int = 0
    storage_class: str | None = None
    access_mode: AccessMode = AccessMode.READ_WRITE_MANY


@dataclass(frozen=True, slots=True)
class Weights:
    """The files of a model that a download brings.

    Attributes:
        kind: `huggingface`, `modelscope` or `url`, as the download's command line calls them.
        model: `organisation/name`, or the address of a folder.
        revision: as in the spec; empty for the main branch.
    """

    kind: str
    model: str
    revision: str = ""

    @property
    def folder(self) -> str:
        """Return the folder on the claim, relative to its root."""
        if self.kind == "url":
            # Readable, and different for addresses that differ in what a path cannot hold.
            words = _UNSAFE.sub("--", self.model.split("://", 1)[1]).strip("-.")[-80:]
            return f"models/url/{words}--{content_hash({'url': self.model})[:8]}/files"
        default = {"huggingface": "main", "modelscope": "master"}[self.kind]
        return f"models/{self.kind}/{self.model.replace('/', '--')}/{self.revision or default}"

    def __str__(self) -> str:
        """Return the model and revision for people."""
        return f"{self.model} revision {self.revision}" if self.revision else self.model


def weights_of(model: Model) -> Weights | None:
    """Return what has to be downloaded; `None` if the files are on a volume already."""
    source, revision = model.source, model.revision or ""
    if source.hugging_face:
        return Weights("huggingface", source.hugging_face, revision)
    if source.model_scope:
        return Weights("modelscope", source.model_scope, revision)
    return Weights("url", source.url) if source.url else None


def plan_claim(
    deployment: str, spec: Spec, live: Mapping[str, Any] | None, checkpoint_bytes: int | None = None
) -> Claim:
    """Return the claim of the cache.

    Args:
        deployment: its name.
        spec: the deployment's.
        live: the claim that was made before, if it was.
        checkpoint_bytes: of the weights, if known.

    Raises:
        Terminal: the spec asks for what the claim that is cannot become, or what no pod could use.
    """
    cache = spec.warm_start.cache
    nodes = spec.resources.parallelism.nodes
    if cache.access_mode is AccessMode.READ_WRITE_ONCE and nodes > 1:
        raise Terminal(
            Reason.INVALID_SPEC,
            f"spec.warmStart.cache.accessMode: ReadWriteOnce is mounted on one node, and a replica has {nodes} "
            "(spec.resources.parallelism.nodes): use ReadWriteMany",
        )
    if cache.claim_name:
        return Claim(cache.claim_name, owned=False, access_mode=cache.access_mode)
    name = f"{deployment}-cache"
    size = byte_count(cache.size) if cache.size else None
    if live is not None:
        _require_unchanged(name, spec, live, size)
        size = size or byte_count(_live_size(live))
    return Claim(name, True, size or _size_for(checkpoint_bytes), cache.storage_class_name, cache.access_mode)


def _size_for(checkpoint_bytes: int | None) -> int:
    if checkpoint_bytes is None:
        return _UNKNOWN_SIZE
    return -(-(_REVISIONS * checkpoint_bytes + _COMPILE_BYTES) // _STEP) * _STEP


def _live_size(live: Mapping[str, Any]) -> str:
    return str(live["spec"]["resources"]["requests"]["storage"])


def _require_unchanged(name: str, spec: Spec, live: Mapping[str, Any], size: int | None) -> None:
    cache = spec.warm_start.cache
    cure = f"put it back, or delete PersistentVolumeClaim {name} and with it what it holds"
    there = live["spec"].get("storageClassName")
    if cache.storage_class_name is not None and there not in {None, cache.storage_class_name}:
        raise Terminal(
            Reason.INVALID_SPEC,
            f"spec.warmStart.cache.storageClassName: {cache.storage_class_name}, but claim {name} has {there} "
            f"and cannot change its class: {cure}",
        )
    modes = live["spec"].get("accessModes") or []
    if modes and cache.access_mode.value not in modes:
        raise Terminal(
            Reason.INVALID_SPEC,
            f"spec.warmStart.cache.accessMode: {cache.access_mode.value}, but claim {name} was made with "
            f"{', '.join(modes)}, and that cannot be changed: {cure}",
        )
    if size is not None and size < byte_count(_live_size(live)):
        raise Terminal(
            Reason.INVALID_SPEC,
            f"spec.warmStart.cache.size: {cache.size}, but claim {name} has {_live_size(live)} and cannot "
            f"shrink: {cure}",
        )


def compile_folder(spec: Spec, image: str, version: str, gpu_product: str | None) -> str:
    """Return the folder of the compile cache, relative to the claim's root.

    Its name is a hash of all that changes what is compiled: model, engine, GPU, how the model is cut, number formats,
    and the options that change the graph. Engines tell graphs apart by hashes of their own; a folder for each shape
    keeps kernels of one GPU from being offered to another, and lets a folder be removed as a whole.
    """
    engine, resources = spec.engine, spec.resources
    shape = {
        "model": spec.model.source.model_dump(mode="json", exclude_none=True),
        "revision": spec.model.revision,
        "dtype": spec.model.dtype.value,
        "remoteCode": spec.model.trust_remote_code,
        "engine": [engine.type.value, version, image],
        "gpu": [gpu_product or resources.gpu.product, resources.gpu.mig_profile],
        "parallelism": resources.parallelism.model_dump(mode="json"),
        "options": engine.model_dump(
            mode="json", include={"quantization", "kv_cache", "batching", "speculative", "lora", "extra_args"}
        ),
    }
    return f"compile/{content_hash(shape)}"
