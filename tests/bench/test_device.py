"""Training steps on the device: skips state a reason, and the table what was measured."""

import pytest
import torch

from sagan.bench import Candidate, Comparison, compare, table
from sagan.bench import device as device_module
from sagan.bench.device import device_case, profiled, summary
from sagan.bench.harness import Skip


def not_here():
    raise Skip("not here")


def test_what_cannot_run_is_left_out_with_its_reason():
    candidates = [
        Candidate(name="never", prepare=not_here),
        Candidate(name="always", prepare=lambda: lambda: None),
    ]
    looked = []

    def look(call):
        looked.append(call)
        return {"attention": []}

    work = Comparison(label="x", candidates=candidates, look=look)
    result = compare(work, rounds=2, scale="tiny")
    first, second = result["candidates"]
    assert first == {"name": "never", "skipped": "not here"}
    assert second["speedup"] == 1
    assert len(looked) == 1
    assert "skipped: not here" in table(result)
    none = compare(
        Comparison(label="x", candidates=candidates[:1], look=look), rounds=2, scale="tiny"
    )
    assert none["candidates"] == [first]
    assert "profile" not in none
    assert len(looked) == 1


def test_the_tiny_case_measures_each_precision_or_says_why_not(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    results = [compare(c, rounds=1, scale="tiny") for c in device_case("tiny")]
    assert [r["parameters"]["precision"] for r in results] == ["bf16", "float32", "tf32"]
    assert results[0]["candidates"][0]["mfu"] > 0
    assert results[2]["candidates"][0]["skipped"] == "this cpu cannot compute in tf32"
    assert results[0]["candidates"][1]["skipped"].startswith("compiling is measured on a GPU only")
    said = summary(results)
    assert said.endswith("not measured on a GPU")
    assert "the most expensive kernels of a step, best 32 px b=2 float32 on cpu:" in said
    assert len(said.split("float32 on cpu:\n")[1].splitlines()) == 10 + 1


def test_attention_kernels_are_named():
    query = torch.rand(1, 1, 8, 8)

    def call():
        torch.nn.functional.scaled_dot_product_attention(query, query, query)

    assert any("scaled_dot_product" in name for name in profiled(call)["attention"])
    shares = [k["share"] for k in profiled(call)["kernels"]]
    assert shares == sorted(shares, reverse=True)
    assert 0 < sum(shares) <= 1.0001


def test_past_its_time_and_out_of_memory_a_step_is_skipped(monkeypatch):
    monkeypatch.setattr(device_module, "_BUDGET_SEC", 1)
    step = device_module._step
    with pytest.raises(Skip, match="the time limit of 1 s was reached"):
        step(*small(), deadline=0.0)

    def fails(*_):
        raise MemoryError

    monkeypatch.setattr(device_module, "training_step", fails)
    with pytest.raises(Skip, match="out of memory"):
        step(*small(), deadline=float("inf"))


def small():
    network, training = device_module.preset("digits")
    return network, training, device_module.Runtime(device="cpu")
