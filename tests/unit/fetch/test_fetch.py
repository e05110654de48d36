"""A model is downloaded whole, checked, and only what is needed of it."""

import hashlib
import json
import random
import threading
import time
from pathlib import Path

import httpx
import pytest
from tests.unit.fetch.conftest import contents
from tests.unit.fetch.fake_hub import COMMIT, MODEL, TOKEN, cut, safetensors, serves, status

from autoglm_fetch.files import File
from autoglm_fetch.folder import Folder
from autoglm_fetch.pace import Pace
from autoglm_fetch.reasons import FetchError, Reason
from autoglm_fetch.source import Kind
from autoglm_fetch.web import _refuse_downgrade

SHARD = "model-00002-of-00003.safetensors"
NEEDED = {
    "config.json",
    "tokenizer.json",
    "model.safetensors.index.json",
    *(f"model-0000{n}-of-00003.safetensors" for n in (1, 2, 3)),
}


def wanted(hub):
    return {path: body for path, body in hub.files.items() if path in NEEDED}


@pytest.mark.parametrize("kind", list(Kind))
def test_the_needed_files_arrive_whole(hub, get, tmp_path, kind):
    outcome = get(kind)

    assert contents(tmp_path / "model") == wanted(hub)
    assert outcome.reason is Reason.DOWNLOADED
    assert outcome.bytes == sum(map(len, wanted(hub).values()))
    assert outcome.config == {"architectures": ["TinyForCausalLM"], "hidden_size": 64}


def test_the_marker_says_what_is_there(hub, get, tmp_path):
    get()

    marker = json.loads((tmp_path / "model/.complete").read_text())
    assert marker["files"] == {path: len(body) for path, body in wanted(hub).items()}
    assert marker["sha256"] == {path: hashlib.sha256(body).hexdigest() for path, body in wanted(hub).items()}
    assert (marker["source"], marker["model"], marker["asked"], marker["revision"]) == (
        "huggingface",
        MODEL,
        "main",
        COMMIT,
    )


def test_a_whole_folder_is_left_alone_without_a_request(hub, get):
    first = get()
    hub.requests.clear()

    again = get()

    assert (again.reason, hub.requests) == (Reason.ALREADY_THERE, [])
    assert (again.bytes, again.seconds, again.rate, again.config) == (
        first.bytes,
        pytest.approx(first.seconds, abs=0.001),
        first.rate,
        first.config,
    )


@pytest.mark.parametrize("harm", ["removed", "shortened"])
def test_a_marked_folder_with_a_damaged_file_is_repaired(hub, get, tmp_path, harm):
    get()
    path = tmp_path / "model" / SHARD
    if harm == "removed":
        path.unlink()
    else:
        path.write_bytes(b"short")
    hub.requests.clear()

    get()

    assert contents(tmp_path / "model") == wanted(hub)
    assert {name for _, _, name, _ in hub.requests} == {"listing", SHARD}


def test_a_damaged_folder_is_not_marked_while_it_is_repaired(hub, get, tmp_path):
    get()
    (tmp_path / "model" / SHARD).unlink()
    hub.faults[SHARD].append(status(403))

    with pytest.raises(FetchError):
        get()
    assert not (tmp_path / "model/.complete").exists()


def test_what_is_known_of_a_file_does_not_outlive_it(tmp_path):
    folder = Folder(tmp_path)
    folder.make()
    named, unnamed = File("a.json", "", size=1, etag='"1"'), File("a.json", "", size=1)
    for file, content in ((named, b"1"), (unnamed, b"2")):
        part = folder.part(file)
        part.write_bytes(content)
        folder.finish(file, part, hashlib.sha256(content).hexdigest())
        known = folder.finished(named)
        assert known == (hashlib.sha256(b"1").hexdigest() if file is named else None)


def test_one_failure_ends_the_others_at_once(hub, get):
    hub.pace = 50_000
    hub.faults["tokenizer.json"].append(status(403))
    started = time.monotonic()

    with pytest.raises(FetchError) as caught:
        get()
    assert caught.value.reason is Reason.MODEL_GATED
    assert time.monotonic() - started < 3, "200,000 bytes take 4 s"


def test_a_redirect_to_plain_http_is_refused():
    response = httpx.Response(302, request=httpx.Request("GET", "https://hub.corp/model"))
    response.next_request = httpx.Request("GET", "http://cdn.corp/model")

    with pytest.raises(FetchError, match="redirects from https to http"):
        _refuse_downgrade(response)
    response.next_request = httpx.Request("GET", "https://cdn.corp/model")
    _refuse_downgrade(response)


