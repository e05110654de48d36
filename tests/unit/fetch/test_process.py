"""The program as a Job runs it: exit status, last word, limits, signals, kills at any time."""

import json
import os
import random
import re
import signal
import subprocess
import sys
import time

import pytest
from tests.unit.fetch.conftest import contents
from tests.unit.fetch.fake_hub import MODEL, TOKEN, cut, safetensors, status, tiny_model
from tests.unit.fetch.test_fetch import NEEDED, wanted

from autoglm_fetch import reasons

#: Most memory of the process, in KiB. getrusage's figure would begin with that of the process that started it.
_PRINT_PEAK = "print(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1]); sys.exit(status)"


def test_success_ends_with_0_and_a_last_word(process):
    ended = process()

    assert ended.status == 0
    assert ended.report["reason"] == "Downloaded"
    assert re.fullmatch(r"downloaded 0\.00 GiB in \d+ s: 6 files of org/tiny, checked", ended.report["message"])
    assert ended.report["config"]["architectures"] == ["TinyForCausalLM"]
    assert ended.report["bytes"] > 600_000


def test_what_passes_and_what_does_not_have_their_own_status(hub, process):
    hub.faults["listing"].append(status(404, X_Error_Code="RepoNotFound"))
    lost = process()
    hub.faults["listing"].append(status(429, Retry_After="9999999"))
    later = process()

    assert (lost.status, lost.report["reason"]) == (reasons.EXIT_PERMANENT, "ModelNotFound")
    assert (later.status, later.report["reason"]) == (reasons.EXIT_TRANSIENT, "HubRateLimited")


def test_the_last_word_fits_what_the_kubelet_keeps(hub, process, tmp_path):
    hub.files["config.json"] = json.dumps({"a": "ü" * 1400, "b": 1}).encode()
    with_config = process()
    assert with_config.report["config"] is not None
    assert (tmp_path / "termination-log").stat().st_size <= 4096

    (tmp_path / "model/.complete").unlink()
    hub.files["config.json"] = json.dumps({"a": "x" * 5000}).encode()
    assert process().report["config"] is None


def test_the_token_is_nowhere_but_in_the_environment(hub, process):
    hub.token = TOKEN
    refused = process(env={"HF_TOKEN": "hf_wrong_secret"})
    taken = process(env={"HF_TOKEN": TOKEN})

    assert (refused.status, taken.status) == (reasons.EXIT_PERMANENT, 0)
    assert "secret" not in refused.logs + taken.logs + json.dumps([refused.report, taken.report])


def test_the_logs_hold_no_signed_address(hub, process):
    hub.redirect = True
    hub.faults["model-00001-of-00003.safetensors"].append(cut(1000))

    assert "signature" not in process().logs


def test_a_file_limit_is_a_full_disk(process, tmp_path):
    ended = process(prefix=("prlimit", "--fsize=100000"))

    assert (ended.status, ended.report["reason"]) == (reasons.EXIT_PERMANENT, "DiskFull")
    assert "spec.warmStart.cache.size" in ended.report["message"]
    assert not (tmp_path / "model/.complete").exists()


def test_a_signal_ends_it_at_once_and_the_next_run_goes_on(hub, process, tmp_path):
    hub.pace = 100_000
    started = time.monotonic()
    running = _start(hub, tmp_path)
    _wait_for_part(tmp_path)
    running.send_signal(signal.SIGTERM)

    assert running.wait(10) == reasons.EXIT_TRANSIENT
    assert json.loads((tmp_path / "log").read_text())["reason"] == "DownloadInterrupted"
    assert time.monotonic() - started < 8
    hub.pace = 0
    assert process().status == 0
    assert contents(tmp_path / "model") == wanted(hub)


def _start(hub, tmp_path):
    command = [sys.executable, "-m", "autoglm_fetch", "get", "--source", "huggingface", "--model", MODEL]
    command += ["--endpoint", hub.url, "--folder", str(tmp_path / "model"), "--report", str(tmp_path / "log")]
    return subprocess.Popen(command, stderr=subprocess.DEVNULL)


def _wait_for_part(tmp_path):
    parts = tmp_path / "model/.fetch/parts"
    end = time.monotonic() + 10
    while time.monotonic() < end:
        if parts.exists() and any(part.stat().st_size for part in parts.iterdir()):
            return
        time.sleep(0.02)
    raise AssertionError("nothing arrived in 10 s")


