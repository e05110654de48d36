"""Settings from the environment."""

import pytest

from autoglm_operator.api.v1alpha1 import EngineType
from autoglm_operator.settings import DEFAULT_IMAGES, Scaling, Settings


def test_defaults():
    settings = Settings.from_environ({})
    assert settings == Settings()
    assert settings.images.engines == DEFAULT_IMAGES


def test_everything_given():
    settings = Settings.from_environ(
        {
            "WATCH_NAMESPACES": " a, b,,a ",
            "POD_NAME": "operator-0",
            "POD_NAMESPACE": "autoglm-system",
            "ENGINE_IMAGE_VLLM": "mirror/vllm:1",
            "AGENT_IMAGE": "mirror/agent:1",
            "IMAGE_PULL_POLICY": "Never",
            "AGENT_SOURCE": "replay",
            "OTEL_EXPORTER_OTLP_ENDPOINT": "http://otel:4318",
            "LOG_LEVEL": "debug",
            "SCRAPE_INTERVAL_SECONDS": "0.5",
            "HEALTH_PORT": "18080",
        }
    )
    assert settings.watch_namespaces == ("a", "b")
    assert (settings.pod_name, settings.pod_namespace) == ("operator-0", "autoglm-system")
    assert settings.images.engines[EngineType.VLLM] == "mirror/vllm:1"
    assert settings.images.engines[EngineType.SGLANG] == DEFAULT_IMAGES[EngineType.SGLANG]
    assert (settings.images.agent, settings.images.pull_policy) == ("mirror/agent:1", "Never")
    assert settings.images.agent_source == "replay"
    assert settings.otlp_endpoint == "http://otel:4318"
    assert (settings.log_level, settings.scrape_interval, settings.health_port) == ("debug", 0.5, 18080)


def test_empty_values_are_the_defaults():
    empty = dict.fromkeys(("WATCH_NAMESPACES", "ENGINE_IMAGE_VLLM", "AGENT_IMAGE", "LOG_LEVEL", "HEALTH_PORT"), "")
    assert Settings.from_environ(empty) == Settings()


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("LOG_LEVEL", "loud", "debug, info, warning, error"),
        ("IMAGE_PULL_POLICY", "sometimes", "Always, IfNotPresent, Never"),
        ("AGENT_SOURCE", "magic", "auto, replay"),
        ("SCRAPE_INTERVAL_SECONDS", "0", "positive number"),
        ("SCRAPE_INTERVAL_SECONDS", "-3", "positive number"),
        ("SCRAPE_INTERVAL_SECONDS", "nan", "positive number"),
        ("SCRAPE_INTERVAL_SECONDS", "inf", "positive number"),
        ("SCRAPE_INTERVAL_SECONDS", "soon", "positive number"),
        ("HEALTH_PORT", "0", "1 to 65535"),
        ("HEALTH_PORT", "70000", "1 to 65535"),
        ("HEALTH_PORT", "80.5", "1 to 65535"),
        ("API_PORT", "https", "1 to 65535"),
    ],
)
def test_errors_name_variable_value_and_what_to_write(name, value, expected):
    with pytest.raises(ValueError, match=name) as caught:
        Settings.from_environ({name: value})
    assert repr(value) in str(caught.value)
    assert expected in str(caught.value)


def test_how_replicas_can_be_written():
    environ = {
        "METRICS_API_SERVICE": "monitoring/prometheus-adapter",
        "METRICS_API_REGISTERED": "false",
        "PROMETHEUS_ADDRESS": "http://prometheus:9090/",
    }
    given = Scaling("monitoring/prometheus-adapter", metrics_registered=False, prometheus="http://prometheus:9090")
    assert Settings.from_environ(environ).images.scaling == given
    with pytest.raises(ValueError, match=r"METRICS_API_REGISTERED='maybe': expected one of true, false"):
        Settings.from_environ({"METRICS_API_REGISTERED": "maybe"})


def test_the_share_of_traces():
    assert Settings.from_environ({}).trace_ratio == 1.0
    assert Settings.from_environ({"OTEL_TRACES_SAMPLER_ARG": "0.25"}).trace_ratio == 0.25


@pytest.mark.parametrize("value", ["1.1", "-0.1", "nan", "some"])
def test_a_share_of_traces_that_is_none_is_refused(value):
    with pytest.raises(ValueError, match=r"OTEL_TRACES_SAMPLER_ARG=.*expected a number from 0 to 1"):
        Settings.from_environ({"OTEL_TRACES_SAMPLER_ARG": value})
