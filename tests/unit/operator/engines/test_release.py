"""Which flags a version has, and what is said of versions that are not in the table."""

import pytest

from autoglm_operator.api.v1alpha1 import EngineType
from autoglm_operator.errors import Terminal
from autoglm_operator.render.engines import release
from autoglm_operator.settings import DEFAULT_IMAGES


@pytest.mark.parametrize(
    ("engine", "version", "table"),
    [
        (EngineType.VLLM, "0.33.0", "0.33.0"),
        (EngineType.VLLM, "0.27.1", "0.27.0"),
        (EngineType.VLLM, "0.28", "0.28.0"),
        (EngineType.VLLM, "0.28.0rc2", "0.27.0"),
        (EngineType.VLLM, "0.40.2", "0.33.0"),
        (EngineType.VLLM, "", "0.33.0"),
        (EngineType.SGLANG, "0.5.6", "0.5.6"),
        (EngineType.SGLANG, "0.5.6.post1", "0.5.6.post1"),
        (EngineType.SGLANG, "0.5.10", "0.5.10"),
        (EngineType.SGLANG, "0.6.0", "0.5.23"),
    ],
)
def test_resolve(engine, version, table):
    assert release.resolve(engine, version).table == table


@pytest.mark.parametrize(
    ("engine", "version"),
    [(EngineType.VLLM, "0.11.2"), (EngineType.VLLM, "0.12.0rc1"), (EngineType.SGLANG, "0.5.5.post3")],
)
def test_an_older_version_is_refused_with_the_range(engine, version):
    with pytest.raises(Terminal) as caught:
        release.resolve(engine, version)
    assert caught.value.reason == "UnsupportedByEngine"
    first, last = release.releases(engine)[0], release.releases(engine)[-1]
    assert str(caught.value) == (
        f"spec.engine.version: {engine} {version} is older than the first release that is supported; "
        f"use one from {first} to {last}"
    )


def test_a_newer_version_is_said_to_be_unknown():
    assert release.note(EngineType.VLLM, "0.33.0") is None
    assert release.note(EngineType.VLLM, "0.27.1") is None
    assert release.note(EngineType.SIMULATOR, "0.1.0") is None
    said = release.note(EngineType.VLLM, "0.34.0")
    assert said is not None
    assert said.startswith("vLLM 0.34.0 is newer than the newest release whose flags were checked, 0.33.0")


def test_the_default_images_are_the_newest_releases_of_the_tables():
    for engine in (EngineType.VLLM, EngineType.SGLANG):
        assert DEFAULT_IMAGES[engine].endswith(f":v{release.newest(engine)}")


@pytest.mark.parametrize("version", ["", "1.x", "v0.33.0", "0.33.0-cu129"])
def test_what_is_no_version_is_named(version):
    with pytest.raises(ValueError, match=r"such as 0\.33\.0"):
        release.version_key(version)


def test_order_of_versions():
    ordered = ["0.5.6rc1", "0.5.6", "0.5.6.post1", "0.5.6.post2", "0.5.7", "0.5.10", "0.12", "0.33.0"]
    assert sorted(ordered, key=release.version_key) == ordered


@pytest.mark.parametrize(
    ("engine", "name", "first", "last"),
    [
        # vLLM's release notes: --swap-space went with 0.18, --shutdown-timeout came with it.
        (EngineType.VLLM, "--swap-space", "0.12.0", "0.17.0"),
        (EngineType.VLLM, "--shutdown-timeout", "0.18.0", "0.33.0"),
        (EngineType.VLLM, "--disable-access-log-for-endpoints", "0.16.0", "0.33.0"),
        (EngineType.VLLM, "--max-num-queued-reqs", "0.29.0", "0.33.0"),
        (EngineType.SGLANG, "--uvicorn-access-log-exclude-prefixes", "0.5.8", "0.5.23"),
        (EngineType.SGLANG, "--tp-size", "0.5.6", "0.5.23"),
    ],
)
def test_from_which_release_to_which(engine, name, first, last):
    found = release.releases_with(engine, name)
    assert (found[0], found[-1]) == (first, last)


def test_a_flag_is_found_by_every_spelling():
    flags = release.resolve(EngineType.VLLM, "0.33.0").flags
    assert flags["-q"] is flags["--quantization"]
    assert flags["--disable-prefix-caching"] is flags["--no-enable-prefix-caching"] is flags["--enable-prefix-caching"]
    assert flags["--enable-prefix-caching"].negation == "--no-enable-prefix-caching"
    assert flags["--max-num-seqs"].negation is None


def test_choices_follow_the_release():
    old, new = (release.resolve(EngineType.VLLM, version).flags["--kv-cache-dtype"] for version in ("0.12.0", "0.33.0"))
    assert "nvfp4" not in old.choices
    assert "nvfp4" in new.choices
