import pytest

from autoglm_operator.api.signals import QUEUE_DEPTH, TTFT_P99
from autoglm_operator.autoscaler.metrics_api import selectors
from autoglm_operator.autoscaler.metrics_api.published import Entry, Published, Unavailable, Unknown

KEY = ("prod", "phone")


@pytest.fixture
def published(clock):
    made = Published(3.0, monotonic=clock, wall=lambda: 1_700_000_000.0)
    made.put(KEY, Entry(999.0, {QUEUE_DEPTH.name: 4.0}, {TTFT_P99.name: "nothing was observed"}, {"team": "a"}))
    return made


def test_a_value_carries_the_time_of_its_sample(published):
    found = published.one(*KEY, QUEUE_DEPTH.name)
    assert (found.value, found.time) == (4.0, 1_699_999_999.0)


def test_a_stale_value_is_an_error_that_says_how_old(published, clock):
    clock.now = 1008.0
    assert published.one(*KEY, QUEUE_DEPTH.name).value == 4.0
    clock.now = 1008.1
    with pytest.raises(Unavailable, match=r"autoglm_queue_depth of AutoGLMDeployment prod/phone is 9.1 s old: .* 9 s"):
        published.one(*KEY, QUEUE_DEPTH.name)


def test_a_value_that_cannot_be_told_says_why(published):
    with pytest.raises(Unavailable, match="nothing was observed"):
        published.one(*KEY, TTFT_P99.name)


def test_what_does_not_exist_is_named_with_what_does(published):
    with pytest.raises(Unknown, match=r"metric 'queue' does not exist: there are .*autoglm_queue_depth"):
        published.one(*KEY, "queue")
    with pytest.raises(Unknown, match="prod/other does not exist"):
        published.one("prod", "other", QUEUE_DEPTH.name)
    published.forget(KEY)
    with pytest.raises(Unknown):
        published.one(*KEY, QUEUE_DEPTH.name)


@pytest.mark.parametrize(
    ("selector", "names"), [("", ["phone", "tv"]), ("team=a", ["phone"]), ("team=c", []), ("!team", ["tv"])]
)
def test_all_of_a_namespace_by_labels(published, selector, names):
    published.put(("prod", "tv"), Entry(1000.0, {QUEUE_DEPTH.name: 1.0}))
    published.put(("other", "car"), Entry(1000.0, {QUEUE_DEPTH.name: 1.0}))
    assert [value.name for value in published.all("prod", QUEUE_DEPTH.name, selectors.parse(selector))] == names


def test_all_leaves_out_what_is_stale_unless_everything_is(published, clock):
    clock.now = 1010.0
    with pytest.raises(Unavailable):
        published.all("prod", QUEUE_DEPTH.name, selectors.parse(""))
    published.put(("prod", "tv"), Entry(1010.0, {QUEUE_DEPTH.name: 1.0}))
    assert [value.name for value in published.all("prod", QUEUE_DEPTH.name, selectors.parse(""))] == ["tv"]


@pytest.mark.parametrize(
    ("selector", "matches"),
    [
        ("a=1", True),
        ("a==1", True),
        ("a = 1 , b=2", True),
        ("a!=1", False),
        ("c!=1", True),
        ("a in (1, 9),b notin (1)", True),
        ("a in (8,9)", False),
        ("c notin (1)", True),
        ("a", True),
        ("!a", False),
        ("example.com/x", True),
        ("a=", False),
    ],
)
def test_selectors(selector, matches):
    assert selectors.parse(selector)({"a": "1", "b": "2", "example.com/x": ""}) is matches


@pytest.mark.parametrize("selector", ["a=b=c", "in (a)", "a,,b", "a in (b", "-", "a>1"])
def test_what_is_no_selector_is_refused(selector):
    with pytest.raises(selectors.InvalidSelector, match="is not a requirement"):
        selectors.parse(selector)