def test_another_model_in_the_folder_is_not_taken_for_this_one(get):
    get()

    with pytest.raises(FetchError, match="holds org/tiny revision main, not") as caught:
        get(Kind.MODEL_SCOPE)
    assert caught.value.reason is Reason.CACHE_UNUSABLE


def test_files_of_an_earlier_version_are_removed(hub, get, tmp_path):
    hub.files["model-00004-of-00004.safetensors"] = safetensors(1, 100)
    get()
    del hub.files["model-00004-of-00004.safetensors"]
    (tmp_path / "model/.complete").unlink()

    get()

    assert contents(tmp_path / "model") == wanted(hub)


def test_a_cut_download_goes_on_where_it_was_cut(hub, get, tmp_path):
    hub.faults[SHARD].extend([cut(50_000), cut(30_000)])

    get()

    assert contents(tmp_path / "model") == wanted(hub)
    assert [head.get("Range") for head in hub.asked(SHARD)] == [None, "bytes=50000-", "bytes=80000-"]


def test_a_server_without_ranges_sends_it_all_again(hub, get, tmp_path):
    hub.faults[SHARD].extend([cut(50_000), serves(hub.files[SHARD])])

    get()

    assert contents(tmp_path / "model") == wanted(hub)


def test_a_file_that_changed_after_the_cut_is_not_mixed(hub, get, tmp_path):
    new = safetensors(4, 50_000, seed=99)

    def change(handler):
        cut(50_000)(handler)
        hub.files[SHARD] = new

    hub.faults[SHARD].append(change)

    get(Kind.URL)

    assert (tmp_path / "model" / SHARD).read_bytes() == new


def test_the_next_run_goes_on_with_what_is_there(hub, get, tmp_path):
    hub.faults[SHARD].extend([cut(50_000), status(403)])
    with pytest.raises(FetchError):
        get()
    hub.requests.clear()

    get()

    assert contents(tmp_path / "model") == wanted(hub)
    assert [head.get("Range") for head in hub.asked(SHARD)] == ["bytes=50000-"]


def test_a_rotten_part_is_dropped_and_loaded_anew(hub, get, tmp_path):
    hub.faults[SHARD].extend([cut(50_000), status(403)])
    with pytest.raises(FetchError):
        get()
    (part,) = [path for path in (tmp_path / "model/.fetch/parts").iterdir() if path.stat().st_size == 50_000]
    part.write_bytes(b"x" * 50_000)

    get()

    assert contents(tmp_path / "model") == wanted(hub)


@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize("code", [429, 500, 502, 503])
def test_trouble_that_passes_is_waited_for(hub, get, tmp_path, code, times):
    hub.faults["listing"].append(status(code))
    hub.faults[SHARD].extend([status(code)] * times)

    get()

    assert contents(tmp_path / "model") == wanted(hub)


def test_retry_after_holds_every_worker(hub, get):
    seen = []

    def throttle(handler):
        handler.answer(429, b"", {"Retry-After": "1"})
        for after in (0.3, 0.8):
            threading.Timer(after, lambda: seen.append(len(hub.requests))).start()

    # The largest file is the first to be asked for; the many small ones keep the other workers busy.
    hub.files |= {f"model-{n}.safetensors": safetensors(1, 100, n) for n in range(200)}
    hub.files[SHARD] = safetensors(4, 60_000)
    hub.faults[SHARD].append(throttle)

    get()

    assert seen[0] == seen[1] < 200
    assert len(hub.requests) == 1 + len(NEEDED) + 200 + 1


def test_a_server_that_asks_for_more_time_than_there_is_ends_it_at_once(hub, get):
    hub.faults["listing"].append(status(429, Retry_After="3600"))

    with pytest.raises(FetchError, match="asks to wait 3600 s") as caught:
        get()
    assert (caught.value.reason, caught.value.permanent, len(hub.requests)) == (Reason.RATE_LIMITED, False, 1)


def test_the_quota_header_of_hugging_face_is_read(hub, get):
    hub.faults["listing"].append(status(429, RateLimit='"api";r=0;t=3600'))

    with pytest.raises(FetchError, match="asks to wait 3600 s"):
        get()


def test_it_gives_up_after_eight_failures_in_a_row(hub, get):
    hub.faults["listing"].extend([status(503)] * 100)

    with pytest.raises(FetchError, match="answers 503") as caught:
        get()
    assert (caught.value.reason, caught.value.exit_code, len(hub.requests)) == (Reason.HUB_UNREACHABLE, 75, 8)


