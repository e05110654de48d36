import json
import re
from html.parser import HTMLParser
from importlib.resources import files

import pytest

from autoglm_bench.drive import Progress
from autoglm_bench.figures import score
from autoglm_bench.figures.checks import LittlesLaw
from autoglm_bench.figures.gpu import GpuUse
from autoglm_bench.figures.objectives import Objective
from autoglm_bench.figures.records import Asked, Records
from autoglm_bench.figures.split import Split
from autoglm_bench.figures.summary import Stretch, summarise, total
from autoglm_bench.load.search import Trial
from autoglm_bench.progress import json_line, line
from autoglm_bench.report.document import Findings, Origin, document, verdict
from autoglm_bench.report.html import html
from autoglm_bench.report.markdown import markdown
from autoglm_bench.report.table import table
from autoglm_bench.result import Answer, Cause

SCHEMA = json.loads((files("autoglm_bench") / "report/result.schema.json").read_text())
OBJECTIVES = [Objective("ttft", 99, 0.2)]
EVIL = '<script>alert("x")</script> | `rm`'
TYPES = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None)}


def problems(value, schema, path="$"):
    """Yield where a value is not of a schema: the part of JSON Schema that this one uses."""
    if "$ref" in schema:
        yield from problems(value, SCHEMA["$defs"][schema["$ref"].rpartition("/")[2]], path)
    elif "anyOf" in schema:
        if all(list(problems(value, one, path)) for one in schema["anyOf"]):
            yield f"{path}: none of {schema['anyOf']}"
    elif not is_any(value, schema.get("type", [])):
        yield f"{path}: {value!r} is no {schema['type']}"
    else:
        yield from limits(value, schema, path)
        if isinstance(value, dict):
            yield from members(value, schema, path)
        for number, part in enumerate(value if isinstance(value, list) else ()):
            yield from problems(part, schema.get("items", {}), f"{path}[{number}]")


def limits(value, schema, path):
    if "const" in schema and value != schema["const"]:
        yield f"{path}: {value!r} is not {schema['const']!r}"
    if is_a(value, "number") and value < schema.get("minimum", value):
        yield f"{path}: {value!r} is below {schema['minimum']}"


def members(value, schema, path):
    yield from (f"{path}.{name} is missing" for name in schema.get("required", ()) if name not in value)
    known, other = schema.get("properties", {}), schema.get("additionalProperties", True)
    for name, part in value.items():
        if name not in known and not other:
            yield f"{path}.{name} is not in the schema"
        else:
            yield from problems(part, known.get(name, other if isinstance(other, dict) else {}), f"{path}.{name}")


def is_any(value, names):
    wanted = [names] if isinstance(names, str) else names
    return not wanted or any(is_a(value, name) for name in wanted)


def is_a(value, name):
    if name in {"number", "integer"}:
        kinds = (int, float) if name == "number" else int
        return isinstance(value, kinds) and not isinstance(value, bool)
    return isinstance(value, TYPES[name])


