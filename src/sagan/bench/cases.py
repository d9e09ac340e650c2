"""The benchmark cases by name."""

from sagan.bench.attention import attention_case
from sagan.bench.harness import Case
from sagan.bench.steps import step_case

CASES: dict[str, Case] = {
    "attention": attention_case,
    "step": step_case,
}