@pytest.mark.parametrize(
    ("answer", "reason", "words"),
    [
        (status(401), Reason.TOKEN_REFUSED, "access refused; sent no token"),
        (status(401, X_Error_Code="GatedRepo"), Reason.MODEL_GATED, "the model is gated, and no token"),
        (status(401, X_Error_Code="RepoNotFound"), Reason.MODEL_NOT_FOUND, "there is no such model"),
        (status(403), Reason.MODEL_GATED, "access forbidden"),
        (status(404), Reason.MODEL_NOT_FOUND, "api/models/org/tiny/revision/main answers 404: there is no such model"),
        (status(404, X_Error_Code="RevisionNotFound"), Reason.REVISION_NOT_FOUND, "no such revision"),
        (status(400), Reason.REQUEST_REFUSED, "answers 400"),
        (serves(b"<html>login</html>"), Reason.LISTING_REFUSED, "expected JSON, got b'<html>"),
        (serves(b"[]"), Reason.LISTING_REFUSED, "expected a JSON object"),
        (serves(b'{"siblings": 3}'), Reason.LISTING_REFUSED, "expected a list of files"),
        (serves(b'{"siblings": []}'), Reason.NO_WEIGHTS, "no safetensors weights among 0 files"),
        (serves(b" " * (5 << 20)), Reason.LISTING_REFUSED, "more than 4 MiB"),
        (serves(b"[" * 100_000), Reason.LISTING_REFUSED, "expected JSON"),
        (status(302, Location="file:///etc/passwd"), Reason.REQUEST_REFUSED, "no http address"),
    ],
)
def test_what_a_person_has_to_change_is_said_at_once(hub, get, tmp_path, answer, reason, words):
    hub.faults["listing"].append(answer)

    with pytest.raises(FetchError) as caught:
        get()

    assert words in str(caught.value)
    assert (caught.value.reason, caught.value.exit_code, len(hub.requests)) == (reason, 65, 1)
    assert not (tmp_path / "model/.complete").exists()


@pytest.mark.parametrize(
    "path",
    [
        "../evil.json",
        "/etc/evil.json",
        "a/../../evil.json",
        "a//evil.json",
        "./evil.json",
        "",
        "a\\..\\evil.json",
        "evil\n.json",
        "x" * 600 + ".json",
        "config.json/evil.json",
        "config.json",
        7,
    ],
)
def test_paths_that_leave_the_folder_are_refused_before_anything_is_written(hub, get, tmp_path, path):
    hub.extra.append({"rfilename": path, "size": 4})

    with pytest.raises(FetchError) as caught:
        get()

    assert caught.value.reason is Reason.LISTING_REFUSED
    assert contents(tmp_path / "model") == {}
    assert len(hub.requests) == 1


def test_a_list_of_too_many_files_is_refused(hub, get):
    hub.extra.extend({"rfilename": f"{n}.json", "size": 4} for n in range(5001))

    with pytest.raises(FetchError, match="files; a model has at most 5000"):
        get()


