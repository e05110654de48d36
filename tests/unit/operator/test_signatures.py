"""Logs of engines that failed, and of engines that did not: what is read out of each."""

import time
from pathlib import Path

import pytest

from autoglm_operator.decide.diagnosis import diagnose, tells
from autoglm_operator.decide.reasons import Reason
from autoglm_operator.decide.signatures import SIGNATURES, Outlook

FOLDER = Path(__file__).parent / "failures"
NAMED = {"model": "zai-org/AutoGLM-Phone-9B", "revision": "0123abc", "context": "25,480"}
#: What the kubelet keeps of a log when a container fails; pkg/kubelet/container/runtime.go.
KUBELET_BYTES = 2048


def read(name):
    head, _, log = (FOLDER / f"{name}.txt").read_text().partition("---\n")
    return dict(line.split(": ", 1) for line in head.splitlines() if ": " in line), log


NAMES = sorted(path.stem for path in FOLDER.glob("*.txt"))
FAILED = [name for name in NAMES if not name.startswith("healthy")]
HEALTHY = [name for name in NAMES if name.startswith("healthy")]
LINES = [row.split("\t") for row in (FOLDER / "lines.tsv").read_text().splitlines() if not row.startswith("#")]


@pytest.mark.parametrize("name", FAILED)
def test_cause_and_cure(name):
    expected, log = read(name)
    found = diagnose(log, NAMED)
    assert found is not None
    assert (found.reason, found.outlook.name) == (expected["reason"], expected["outlook"])
    assert expected["says"] in f"{found.what}; {found.cure}"
    assert expected["source"]


@pytest.mark.parametrize(("reason", "outlook", "source", "text"), LINES)
def test_one_line(reason, outlook, source, text):
    found = diagnose(text, NAMED)
    assert found is not None
    assert (found.reason, found.outlook.name) == (reason, outlook)
    assert source


@pytest.mark.parametrize("name", HEALTHY)
def test_an_engine_that_works_shows_no_failure(name):
    _, log = read(name)
    assert len(log) > 800
    assert diagnose(log, NAMED) is None
    lines = log.splitlines(keepends=True)
    assert all(diagnose("".join(lines[:end]), NAMED) is None for end in range(len(lines)))


OOM = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB."
NCCL = "torch.distributed.DistBackendError: NCCL error in: NCCLUtils.cpp:94, unhandled cuda error"
NO_HUB = "OSError: We couldn't connect to 'https://huggingface.co' to load the files"
WRAPPED = "ValueError: Invalid repository ID or local directory specified: 'a/b'."
GATED = "Access to model a/b is restricted. You must have access to it and be authenticated to access it."
HUNG = "TimeoutError: RPC call to sample_tokens timed out."


@pytest.mark.parametrize(
    ("log", "reason"),
    [
        ((OOM, NCCL), Reason.GPU_OUT_OF_MEMORY),
        ((NCCL, OOM), Reason.GPU_OUT_OF_MEMORY),
        ((NCCL, HUNG), Reason.COLLECTIVE_FAILED),
        ((NO_HUB, WRAPPED), Reason.HUB_UNREACHABLE),
        ((GATED, WRAPPED), Reason.MODEL_GATED),
        ((GATED, "ModuleNotFoundError: No module named 'x'"), Reason.MODEL_GATED),
        (("HTTP Error 429 thrown while requesting HEAD", OOM), Reason.GPU_OUT_OF_MEMORY),
        ((OOM, "ValueError: No available memory for the cache blocks."), Reason.KV_CACHE_TOO_SMALL),
    ],
)
def test_the_cause_wins_over_what_follows_from_it(log, reason):
    for noise in ("", "RuntimeError: Engine core initialization failed. See root cause above.", "Killed"):
        found = diagnose("\n".join((*log, noise)), NAMED)
        assert found is not None
        assert found.reason == reason


def test_every_signature_is_held_by_a_log():
    logs = [read(name)[1] for name in FAILED] + [row[3] for row in LINES]
    met = {(found.reason, found.outlook, found.what[:12]) for log in logs if (found := diagnose(log, NAMED))}
    for signature in SIGNATURES:
        what = signature.what[:12]
        told = {start for reason, outlook, start in met if (reason, outlook) == (signature.reason, signature.outlook)}
        fixed = what.split("{")[0]
        assert any(start.startswith(fixed) for start in told), f"no log for {signature.what!r}"


@pytest.mark.parametrize("name", FAILED)
def test_a_tail_cut_anywhere_tells_the_same_or_less(name):
    """A tail that lacks the cause may tell nothing, or the same more vaguely; never another permanent failure."""
    expected, log = read(name)
    data = log.encode()
    whole = diagnose(log, NAMED)
    for cut in range(0, len(data), 1 if len(data) < KUBELET_BYTES else 7):
        found = diagnose(data[cut:].decode(errors="replace"), NAMED)
        if found is not None and found.reason != whole.reason:
            assert found.outlook is not Outlook.PERMANENT, f"{found.reason} from byte {cut}: {data[cut : cut + 80]}"
        if len(data) - cut > 2 * KUBELET_BYTES and expected["reason"] == "KVCacheTooSmall":
            assert found is not None


def test_the_kubelet_keeps_too_little_of_a_vllm_log():
    """This is why crash logs are read from the API: the last 2,048 bytes only say that the cause is above."""
    _, log = read("vllm_kv_cache_too_small")
    tail = log.encode()[-KUBELET_BYTES:].decode(errors="replace")
    assert "See root cause above" in tail
    assert not tells(tail)
    assert tells(log)


@pytest.mark.parametrize("text", ["", "\n\n", "\ufffd\ufffd", "x" * 5000, "(pid=", "[2026-"])
def test_nothing_to_tell(text):
    assert diagnose(text, NAMED) is None


def test_lines_that_an_engine_writes_while_it_works_do_not_count():
    cause = "CUDA out of memory. Tried to allocate 2.00 GiB"
    for prefix in ("WARNING 11-21 09:12:41 [x.py:1] ", "(EngineCore pid=7) INFO 11-21 09:12:41 [x.py:1] "):
        assert diagnose(prefix + cause, NAMED) is None
    assert diagnose(f"\x1b[31m(EngineCore pid=7)\x1b[0m ERROR 11-21 09:12:41 [x.py:1] {cause}", NAMED) is not None


@pytest.mark.parametrize(
    "piece",
    [
        "x",
        "x ",
        "huggingface.co ",
        "Failed to resolve ",
        "No space left ",
        "Access to model ",
        "max seq len (",
        "No space left on /dev/",
    ],
)
def test_no_log_keeps_the_operator_busy(piece):
    """A log is whatever a container writes; 64 KiB of the worst line take a fraction of a second."""
    begin = time.process_time()
    assert diagnose(piece * (65536 // len(piece)), NAMED) is None
    assert diagnose((piece * 100 + "\n") * (65536 // len(piece) // 100), NAMED) is None
    assert time.process_time() - begin < 1.0


def test_every_sentence_can_be_said():
    """Each group that a sentence names is in its pattern, in every alternative that matters."""
    for signature in SIGNATURES:
        names = {**NAMED, **dict.fromkeys(signature.pattern.groupindex, "1")}
        assert signature.what.format_map(names)
        assert signature.cure.format_map(names)
        assert isinstance(signature.reason, Reason)
