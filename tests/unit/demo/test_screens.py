"""The pictures of the dashboards: names of series and rows of tables are those that Grafana would show."""

import importlib
import sys
from pathlib import Path

import pytest

from autoglm_demo.grafana import Query, View
from autoglm_demo.promapi import Series

ROOT = Path(__file__).resolve().parents[3]
VIEW = View(0, 60)


@pytest.fixture(scope="module")
def screens():
    sys.path.insert(0, str(ROOT / "scripts"))
    try:
        yield importlib.import_module("screens")
    finally:
        sys.path.pop(0)


def query(reference, legend=""):
    return Query("Board", "Panel", reference, "up", True, VIEW, legend)


def series(value, **labels):
    return Series(labels, [(60.0, value)])


def test_a_legend_is_filled_with_labels(screens):
    assert screens.legend(query("A", "{{namespace}}/{{ name }} P99"), series(1.0, namespace="a", name="b")) == "a/b P99"
    assert screens.legend(query("A", "{{absent}}x"), series(1.0)) == "x"
    assert screens.legend(query("A"), series(1.0, __name__="up", job="j")) == 'up{job="j"}'


ANSWERS = [
    (query("A"), [series(1.0, name="one"), series(2.0, name="two")]),
    (query("B"), [series(float("nan"), name="two"), series(4.0, name="three")]),
]


def test_queries_of_a_table_are_joined_by_their_labels(screens):
    assert screens.table(ANSWERS, []) == {
        "columns": ["name", "Value #A", "Value #B"],
        "rows": [["one", 1.0, None], ["two", 2.0, "NaN"], ["three", None, 4.0]],
    }


def test_a_label_that_only_one_query_has_adds_a_column_and_not_a_row(screens):
    answers = [
        (query("A"), [series(1.0, name="one")]),
        (query("B"), [series(1.0, name="one", cause="queue"), series(1.0, name="two", cause="idle")]),
    ]
    assert screens.table(answers, []) == {
        "columns": ["name", "cause", "Value #A", "Value #B"],
        "rows": [["one", "queue", 1.0, 1.0], ["two", "idle", None, 1.0]],
    }


def test_rows_that_say_different_things_stay_apart(screens):
    found = [series(1.0, name="one", pod="x"), series(2.0, name="one", pod="y")]
    assert screens.table([(query("A"), [series(7.0, name="one")]), (query("B"), found)], [])["rows"] == [
        ["one", "x", 7.0, 1.0],
        ["one", "y", None, 2.0],
    ]


def test_columns_are_left_out_named_ordered_and_rows_sorted(screens):
    transformations = [
        {"id": "merge"},
        {
            "id": "organize",
            "options": {
                "excludeByName": {"Value #B": True},
                "renameByName": {"Value #A": "Pods"},
                "indexByName": {"Value #A": 0, "name": 1},
            },
        },
        {"id": "sortBy", "options": {"sort": [{"field": "Pods", "desc": True}]}},
    ]
    assert screens.table(ANSWERS, transformations) == {
        "columns": ["Pods", "name"],
        "rows": [[2.0, "two"], [1.0, "one"], [None, "three"]],
    }


def test_an_unknown_transformation_is_an_error_and_not_another_table(screens):
    with pytest.raises(ValueError, match="transformation pivot is not known"):
        screens.table(ANSWERS, [{"id": "pivot"}])