def test_a_link_out_of_the_folder_is_not_followed(hub, get, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (tmp_path / "model").mkdir()
    (tmp_path / "model/sub").symlink_to(outside)
    hub.files["sub/model.safetensors"] = safetensors(1, 10)

    with pytest.raises(FetchError, match="a link in the folder leads out of it"):
        get()
    assert list(outside.iterdir()) == []


@pytest.mark.parametrize(
    ("served", "listed", "words"),
    [
        (b"x" * 200_000, {"size": 200_000, "lfs": {"size": 200_000, "sha256": "0" * 64}}, "has sha256"),
        (b"<html>blocked</html>", {}, "has 20 bytes, but the hub lists"),
        (b"x" * 1000, {"size": 1000, "lfs": None}, "does not start as a safetensors file does"),
        (safetensors(1, 500)[:-1], {"size": len(safetensors(1, 500)) - 1, "lfs": None}, "its header describes"),
    ],
)
def test_another_content_than_listed_is_refused(hub, get, tmp_path, served, listed, words):
    hub.listed[SHARD] = listed
    hub.faults[SHARD].extend([serves(served)] * 3)

    with pytest.raises(FetchError, match=words) as caught:
        get()

    assert caught.value.reason is Reason.INTEGRITY_FAILED
    assert SHARD not in contents(tmp_path / "model")
    assert not (tmp_path / "model/.complete").exists()


def test_a_small_file_is_checked_by_its_git_id(hub, get):
    hub.faults["tokenizer.json"].append(serves(b'{"version": "9.9"}'))

    with pytest.raises(FetchError, match=r"tokenizer.json .* has git blob id"):
        get()


def test_the_token_goes_to_the_hub_and_not_to_its_cdn(hub, get):
    hub.token, hub.redirect = TOKEN, True

    get(token=TOKEN)

    sent = {(role, "Authorization" in head) for role, _, _, head in hub.requests}
    assert sent == {("hub", True), ("cdn", False)}


def test_without_the_token_the_model_is_gated(hub, get):
    hub.token = TOKEN

    with pytest.raises(FetchError, match=r"the token of spec.model.tokenSecretRef has no access") as caught:
        get(token=TOKEN[:-1])
    assert caught.value.reason is Reason.MODEL_GATED


def test_a_folder_with_checksums_is_checked_by_them(hub, get, tmp_path):
    lines = [f"{hashlib.sha256(hub.files[path]).hexdigest()}  ./{path}\n" for path in NEEDED]
    hub.files["SHA256SUMS"] = "".join(lines).encode()
    get(Kind.URL)
    assert contents(tmp_path / "model") == wanted(hub)

    (tmp_path / "model/.complete").unlink()
    hub.files["SHA256SUMS"] = b"0" * 64 + b"  " + SHARD.encode() + b"\n"
    with pytest.raises(FetchError, match="has sha256"):
        get(Kind.URL)


def test_a_folder_without_a_shard_of_its_index_is_refused_by_name(hub, get):
    del hub.files[SHARD]

    with pytest.raises(FetchError, match=f"has no {SHARD}") as caught:
        get(Kind.URL)
    assert caught.value.reason is Reason.MODEL_NOT_FOUND


def test_an_index_that_leaves_the_folder_is_refused(hub, get):
    hub.files["model.safetensors.index.json"] = b'{"weight_map": {"a": "../../evil.safetensors"}}'

    with pytest.raises(FetchError, match="outside the model's folder"):
        get(Kind.URL)


def test_a_folder_whose_versions_cannot_be_told_apart_is_never_continued(hub, get, tmp_path):
    hub.etags = False
    hub.faults[SHARD].append(cut(50_000))

    get(Kind.URL)

    assert contents(tmp_path / "model") == wanted(hub)
    assert [head.get("Range") for head in hub.asked(SHARD)] == [None, None]


def test_the_deadline_ends_a_slow_download_and_the_next_run_goes_on(hub, get, tmp_path):
    hub.pace = 200_000
    with pytest.raises(FetchError, match="not complete after 1 s") as caught:
        get(deadline=1.0)
    assert (caught.value.reason, caught.value.exit_code) == (Reason.DEADLINE_EXCEEDED, 75)
    hub.pace = 0
    hub.requests.clear()

    get()

    assert contents(tmp_path / "model") == wanted(hub)
    assert any("Range" in head for _, _, _, head in hub.requests)


def test_what_the_hub_answered_is_told_when_the_time_is_over():
    pace = Pace(0.05, rng=random.Random(1), first_pause=60.0)
    error = FetchError(Reason.HUB_UNREACHABLE, "answers 503")

    with pytest.raises(FetchError) as caught:
        pace.after_failure(error, 1)
    assert caught.value is error
    pace.stop()
    with pytest.raises(FetchError) as caught:
        pace.after_failure(error, 1)
    assert caught.value.reason is Reason.INTERRUPTED


def test_two_downloads_of_one_folder_take_turns(hub, get, tmp_path):
    hub.pace = 2_000_000
    outcomes = []
    threads = [threading.Thread(target=lambda: outcomes.append(get())) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(outcome.reason for outcome in outcomes) == [Reason.ALREADY_THERE, Reason.DOWNLOADED]
    assert len(hub.asked(SHARD)) == 1


def test_room_is_checked_first_with_the_numbers(hub, get):
    hub.listed[SHARD] = {"size": 1 << 50, "lfs": None}

    with pytest.raises(FetchError, match=r"6 files need 1048576\.00 GiB more, but the cache volume has") as caught:
        get()
    assert (caught.value.reason, len(hub.requests)) == (Reason.DISK_FULL, 1)


def test_a_volume_without_write_permission_is_named(tmp_path):
    with pytest.raises(FetchError, match="must be writable for user") as caught:
        Folder(Path("/proc/model")).make()
    assert caught.value.reason is Reason.CACHE_UNUSABLE