def make(count=200, failed=3, partial="", **more):
    records = Records(("before", "after"))
    for number in range(count):
        due = number / 10
        answer = Answer(due + 0.001, due + 0.002, due + 1.0, [due + 0.1 + 0.001 * (number % 50), due + 0.9])
        answer.prompt_tokens, answer.output_tokens = 12, 2
        if number < failed:
            answer.cause, answer.detail = Cause.STATUS, f"HTTP 500 {EVIL}"
        records.add(Asked(number, 0, number * 2 // count, due), answer, 0.0)
    stretches = [Stretch("before", 0.0, count / 20), Stretch("after", count / 20, count / 20)] if count else []
    whole = total(records, max(1.0, count / 10), OBJECTIVES)
    parts = {
        "semantic": score.Part(None, "no expected answers were given"),
        "execution": score.execution(whole.requests, whole.succeeded, None),
        "latency": score.latency(whole.requests, whole.inside),
        "context": score.context(None, 0),
    }
    plan = {"profile": "step", "seed": 7, "workload": {"name": "text"}, "phases": []}
    origin = Origin(1.7e9, "http://a/v1", EVIL, {"autoglm-bench": "1"}, {"cpus": 2}, plan, "sha256:a", "sha256:b")
    fields = {"littles_law": None, "split": None, "gpu": None, "score": score.score(parts)} | more
    found = Findings(
        records,
        whole,
        summarise(records, stretches, OBJECTIVES),
        OBJECTIVES,
        partial,
        verdict=verdict(whole, OBJECTIVES, partial),
        notes=[EVIL],
        **fields,
    )
    return document(origin, found) | {"generator": {"cpuSeconds": 1.0, "coreShare": 0.1, "peakMemoryBytes": 5.0}}


FULL = {
    "littles_law": LittlesLaw(10.0, 0.5, 20.0, 19.0),
    "split": Split({"network": 0.01, "queue": 0.02, "prefill": 0.03, "decode": 0.04}, 9, None, "others asked too"),
    "gpu": GpuUse(1, 2.0**34, 300.0, 5000.0, 2.5, "energy counter of the GPUs"),
    "trials": [Trial(10.0, True, "well"), Trial(20.0, False, "slow")],
    "limit": 10.0,
}
CASES = [make(), make(**FULL), make(failed=200), make(count=0, partial="stopped by SIGTERM"), make(partial="stopped")]


@pytest.mark.parametrize("shown", CASES)
def test_document_is_of_its_schema(shown):
    assert list(problems(json.loads(json.dumps(shown, allow_nan=False)), SCHEMA)) == []


@pytest.mark.parametrize(
    ("name", "value"), [("requests", -1), ("ttft", 5), ("schemaVersion", 1), ("unknown", 1), ("phases", [{}])]
)
def test_schema_refuses_what_is_wrong(name, value):
    assert list(problems(CASES[0] | {name: value}, SCHEMA))


def test_long_runs_keep_some_requests_and_say_how_many():
    found = make(count=25_000)["samples"]

    assert (found["every"], len(found["due"])) == (2, 12_500)
    assert {len(column) for column in found.values() if isinstance(column, list)} == {12_500}


class Page(HTMLParser):
    def __init__(self):
        super().__init__()
        self.open, self.tags, self.links, self.text = [], [], [], ""

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.links += [value for name, value in attributes if name in {"src", "href", "xlink:href"}]
        if tag not in {"meta", "line"}:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


@pytest.mark.parametrize("shown", CASES)
def test_page_is_one_whole_file_and_shows_foreign_text_as_text(shown):
    page = Page()
    page.feed(html(shown))

    assert (page.open, page.links) == ([], [])
    assert "script" not in page.tags
    assert EVIL in page.text
    assert shown["verdict"] in page.text


def test_page_has_plots_for_light_dark_and_paper():
    text = html(CASES[1])

    assert text.count("<svg") == 8
    assert "prefers-color-scheme: dark" in text
    assert "@media print" in text
    assert 'class="limit"' in text
    assert not re.search(r"\bnan\b", text)


def test_markdown_shows_foreign_text_as_text():
    text = markdown(CASES[1])

    assert "<script>" not in text.replace("\\<script", "")
    assert "| total | 200 | 197 |" in text
    assert "GPU: memory at most 16 GiB, power 300 W, 2.5 J per output token" in text


def test_table_has_phases_facts_and_failures():
    lines = table(CASES[0]).splitlines()

    assert lines[0].split()[:4] == ["PHASE", "SENT", "OK", "LATE"]
    assert [one.split()[:3] for one in lines[1:4]] == [
        ["before", "100", "97"],
        ["after", "100", "100"],
        ["total", "200", "197"],
    ]
    assert any(one.startswith("failed: 3 with cause status, such as: HTTP 500") for one in lines)
    assert any("semantic left out (no expected answers were given)" in one for one in lines)


def test_verdict_never_counts_what_is_partial_or_failed_as_success():
    assert CASES[2]["verdict"] == "no request succeeded"
    assert CASES[3]["verdict"].startswith("partial (stopped by SIGTERM): no request succeeded")
    assert "the objective is not held: 3 of 200 requests failed (3 status)" in CASES[0]["verdict"]


def progress(share=0.5, phase="steady", bracket="", ttfts=(0.1, 0.3), itls=(0.02,)):
    return Progress(5.0, share, phase, bracket, 20, 4, 1, 2, ttfts, itls, 40, 0.5)


def test_progress_is_one_line():
    assert line(progress()) == (
        "[##########          ] 5 s  steady  sent 20  in flight 4  failed 1  late 2  80 tok/s  TTFT P99 300 ms"
    )
    assert "5 s  trial 3: 4/s  limit above 2/s  sent 20" in line(progress(0.3, "trial 3: 4/s", "limit above 2/s"))
    assert "TTFT P99 -" in line(progress(ttfts=()))


def test_progress_for_a_program():
    told = json.loads(json_line(progress(0.299, bracket="limit above 2/s")))["progress"]
    assert told == {"percent": 29, "failed": 1, "ttftP99": "300ms", "itlP99": "20ms", "search": "limit above 2/s"}
    assert json.loads(json_line(progress(ttfts=(), itls=())))["progress"] == {"percent": 50, "failed": 1}
