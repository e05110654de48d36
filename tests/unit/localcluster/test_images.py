import io
import json
import tarfile
from pathlib import Path

import pytest

from localcluster import archive, images
from localcluster.errors import LocalClusterError


@pytest.mark.parametrize("tag", ["operator", "operator:dev", "localhost/operator", "LOCALHOST/a:b"])
def test_an_incomplete_name_is_refused(tag):
    with pytest.raises(LocalClusterError, match="is not complete"):
        images.build(Path("Dockerfile"), Path(), tag)


def test_wheels_are_fetched_for_the_base_and_not_for_this_machine(tmp_path):
    command = images.download_command(["pip"], tmp_path / "requirements.txt", tmp_path)
    assert command[:2] == ["pip", "download"]
    assert "--only-binary=:all:" in command
    assert "--platform=manylinux_2_28_x86_64" in command
    assert "--platform=manylinux_2_37_x86_64" not in command


def test_the_image_of_one_program_runs_it(tmp_path):
    program = tmp_path / "pause"
    program.write_bytes(b"program")
    archive.write_image(tmp_path / "image.tar", "localhost/a:b", program)
    with tarfile.open(tmp_path / "image.tar") as image:
        (manifest,) = json.load(image.extractfile("manifest.json"))
        config = json.load(image.extractfile(manifest["Config"]))
        with tarfile.open(fileobj=image.extractfile(manifest["Layers"][0])) as layer:
            mode = layer.getmember("pause").mode
    assert manifest["RepoTags"] == ["localhost/a:b"]
    assert config["config"]["Entrypoint"] == ["/pause"]
    assert mode == 0o755


def test_layers_that_are_present_are_left_out(tmp_path):
    files = {f"{'a' * 64}.tar": b"base", f"{'b' * 64}.tar": b"ours", "config.json": b"{}"}
    manifest = [{"Config": "config.json", "Layers": list(files)[:2]}]
    with tarfile.open(tmp_path / "whole.tar", "w") as whole:
        for name, content in {**files, "manifest.json": json.dumps(manifest).encode()}.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            whole.addfile(entry, io.BytesIO(content))
    archive.without_present_layers(
        tmp_path / "whole.tar", tmp_path / "part.tar", "localhost/a:b", {f"sha256:{'a' * 64}"}
    )
    with tarfile.open(tmp_path / "part.tar") as part:
        (top,) = json.load(part.extractfile("index.json"))["manifests"]
        described = json.load(part.extractfile(f"blobs/sha256/{top['digest'].removeprefix('sha256:')}"))
        names = part.getnames()
    assert top["annotations"] == {"io.containerd.image.name": "localhost/a:b"}
    assert [layer["digest"][7:] for layer in described["layers"]] == ["a" * 64, "b" * 64]
    assert f"blobs/sha256/{'b' * 64}" in names
    assert f"blobs/sha256/{'a' * 64}" not in names
