"""Image archives: one of a single static program, and one that leaves out the layers that a node has already."""

import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import IO, Any

_MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
_CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
_LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar"


def write_image(target: Path, tag: str, program: Path) -> None:
    """Write an archive, in Docker's format, of an image whose only file is a program that it runs."""
    layer = _tar({program.name: program.read_bytes()}, mode=0o755)
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {"Entrypoint": [f"/{program.name}"], "User": "65535:65535"},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
    }
    manifest = [{"Config": "config.json", "RepoTags": [tag], "Layers": ["layer.tar"]}]
    files = {"layer.tar": layer, "config.json": _json(config), "manifest.json": _json(manifest)}
    target.write_bytes(_tar(files, mode=0o644))


def without_present_layers(source: Path, target: Path, tag: str, present: set[str]) -> None:
    """Turn an archive in Docker's format into one of an OCI layout, without layers that are there already.

    A layer of megabytes that did not change, above all the base, is then neither copied nor unpacked again.

    Args:
        source: as buildah writes it: layers uncompressed and named by their digests.
        target: what is written.
        tag: full name of the image.
        present: digests that the node's content store has, such as sha256:….
    """
    with tarfile.open(source) as old, tarfile.open(target, "w") as new:
        (described,) = json.loads(_read(old, "manifest.json"))
        config = _read(old, described["Config"])
        layers = [_descriptor(_LAYER_TYPE, Path(name).stem, old.getmember(name).size) for name in described["Layers"]]
        manifest = _json(
            {
                "schemaVersion": 2,
                "mediaType": _MANIFEST_TYPE,
                "config": _descriptor(_CONFIG_TYPE, hashlib.sha256(config).hexdigest(), len(config)),
                "layers": layers,
            }
        )
        top = _descriptor(_MANIFEST_TYPE, hashlib.sha256(manifest).hexdigest(), len(manifest))
        annotated = {**top, "annotations": {"io.containerd.image.name": tag}}
        _add(new, "oci-layout", _json({"imageLayoutVersion": "1.0.0"}))
        _add(new, "index.json", _json({"schemaVersion": 2, "manifests": [annotated]}))
        for blob in (config, manifest):
            _add(new, f"blobs/sha256/{hashlib.sha256(blob).hexdigest()}", blob)
        for name, layer in zip(described["Layers"], layers, strict=True):
            if layer["digest"] not in present:
                _copy(old, name, new)


def _copy(old: tarfile.TarFile, name: str, new: tarfile.TarFile) -> None:
    entry = tarfile.TarInfo(f"blobs/sha256/{Path(name).stem}")
    entry.size = old.getmember(name).size
    new.addfile(entry, _open(old, name))


def _descriptor(media_type: str, digest: str, size: int) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": size}


def _read(archive: tarfile.TarFile, name: str) -> bytes:
    return _open(archive, name).read()


def _open(archive: tarfile.TarFile, name: str) -> IO[bytes]:
    file = archive.extractfile(name)
    if file is None:
        raise ValueError(f"{name} of {archive.name!s} is not a file")
    return file


def _json(value: object) -> bytes:
    return json.dumps(value, sort_keys=True).encode()


def _tar(files: dict[str, bytes], *, mode: int) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in files.items():
            _add(archive, name, content, mode=mode)
    return buffer.getvalue()


def _add(archive: tarfile.TarFile, name: str, content: bytes, *, mode: int = 0o644) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), mode
    archive.addfile(entry, io.BytesIO(content))
