"""The benchmark cases by name."""

from sagan.bench.attention import attention_case
from sagan.bench.data import data_case
from sagan.bench.device import device_case
from sagan.bench.harness import Case
from sagan.bench.opening import opening_case
from sagan.bench.sampling import sampling_case
from sagan.bench.scaling import scaling_case
from sagan.bench.spectral import spectral_case
from sagan.bench.steps import step_case

CASES: dict[str, Case] = {
    "attention": attention_case,
    "spectral": spectral_case,
    "step": step_case,
    "sampling": sampling_case,
    "opening": opening_case,
    "data": data_case,
    "scaling": scaling_case,
    "device": device_case,
}
