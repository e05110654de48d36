import base64
import json
import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoglm_bench.load.arrivals import Arrivals, Shape, steady
from autoglm_bench.load.lengths import Lengths, fixed, parse
from autoglm_bench.load.lines import LinesWorkload, read_answers, read_lines
from autoglm_bench.load.plan import ClosedLoop, Plan, sequence_hash, spec_hash
from autoglm_bench.load.screenshot import Screenshots, Size, parse_size
from autoglm_bench.load.text import text
from autoglm_bench.load.traces import TraceError, read
from autoglm_bench.load.workload import PHONE_AGENT, Made, MadeWorkload


def bodies(workload, session, answers=("first", "second")):
    count = len(session.steps)
    return [json.loads(workload.body("phone", session, step, answers[:step])) for step in range(min(count, 3))]


@pytest.mark.parametrize("form", ["7", "uniform:3,9", "normal:50,10", "lognormal:50,0.5", "exponential:20"])
def test_lengths_read_back_as_they_are_written(form):
    assert str(parse(form)) == form


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ("0", "1 or more"),
        ("1.5", "whole numbers"),
        ("uniform:9,3", "the most is below the least"),
        ("normal:5", "expected normal:MEAN,STANDARD-DEVIATION"),
        ("normal:5,-1", "standard deviation is below 0"),
        ("zipf:3", "'zipf' is no distribution"),
        ("nan", "expected TOKENS"),
    ],
)
def test_impossible_lengths_are_refused(form, said):
    with pytest.raises(ValueError, match=said):
        parse(form)


@given(st.integers(0, 50))
def test_session_and_bodies_are_repeatable(number):
    made = Made(prompt_tokens=parse("lognormal:20,1"), turns=parse("uniform:1,3"), prefix_tokens=30, prefixes=3)
    first, second = MadeWorkload(made, 4), MadeWorkload(made, 4)

    assert first.session(number) == second.session(number)
    assert bodies(first, first.session(number)) == bodies(second, second.session(number))
    assert bodies(first, first.session(number)) != bodies(first, first.session(number + 1))


def test_prompts_have_their_length_and_share_no_beginning():
    prompts = [text(100, f"prompt/7/{number}/0") for number in range(50)]

    assert all(len(each.split()) == 100 for each in prompts)
    assert len({" ".join(each.split()[:16]) for each in prompts}) == 50


def test_turns_carry_what_was_said_before_and_count_it_as_reusable():
    workload = MadeWorkload(Made(prompt_tokens=fixed(10), output_tokens=fixed(5), turns=fixed(3)), 0)
    session = workload.session(0)
    first, _, third = bodies(workload, session)

    assert [message["role"] for message in third["messages"]] == ["user", "assistant", "user", "assistant", "user"]
    assert third["messages"][0] == first["messages"][0]
    assert third["messages"][3]["content"] == "second"
    assert [step.reusable_tokens for step in session.steps] == [0, 15, 30]


def test_sessions_share_their_system_prompts_in_turn():
    workload = MadeWorkload(Made(prefix_tokens=40, prefixes=2), 0)
    prompts = [bodies(workload, workload.session(number))[0]["messages"][0] for number in range(4)]

    assert prompts[0]["role"] == "system"
    assert prompts[0] == prompts[2] != prompts[1] == prompts[3]
    assert [workload.session(number).steps[0].reusable_tokens for number in range(3)] == [0, 0, 40]


def test_phone_agent_sends_one_screenshot_and_takes_earlier_ones_out():
    workload = MadeWorkload(PHONE_AGENT, 1)
    session = next(found for number in range(20) if len((found := workload.session(number)).steps) >= 3)
    found = bodies(workload, session)

    for number, body in enumerate(found):
        images = [part for message in body["messages"] for part in message["content"] if isinstance(part, dict)]
        assert [part["type"] for part in images] == ["image_url", "text"]
        assert "** Screen Info **" in images[1]["text"]
        assert len(body["messages"]) == 2 + 2 * number
    assert (found[0]["top_p"], found[0]["frequency_penalty"]) == (0.85, 0.2)
    urls = {body["messages"][-1]["content"][0]["image_url"]["url"] for body in found}
    assert len(urls) == len(found)
    assert all(step.think > 0 for step in session.steps[1:])


def test_natural_end_lets_the_model_stop():
    workload = MadeWorkload(Made(natural_end=True), 0)

    assert "ignore_eos" not in bodies(workload, workload.session(0))[0]


def test_screenshot_is_a_png_with_pixels_of_its_own():
    screens = Screenshots(Size(90, 200), 3)
    first, again, other = screens.png(0), Screenshots(Size(90, 200), 3).png(0), screens.png(8)
    at = first.index(b"IDAT")
    (length,) = struct.unpack(">I", first[at - 4 : at])
    pixels = zlib.decompress(first[at + 4 : at + 4 + length])

    assert first == again != other
    assert struct.unpack(">II", first[16:24]) == (90, 200)
    assert len(pixels) == 200 * (1 + 3 * 90)
    assert base64.b64decode(screens.data_url(0).partition(",")[2]) == first


@pytest.mark.parametrize("size", ["1080", "0x5", "10x", "99999x10", "axb"])
def test_impossible_screen_is_refused(size):
    with pytest.raises(ValueError, match="expected such as 1080x2400"):
        parse_size(size)


