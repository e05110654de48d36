import os
import sys
import threading
import time

import pytest

from localcluster import commands, locks, processes
from localcluster.errors import LocalClusterError


def _until(check, seconds=10):
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_process_is_found_by_its_mark_and_its_children_die_with_it(tmp_path):
    code = "import subprocess; subprocess.run(['sleep', '60'])"
    pid = processes.start(tmp_path, "parent", [sys.executable, "-c", code], tmp_path / "log")
    _until(lambda: len(processes.find(tmp_path)) == 2)
    assert processes.by_name(processes.find(tmp_path)) == {"parent": pid}
    assert os.getsid(pid) == pid != os.getsid(0)
    assert processes.kill(tmp_path) == []
    assert processes.find(tmp_path) == []
    os.waitpid(pid, 0)


def test_processes_of_others_are_not_found(tmp_path):
    pid = processes.start(tmp_path / "ours", "one", ["sleep", "60"], tmp_path / "log")
    _until(lambda: processes.find(tmp_path / "ours"))
    assert processes.kill(tmp_path / "our") == []
    assert not processes.has_ended(pid)
    processes.kill(tmp_path / "ours")
    _until(lambda: processes.has_ended(pid))


def test_what_a_failing_command_printed_is_told():
    with pytest.raises(LocalClusterError, match="exit status 3:\nno such thing"):
        commands.run(sys.executable, "-c", "import sys; sys.stderr.write('no such thing'); sys.exit(3)")


def test_a_program_that_is_not_there_is_named():
    with pytest.raises(LocalClusterError, match="`no-such-program` is not installed"):
        commands.run("no-such-program")


def test_a_lock_keeps_others_out_even_when_its_file_is_removed(tmp_path):
    path = tmp_path / "folder/lock"
    inside, most = [0], [0]

    def work():
        for _ in range(20):
            with locks.locked(path):
                inside[0] += 1
                most[0] = max(most[0], inside[0])
                time.sleep(0.001)
                inside[0] -= 1
                path.unlink()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1]


def test_an_error_inside_a_lock_is_the_callers(tmp_path):
    with pytest.raises(FileNotFoundError), locks.locked(tmp_path / "lock"):
        raise FileNotFoundError
