"""The benchmark cases by name."""

from sagan.bench.attention import attention_case
from sagan.bench.data import data_case
from sagan.bench.harness import Case

CASES: dict[str, Case] = {
    "attention": attention_case,
    "data": data_case,
}
