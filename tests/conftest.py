"""What tests of several folders share."""

from collections.abc import Callable
from typing import Any

import pytest

from autoglm_operator.api import names

Document = dict[str, Any]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write the golden files instead of comparing")


@pytest.fixture(scope="session")
def deployment_document() -> Callable[..., Document]:
    """Make an AutoGLMDeployment as the API serves it; keywords replace parts of the spec."""

    def make(name: str = "phone", namespace: str = "team-a", *, generation: int = 1, **spec: Any) -> Document:
        simulated = {"engine": {"type": "Simulator"}, "model": {"source": {"huggingFace": "zai-org/AutoGLM-Phone-9B"}}}
        return {
            "apiVersion": names.API_VERSION,
            "kind": names.KIND,
            "metadata": {
                "name": name,
                "namespace": namespace,
                "uid": f"uid-of-{name}",
                "generation": generation,
                "resourceVersion": "1",
            },
            "spec": simulated | spec,
        }

    return make
