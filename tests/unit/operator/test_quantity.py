"""Amounts of memory as Kubernetes writes them."""

import pytest

from autoglm_operator.api.quantity import byte_count


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("85899345920", 80 * 1024**3),
        ("80Gi", 80 * 1024**3),
        ("80G", 80 * 10**9),
        ("1.5Gi", 3 * 1024**3 // 2),
        ("0.001k", 1),
        ("1.0001k", 1001),
        ("81559Mi", 81559 * 1024**2),
        ("1Ti", 1024**4),
    ],
)
def test_quantities(text, expected):
    assert byte_count(text) == expected


@pytest.mark.parametrize(
    "text", ["", "Gi", "-1Gi", "1e3", "100m", "1.Gi", "1 Gi", "nan", "1K", "1gi", "\N{ARABIC-INDIC DIGIT ONE}Gi"]
)
def test_what_is_no_amount_of_memory_is_refused_by_name(text):
    with pytest.raises(ValueError, match="expected a number and a unit") as refused:
        byte_count(text)
    assert repr(text) in str(refused.value)
