"""Where a live object is not as wanted."""

import pytest

from autoglm_operator.apply.diff import Difference, differences


@pytest.mark.parametrize(
    ("wanted", "live", "paths"),
    [
        ({"a": 1}, {"a": 1, "b": 2}, []),
        ({"a": 1}, {"a": 2}, ["a"]),
        ({"a": 1}, {}, ["a"]),
        ({"a": {"b": 1}}, {"a": None}, ["a"]),
        ({"a": {"b": 1}}, {"a": {"b": 2}}, ["a.b"]),
        ({"a": None}, {}, []),
        ({"a": {}}, {"a": {"b": 1}}, []),
        ({"a": {}}, {}, ["a"]),
        ({"a": []}, {}, []),
        ({"a": [1]}, {}, ["a"]),
        ({"a": [1, 2]}, {"a": [1, 2]}, []),
        ({"a": [1, 2]}, {"a": [2, 1]}, ["a[0]", "a[1]"]),
        ({"a": [1, 2]}, {"a": [1, 2, 3]}, ["a"]),
        ({"a": [{"name": "x", "v": 1}]}, {"a": [{"name": "y"}, {"name": "x", "v": 1, "w": 2}]}, []),
        ({"a": [{"name": "x", "v": 1}]}, {"a": [{"name": "x", "v": 2}]}, ["a[name=x].v"]),
        ({"a": [{"name": "x", "v": 1}]}, {"a": [{"name": "y", "v": 1}]}, ["a[name=x]"]),
        ({"a": [{"name": "x", "v": 1}]}, {"a": ["x"]}, ["a[name=x]"]),
        ({"a": [{"uid": "1", "name": "x"}]}, {"a": [{"uid": "2", "name": "x"}, {"uid": "1", "name": "x"}]}, []),
        ({"a": True}, {"a": "True"}, ["a"]),
        # A selector with one more label selects other pods.
        ({"spec": {"selector": {"a": "1"}}}, {"spec": {"selector": {"a": "1", "b": "2"}}}, ["spec.selector"]),
        ({"selector": {"matchLabels": {"a": "1"}}}, {"selector": {"matchLabels": {"a": "1"}}}, []),
        ({"nodeSelector": {"gpu": "x"}}, {}, ["nodeSelector"]),
    ],
)
def test_differences(wanted, live, paths):
    assert [difference.path for difference in differences(wanted, live)] == paths


def test_a_difference_tells_what_is_there():
    assert list(differences({"cpu": "1000m"}, {"cpu": "1"})) == [Difference("cpu", "'1'")]
    assert set(differences({"cpu": "1000m"}, {"cpu": "4"})) != set(differences({"cpu": "1000m"}, {"cpu": "1"}))
