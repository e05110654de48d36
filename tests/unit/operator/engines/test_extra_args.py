"""What a user adds to the command line: taken as it is, or refused with what to do."""

import pytest

from autoglm_operator.api.v1alpha1 import EngineType
from autoglm_operator.errors import Terminal
from autoglm_operator.render.engines.extra_args import check
from autoglm_operator.render.engines.owned_flags import SGLANG_OWNED, VLLM_OWNED
from autoglm_operator.render.engines.release import releases, resolve

OWNED = {EngineType.VLLM: VLLM_OWNED, EngineType.SGLANG: SGLANG_OWNED}


def checked(*words, engine=EngineType.VLLM, version="0.33.0", rendered=()):
    return check(resolve(engine, version), words, OWNED[engine], rendered)


def sglang(*words, version="0.5.23"):
    return checked(*words, engine=EngineType.SGLANG, version=version)


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("--enforce-eager",),
        ("--enable-auto-tool-choice", "--tool-call-parser", "glm45"),
        ("--no-enable-log-outputs",),
        ("--block-size", "16", "--seed", "-1"),
        ("--block-size=16",),
        ("--block_size", "16"),
        ("--compilation-config.mode", "3"),
        ("--compilation-config", '{"mode": 3}'),
        ("--compilation-config.mode", "3", "--compilation-config.debug", "true"),
        ("--no-async-scheduling",),
        ("--scheduling-policy", "priority"),
        ("--language-model-only",),
        ("--allowed-local-media-path", "/models/images"),
        ("--allowed-media-domains", "a.example", "b.example"),
        ("--max-num-scheduled-tokens", "8k"),
        ("--tokenizer", "$(HF_TOKEN); rm -rf / #"),
    ],
)
def test_taken_in_their_order(words):
    assert checked(*words) == words


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--swap-space", "4"), "extraArgs[0]: --swap-space: vLLM 0.33.0 has no --swap-space; releases 0.12.0 to 0.17"),
        (("--enforce-eagre",), "did you mean --enforce-eager?"),
        (("--no-such-thing-at-all-xyz",), "vLLM 0.33.0 has no --no-such-thing-at-all-xyz; see the engine's --help"),
        (("--max-num-seqs", "4"), "the operator sets --max-num-seqs: use engine.batching.maxNumSeqs"),
        (("--max_num_seqs=4",), "use engine.batching.maxNumSeqs"),
        (("--speculative-config.method", "ngram"), "use engine.speculative"),
        (("--disable-prefix-caching",), "use engine.kvCache.prefixCaching"),
        (("--no-enable-prefix-caching",), "use engine.kvCache.prefixCaching"),
        (
            ("--max-num-se", "4"),
            "an abbreviation of --max-num-seqs: the operator sets it: use engine.batching.maxNumSeqs",
        ),
        (("--ho=0",), "an abbreviation of --host"),
        (("--block-siz", "16"), "an abbreviation of --block-size: write the name in full"),
        (("-O3",), "short options are not taken"),
        (("-q", "awq"), "short options are not taken"),
        (("--", "x"), "short options are not taken"),
        (("x",), "expected a flag"),
        (("--enforce-eager", "true"), "extraArgs[1]: true: expected a flag"),
        (("--enforce-eager=true",), "--enforce-eager takes no value"),
        (("--block-size",), "--block-size needs a value"),
        (("--block-size", "--enforce-eager"), "--block-size needs a value"),
        (("--block-size", "16", "17"), "extraArgs[2]: 17: expected a flag"),
        (("--block-size", "16", "--block-size", "32"), "--block-size is given twice"),
        (("--block-size", "16", "--block_size=32"), "--block-size is given twice"),
        (("--scheduling-policy", "random"), "'random': vLLM 0.33.0 takes one of fcfs, priority"),
        (("--block-size", "many"), "'many': expected a whole number"),
        (("--block-size", "1e3"), "'1e3': expected a whole number"),
        (("--kv-cache-metrics-sample", "nan"), "'nan': expected a finite number"),
        (("--compilation-config", "{"), "'{': expected JSON"),
        (("--enforce-eager.x",), "takes no JSON"),
        (("--config", "flags.yaml"), "flags in a file would not be checked"),
        (("--config=flags.yaml",), "flags in a file would not be checked"),
        (("--api-key", "secret"), "everyone who may read the pod would see it"),
        (("--middleware", "evil.Middleware"), "it runs code that is not in the image"),
        (("--ssl-keyfile", "/k"), "the probes speak HTTP"),
        (("--help",), "the engine would print a text and end"),
        (("--enable-auto-tool-choice",), "--enable-auto-tool-choice needs --tool-call-parser beside it"),
        (("--enable-log-outputs", "--no-enable-log-requests"), "--enable-log-outputs needs --enable-log-requests"),
        (("--allowed-local-media-path", "/"), "a request could read the pod's files and secrets"),
        (("--allowed-local-media-path=/models/../",), "a request could read the pod's files and secrets"),
        (("--allowed-local-media-path", "//"), "a request could read the pod's files and secrets"),
        (("--allowed_local_media_path=/proc",), "a request could read the pod's files and secrets"),
        (("--allowed-local-media-path", "/modelsx"), "a request could read the pod's files and secrets"),
    ],
)
def test_refused_with_what_to_do(words, said):
    with pytest.raises(Terminal) as caught:
        checked(*words)
    assert said in str(caught.value)
    assert str(caught.value).startswith("spec.engine.extraArgs[")


def test_what_the_command_line_has_already_is_refused():
    assert checked("--mm-encoder-tp-mode", "data")
    with pytest.raises(Terminal, match="the operator sets --mm-encoder-tp-mode for this model"):
        checked("--mm-encoder-tp-mode", "data", rendered={"--mm-encoder-tp-mode"})


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--tp", "2"), "an abbreviation of"),
        (("--model", "x/y"), "use model.source"),
        (("--admin-api-key", "x"), "everyone who may read the pod would see it"),
        (("--page_size", "16"), "SGLang 0.5.23 has no --page_size; did you mean --page-size?"),
        (("--json-model-override-args.x", "1"), "SGLang 0.5.23 has no --json-model-override-args.x"),
        (("--ep", "2"), "use resources.parallelism.expert"),
    ],
)
def test_sglang_has_its_own_spellings(words, said):
    with pytest.raises(Terminal) as caught:
        sglang(*words)
    assert said in str(caught.value)


def test_a_flag_of_a_later_release_names_the_release():
    with pytest.raises(Terminal, match=r"SGLang 0\.5\.6 has no --uvicorn-access-log.*; releases 0\.5\.8 to 0\.5\.23"):
        sglang("--uvicorn-access-log-exclude-prefixes", "/x", version="0.5.6")


@pytest.mark.parametrize("engine", list(OWNED))
def test_every_owned_flag_is_one_of_some_release(engine):
    known = {word for version in releases(engine) for word in resolve(engine, version).flags}
    assert set(OWNED[engine]) <= known, set(OWNED[engine]) - known


@pytest.mark.parametrize("engine", list(OWNED))
def test_no_spelling_or_abbreviation_of_an_owned_flag_gets_through(engine):
    release = resolve(engine, "")
    for flag in {
        release.flags[name].name: release.flags[name] for name in OWNED[engine] if name in release.flags
    }.values():
        for word in (
            *flag.spellings,
            flag.name[:-1],
            flag.name.replace("-", "_").replace("__", "--", 1),
            f"{flag.name}.x",
        ):
            for words in ((word,), (word, "1"), (f"{word}=1",)):
                with pytest.raises(Terminal):
                    check(release, words, OWNED[engine])
