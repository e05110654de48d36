"""What a reconcile asks for beside the caches, and what it must not ask."""

import json

import httpx
import pytest

from autoglm_operator.lookups import Lookups
from autoglm_operator.observe.model_config import ModelConfigs
from autoglm_operator.observe.pod import Container, Exit, Pod
from autoglm_operator.observe.world import Deployment, Observed

KEY = ("team-a", "phone")
CONFIG = {"model_type": "llama", "hidden_size": 64}
REAL = {"engine": {"type": "vLLM"}, "resources": {}}


@pytest.fixture
def asked():
    return []


@pytest.fixture
async def lookups(asked):
    def answer(request):
        asked.append(str(request.url))
        return httpx.Response(200, json=CONFIG)

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as client:
        yield Lookups(configs=ModelConfigs(client))


@pytest.fixture
def observed(deployment_document):
    def make(fetch_pods=None, **spec):
        deployment = Deployment.parse(deployment_document(**(REAL | spec)))
        assert deployment.spec_error == ""
        return Observed(deployment, {}, (), frozenset(), 0.0, fetch_pods=fetch_pods or {})

    return make


async def test_an_unknown_model_is_looked_up_once(lookups, asked, observed):
    seen = observed(model={"source": {"huggingFace": "acme/new-model"}, "revision": "abc"})
    for _ in range(2):
        completed = await lookups.complete(KEY, seen)
    assert completed.model_config == CONFIG
    assert asked == ["https://huggingface.co/acme/new-model/resolve/abc/config.json"]


@pytest.mark.parametrize(
    "spec",
    [
        {"model": {"source": {"huggingFace": "zai-org/AutoGLM-Phone-9B"}}},
        {"model": {"source": {"huggingFace": "acme/new"}, "hubEndpoint": "http://169.254.169.254"}},
        {"model": {"source": {"huggingFace": "acme/new"}}, "engine": {"type": "Simulator"}},
    ],
    ids=["known", "an address of the user", "simulated"],
)
async def test_nobody_is_asked(lookups, asked, observed, spec):
    completed = await lookups.complete(KEY, observed(**spec))
    assert completed.model_config is None
    assert asked == []


async def test_the_right_to_ask_can_be_taken_away(observed):
    seen = observed(model={"source": {"huggingFace": "acme/new"}})
    assert (await Lookups().complete(KEY, seen)).model_config is None


async def test_what_the_download_told_counts_first(lookups, asked, observed):
    told = json.dumps({"reason": "Downloaded", "message": "", "config": {"model_type": "qwen3"}})
    container = Container("fetch", last_exit=Exit(0, message=told))
    pods = {"job": Pod("p", "", ready=False, terminating=False, containers=(container,))}
    seen = observed(fetch_pods=pods, model={"source": {"huggingFace": "acme/new"}})
    assert (await lookups.complete(KEY, seen)).model_config == {"model_type": "qwen3"}
    assert asked == []