def test_memory_stays_flat(hub, process, tmp_path):
    hub.files["model-00001-of-00003.safetensors"] = safetensors(8, 20 << 20)
    code = "import re, sys; from autoglm_fetch.__main__ import main; status = main(sys.argv[1:]);"
    code += _PRINT_PEAK
    words = ["get", "--source", "huggingface", "--model", MODEL, "--endpoint", hub.url]
    words += ["--folder", str(tmp_path / "model"), "--report", str(tmp_path / "log")]
    done = subprocess.run(
        [sys.executable, "-c", code, *words],
        env={**os.environ, "MALLOC_ARENA_MAX": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    assert int(done.stdout) < 60 << 10


#: Calls that change the folder; the process is killed before the n-th of them.
_CHANGES = ("open", "os.rename", "os.truncate", "os.remove", "os.mkdir", "shutil.rmtree", "os.rmdir")
_KILLER = f"""
import os, signal, sys
left = int(sys.argv.pop(1))
def hook(event, args):
    global left
    if event not in {_CHANGES!r} or not any(sys.argv[1] in str(arg) for arg in args):
        return
    if event == "open" and (len(args) < 3 or not (args[2] or 0) & (os.O_WRONLY | os.O_RDWR)):
        return
    if event == "open" and "/.fetch/" not in str(args[0]) and not str(args[0]).endswith(".complete.new"):
        os._exit(99)  # a final name is given by a rename, never written to
    left -= 1
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)
from autoglm_fetch.__main__ import main
folder = sys.argv.pop(1)
sys.argv.insert(1, folder)
sys.addaudithook(hook)
sys.exit(main(sys.argv[2:]))
"""


def _killed_before(hub, folder, change):
    words = ["get", "--source", "huggingface", "--model", MODEL, "--endpoint", hub.url, "--folder", str(folder)]
    words += ["--report", os.devnull, "--connections", "1"]
    command = [sys.executable, "-c", _KILLER, str(change), str(folder), *words]
    return subprocess.run(command, stderr=subprocess.DEVNULL, check=False, timeout=60).returncode


def test_a_kill_before_any_change_leaves_what_the_next_run_completes(hub, get, tmp_path):
    """The kill comes before the first change of the folder, then before the second, until a run needs no more."""
    few = {"model-00001-of-00003.safetensors", "config.json"}
    hub.files = {path: body for path, body in tiny_model(8_000).items() if path in few}
    change, status_ = 0, -signal.SIGKILL
    while status_ == -signal.SIGKILL:
        folder = tmp_path / str(change)
        status_ = _killed_before(hub, folder, change)
        if status_ == -signal.SIGKILL:
            _same_or_not_marked(hub, folder)
            get(folder=folder)
        assert contents(folder) == wanted(hub), change
        assert (folder / ".complete").exists()
        change += 1

    assert status_ == 0
    assert change > 20


def test_kills_at_any_time_leave_what_the_next_run_completes(hub, process, tmp_path):
    rng = random.Random(7)
    hub.files = tiny_model(2_000_000)
    hub.pace = 1_000_000
    kills = 0
    for _ in range(6):
        running = _start(hub, tmp_path)
        time.sleep(rng.uniform(0.2, 0.7))
        running.kill()
        kills += running.wait() == -signal.SIGKILL
        _same_or_not_marked(hub, tmp_path / "model")
    hub.pace = 0

    assert process().status == 0
    assert contents(tmp_path / "model") == wanted(hub)
    assert kills >= 3


def _same_or_not_marked(hub, folder):
    there = contents(folder)
    whole = {path: body for path, body in there.items() if path in NEEDED}
    assert all(wanted(hub)[path] == body for path, body in whole.items()), "a file has its name before it is whole"
    assert whole == wanted(hub) or not (folder / ".complete").exists()


def test_wait_makes_the_folder_and_ends_when_the_weights_are_whole(process, tmp_path):
    command = [sys.executable, "-m", "autoglm_fetch", "wait", "--folder", str(tmp_path / "model")]
    command += ["--make", str(tmp_path / "compile/key")]
    (tmp_path / "model").mkdir()
    waiting = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    time.sleep(1)
    assert waiting.poll() is None

    process()

    assert waiting.wait(10) == 0
    assert (tmp_path / "compile/key").stat().st_mode & 0o020


@pytest.mark.parametrize("words", [("idle",), ("wait", "--folder", "/nowhere")])
def test_waiting_ends_at_a_signal(words):
    code = f"import re, sys; from autoglm_fetch.__main__ import main; status = main({list(words)!r});"
    code += _PRINT_PEAK
    waiting = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    time.sleep(0.7)
    waiting.terminate()
    out, _ = waiting.communicate(timeout=5)

    assert waiting.returncode == (0 if words == ("idle",) else reasons.EXIT_TRANSIENT)
    assert int(out) < 30 << 10, "pre-pull pods run on every node: no HTTP client is loaded in them"


@pytest.mark.parametrize("words", [("--deadline", "-1"), ("--connections", "0"), ("--source", "ftp")])
def test_options_that_make_no_sense_are_refused(process, words):
    assert process(*words).status == 2
