"""The flag tables as files: whole, in order, and without two meanings for one spelling."""

import json
from importlib.resources import files

import pytest

from autoglm_operator.api.v1alpha1 import EngineType
from autoglm_operator.render.engines.release import releases, resolve, version_key

TABLES = {EngineType.VLLM: "vllm_flags.json", EngineType.SGLANG: "sglang_flags.json"}
KINDS = {"none", "one", "many", "optional"}
FORMS = {None, "int", "float", "amount", "json", "list"}


@pytest.fixture(params=TABLES, ids=str)
def table(request):
    content = json.loads(files("autoglm_operator.render.engines").joinpath(TABLES[request.param]).read_text())
    return request.param, content["releases"], content["flags"]


def test_in_order(table):
    _, versions, flags = table
    assert versions == sorted(versions, key=version_key)
    assert list(flags) == sorted(flags)


def test_spans_follow_each_other(table):
    _, versions, flags = table
    for name, spans in flags.items():
        last = -1
        for span in spans:
            first = versions.index(span["from"])
            assert first > last, name
            last = versions.index(span.get("until", versions[-1]))
            assert first <= last, name
            assert span["kind"] in KINDS, name
            assert span.get("form") in FORMS, name


@pytest.mark.parametrize("engine", list(TABLES))
def test_a_spelling_means_one_flag_in_each_release(engine):
    for version in releases(engine):
        flags = resolve(engine, version).flags
        spellings = [word for flag in {flag.name: flag for flag in flags.values()}.values() for word in flag.spellings]
        assert len(spellings) == len(set(spellings)), version


@pytest.mark.parametrize(("engine", "version", "number"), [("vLLM", "0.33.0", 321), ("SGLang", "0.5.23", 532)])
def test_as_many_flags_as_the_parsers_of_the_newest_releases_have(engine, version, number):
    # Counted apart from the tables: 322 and 532 actions of the parsers, vLLM's positional model among them.
    assert len({flag.name for flag in resolve(EngineType(engine), version).flags.values()}) == number