AZURE = ["TIMESTAMP,ContextTokens,GeneratedTokens", "2023-11-16 18:15:46.6805900,374,44", "2023-11-16 18:15:50,1,0"]
MOONCAKE = [
    '{"timestamp": 0, "input_length": 1100, "output_length": 5, "hash_ids": [1, 2, 3]}',
    '{"timestamp": 3000, "input_length": 600, "output_length": 7, "hash_ids": [1, 9]}',
]


def test_azure_trace():
    first, second = read("conv.csv", AZURE)

    assert (first.at, first.shape) == (0.0, Shape(374, 44))
    assert (second.at, second.shape) == (pytest.approx(3.31941), Shape(1, 1))


def test_trace_may_be_faster_and_shorter():
    assert [arrival.at for arrival in read("t.jsonl", MOONCAKE, speed=2)] == [0, 1.5]
    assert [arrival.at for arrival in read("t.jsonl", MOONCAKE, seconds=2)] == [0]


def test_requests_with_the_same_blocks_begin_with_the_same_text():
    arrivals = read("t.jsonl", MOONCAKE)
    workload = MadeWorkload(Made(), 0)
    sessions = [workload.session(number, arrival.shape) for number, arrival in enumerate(arrivals)]
    first, second = (bodies(workload, session)[0]["messages"][0]["content"].split() for session in sessions)

    assert (len(first), len(second)) == (1100, 600)
    assert first[:512] == second[:512]
    assert first[512:600] != second[512:600]
    assert sessions[1].steps[0].reusable_tokens == 512
    assert (sessions[1].steps[0].prompt_tokens, sessions[1].steps[0].output_tokens) == (600, 7)


@pytest.mark.parametrize(
    ("name", "lines", "said"),
    [
        ("a.csv", ["A,B", "1,2"], "has the columns A, B; expected TIMESTAMP"),
        ("a.csv", [AZURE[0]], "holds no request"),
        ("a.csv", [AZURE[0], "yesterday,1,2"], "a.csv line 2: ValueError"),
        ("a.csv", [AZURE[0], "2023-11-16 18:15:50,-4,2"], "a length below 0"),
        ("a.jsonl", ["{"], "a.jsonl line 1: JSONDecodeError"),
        ("a.jsonl", ["[1]"], "a.jsonl line 1"),
        ("a.jsonl", ['{"timestamp": NaN, "input_length": 1, "output_length": 1}'], "no time"),
    ],
)
def test_trace_that_cannot_be_read_names_file_and_line(name, lines, said):
    with pytest.raises(TraceError, match=said):
        read(name, lines)


LINES = ['{"id": "a", "prompt": "two plus two"}', '{"messages": [{"role": "user", "content": "x"}], "max_tokens": 3}']


def test_own_requests_come_in_turn():
    workload = LinesWorkload(read_lines("own.jsonl", LINES), 50, natural_end=True, keeps_text=False)
    sessions = [workload.session(number) for number in range(3)]
    sent = [json.loads(workload.body("phone", session, 0, ())) for session in sessions]

    assert [session.id for session in sessions] == ["a", "line-2", "a"]
    assert [body["max_tokens"] for body in sent] == [50, 3, 50]
    assert sent[0]["messages"] == [{"role": "user", "content": "two plus two"}]
    assert [session.steps[0].reusable_tokens for session in sessions] == [0, 0, 3]


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([], "holds no request"),
        (["nonsense"], "line 1 is not JSON"),
        (["[]"], "line 1 is no JSON object"),
        (['{"messages": []}'], "line 1: expected messages"),
        (['{"messages": [{"role": "user"}]}'], "line 1: expected messages"),
        (['{"prompt": "x", "max_tokens": 0}'], "max_tokens is 0; expected 1 or more"),
        ([LINES[0], LINES[0]], "the id 'a' more than once"),
    ],
)
def test_own_requests_that_cannot_be_read_name_the_line(lines, said):
    with pytest.raises(ValueError, match=said):
        read_lines("own.jsonl", lines)


@pytest.mark.parametrize("line", ['{"id": "a"}', '{"answer": "4"}', '{"id": "a", "answer": 4}'])
def test_expected_answers_that_cannot_be_read_name_the_line(line):
    with pytest.raises(ValueError, match=r"answers.jsonl line 1: expected"):
        read_answers("answers.jsonl", [line])


def plan(seed=0, rate=10.0, **made):
    return Plan("poisson", MadeWorkload(Made(**made), seed), seed, steady(rate, 10, Arrivals.POISSON))


def test_hashes_tell_what_is_sent_and_when():
    assert sequence_hash(plan()) == sequence_hash(plan())
    assert spec_hash(plan()) == spec_hash(plan())
    others = [plan(seed=1), plan(rate=11.0), plan(prompt_tokens=fixed(7)), plan(turns=Lengths("uniform", (1.0, 3.0)))]
    assert len({sequence_hash(each) for each in [plan(), *others]}) == 5


def test_closed_loop_has_a_hash_too():
    one, other = (Plan("concurrency", MadeWorkload(Made(), seed), seed, closed=ClosedLoop(4, 10)) for seed in (0, 1))

    assert sequence_hash(one) == sequence_hash(one) != sequence_hash(other)
