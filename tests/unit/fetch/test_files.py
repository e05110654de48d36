"""Which files are taken, and which paths are safe."""

import os.path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoglm_fetch.files import File, checked, select
from autoglm_fetch.reasons import FetchError, Reason

HOSTILE = st.one_of(
    st.text(max_size=30),
    st.lists(st.sampled_from(["..", ".", "", "a", "b.json", "\\", "\n", "~", "$(id)"]), max_size=6).map("/".join),
)


@given(st.lists(HOSTILE, max_size=6))
def test_an_accepted_list_stays_inside_and_names_each_file_once(paths):
    try:
        files = checked([File(path, "") for path in paths])
    except FetchError:
        return
    targets = [os.path.normpath(os.path.join("/root/model", file.path)) for file in files]  # noqa: PTH118
    assert all(target.startswith("/root/model/") for target in targets)
    assert len(set(targets)) == len(targets)
    assert not any(one.startswith(other + "/") for one in targets for other in targets)


@pytest.mark.parametrize(
    ("listed", "taken"),
    [
        (["model.safetensors", "pytorch_model.bin"], ["model.safetensors"]),
        (["pytorch_model.bin", "training_args.bin"], ["pytorch_model.bin"]),
        (["model-1.safetensors", "consolidated.safetensors"], ["model-1.safetensors"]),
        (["consolidated.safetensors", "params.json"], ["consolidated.safetensors", "params.json"]),
        (
            ["model.safetensors", "original/model.safetensors", "onnx/x.json", "model-q4.gguf", "x.h5", "run.sh"],
            ["model.safetensors"],
        ),
        (["model.safetensors", ".cache/x.json", "modeling_x.py"], ["model.safetensors", "modeling_x.py"]),
    ],
)
def test_the_weights_are_taken_once(listed, taken):
    assert [file.path for file in select([File(path, "") for path in listed])] == taken


@pytest.mark.parametrize("listed", [["config.json"], ["model-q4.gguf", "config.json"], ["training_args.bin"], []])
def test_no_weights_is_an_error_that_says_what_there_is(listed):
    with pytest.raises(FetchError, match=f"no safetensors weights among {len(listed)} files") as caught:
        select([File(path, "") for path in listed])
    assert caught.value.reason is Reason.NO_WEIGHTS


def test_the_largest_come_first():
    files = [File("a.safetensors", "", 1), File("b.safetensors", "", 3), File("c.json", "")]

    assert [file.path for file in select(files)] == ["b.safetensors", "a.safetensors", "c.json"]


def test_an_identity_is_that_of_one_content():
    files = [
        File("a", "u", 1, "s"),
        File("b", "u", 1, "s"),
        File("a", "u", 2, "s"),
        File("a", "u", 1, "t"),
        File("a", "u", 1, etag='"1"'),
    ]
    assert len({file.identity for file in files}) == len(files)
    assert File("a", "other mirror", 1, "s").identity == files[0].identity
    assert File("a", "u", 1).identity is None
