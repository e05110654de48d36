"""The Fluent Bit example by Fluent Bit's documented rules: no Fluent Bit is at hand to run it."""

import json
import logging
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from autoglm_agent.logs import JsonFormatter as AgentFormatter
from autoglm_fetch.logs import JsonFormatter as FetchFormatter
from autoglm_operator.telemetry import JsonFormatter

CONFIG = yaml.safe_load((Path(__file__).parents[2] / "examples/observability/fluent-bit.yaml").read_text())
#: Options of the manual's pages on the JSON parser, the inputs `tail`, the filter `parser` and the output `stdout`.
KNOWN = {
    "parsers": {"name", "format", "time_key", "time_format", "time_keep", "regex", "types", "time_strict"},
    "inputs": {"name", "path", "tag", "multiline.parser", "mem_buf_limit", "skip_long_lines", "db", "read_from_head"},
    "filters": {"name", "match", "key_name", "parser", "preserve_key", "reserve_data", "unescape_key"},
    "outputs": {"name", "match", "format", "json_date_key", "json_date_format"},
}
#: The expression of its built-in parser `cri`.
CRI = re.compile(r"^(?P<time>[^ ]+) (?P<stream>stdout|stderr) (?P<logtag>[^ ]*) (?P<log>.*)$")


def sections():
    yield from (("parsers", item) for item in CONFIG["parsers"])
    for section, items in CONFIG["pipeline"].items():
        yield from ((section, item) for item in items)


@pytest.mark.parametrize(("section", "item"), list(sections()))
def test_every_option_is_documented(section, item):
    assert set(item) <= KNOWN[section]


def test_what_is_named_exists():
    (parser,), (reads,), (filtered,) = CONFIG["parsers"], CONFIG["pipeline"]["inputs"], CONFIG["pipeline"]["filters"]
    assert filtered["parser"] == parser["name"]
    assert reads["tag"] == filtered["match"] == CONFIG["pipeline"]["outputs"][0]["match"]
    assert filtered["key_name"] in CRI.groupindex


@pytest.mark.parametrize("formatter", [JsonFormatter(), AgentFormatter(), FetchFormatter()])
def test_our_lines_are_read(formatter):
    record = logging.getLogger("a").makeRecord(
        "a", logging.WARNING, "f", 1, 'odd "quotes"\nand lines', (), None, extra={"namespace": "team-a", "reason": "X"}
    )
    record.created, record.msecs = 1_800_000_000.25, 250.0
    framed = f"2026-11-21T12:00:00.123456789Z stderr F {formatter.format(record)}"
    found = CRI.match(framed)
    assert found is not None
    line = json.loads(found["log"])
    (parser,) = CONFIG["parsers"]
    # Its %L is a fraction of a second; Python calls that %f, and takes the Z as it is.
    layout = parser["time_format"].replace("%L", "%f")
    at = datetime.strptime(line[parser["time_key"]], layout).replace(tzinfo=UTC)
    assert at.timestamp() == record.created
    assert (line["level"], line["logger"], line["namespace"], line["reason"]) == ("warning", "a", "team-a", "X")
    assert line["message"] == 'odd "quotes"\nand lines'
