import json
import logging

from autoglm_agent.evidence import Evidence


def evidence(folder, times):
    return Evidence(
        lambda: "vllm:num_requests_running 4\n",
        lambda: {"time": next(times), "engine": {"hung": True}, "gpus": []},
        folder,
    )


def test_writes_what_was_known_and_says_that_there_is_no_thread_dump(tmp_path, caplog):
    path = evidence(tmp_path, iter([1000.0])).capture()

    found = json.loads(path.read_text())
    assert found["state"]["engine"] == {"hung": True}
    assert found["metrics"].startswith("vllm:")
    assert found["threadDump"] is None
    assert "py-spy" in found["threadDumpReason"]
    assert caplog.records[0].file == str(path)


def test_keeps_four_files(tmp_path):
    writer = evidence(tmp_path, iter([1000.0, 2000.0, 3000.0, 4000.0, 5000.0, 6000.0]))
    for _ in range(6):
        writer.capture()

    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == [f"autoglm-hang-{n}000.json" for n in (3, 4, 5, 6)]


def test_where_nothing_can_be_written_it_is_in_the_log(tmp_path, caplog):
    missing = tmp_path / "no" / "folder"
    with caplog.at_level(logging.ERROR):
        assert evidence(missing, iter([1000.0])).capture() is None

    assert "not written" in caplog.records[0].file
    assert caplog.records[0].engine == {"hung": True}
