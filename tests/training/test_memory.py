"""Memory and precision that a device lacks: refused before, explained after, or replaced."""

import dataclasses
import subprocess
import sys

import pytest
import torch
from digits_run import configure, fingerprint

from sagan.cli import app, run_safely
from sagan.config import NetworkConfig, Runtime, TrainingConfig
from sagan.errors import TrainingFailure
from sagan.models.estimate import estimate_peak_bytes
from sagan.runs.log import read_records
from sagan.runs.run import Run
from sagan.training import memory as memory_module
from sagan.training import train
from sagan.training import trainer as trainer_module
from sagan.training.engine import Engine, usable_precision
from sagan.training.memory import Fit, Memory, device_memory, is_out_of_memory

CPU = torch.device("cpu")
OUT_OF_MEMORY = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"),
    RuntimeError("MPS backend out of memory (MPS allocated: 1.00 GB)"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate`"),
    MemoryError(),
]
NETWORK = NetworkConfig(
    resolution=8, channels=1, classes=10, latent_dim=8, g_width=4, d_width=8, g_attention=(8,)
)
CONFIG = configure(
    NETWORK, TrainingConfig(images=96, batch_size=16, log_every=16, snapshot_every=48)
)
LARGE = NetworkConfig(
    resolution=32, g_width=16, d_width=16, g_attention=(32,), d_attention=(16,), classes=0
)


def run_to(path, digits, config=CONFIG, **runtime):
    return train(config, Run(path), digits, runtime=Runtime(device="cpu", **runtime))


def make(total, free=None, network=LARGE, processes=1, sharing=1, **training):
    return Fit(
        network=network,
        training=TrainingConfig(**{"batch_size": 32, **training}),
        device_type="mps",  # which stores every attention map
        processes=processes,
        sharing=sharing,
        memory=Memory(total if free is None else free, total),
    )


def peak(network=LARGE, **training):
    training = TrainingConfig(**training)
    return estimate_peak_bytes(network, training, device_type="mps")


def test_only_what_no_error_of_the_estimate_could_excuse_is_refused():
    need = peak(batch_size=32)
    assert make(need).check() == ""
    assert make(int(need / 1.3)).check().startswith("Training may run out of memory: it takes")
    with pytest.raises(ValueError, match=r"training does not fit: it takes about .* GB of memory"):
        make(int(need / 1.35)).check()
    assert "GB free" in make(2 * need, free=need - 1).check()
    assert dataclasses.replace(make(need), memory=None).check() == ""


def test_what_would_fit_does_and_the_next_larger_would_not():
    limit = int(4 / 3 * peak(batch_size=8)) + 1
    small = dataclasses.replace(LARGE, resolution=16, g_attention=(8,), d_attention=(8,))
    capped = dataclasses.replace(LARGE, g_attention=(8,), d_attention=(8,))
    assert 4 / 3 * peak(batch_size=16) > limit
    assert 4 / 3 * peak(small, batch_size=32) < limit < 4 / 3 * peak(capped, batch_size=32)
    said = make(0).what_fits(limit)
    assert said == (
        "these would fit: --accumulate 4 (batch norm over 8 images at a time), or --batch-size 8, "
        "or --resolution 16"
    )


def test_attention_on_a_smaller_map_is_named_where_that_is_enough():
    capped = dataclasses.replace(LARGE, g_attention=(16,))
    limit = int(4 / 3 * peak(capped, batch_size=32)) + 1
    assert limit < 4 / 3 * peak(batch_size=32)
    assert make(0).what_fits(limit).endswith("or --g-attention 16 --d-attention 16")
    none = make(0, network=dataclasses.replace(LARGE, g_attention=(), d_attention=()))
    assert "-attention" not in none.what_fits(limit)


def test_where_nothing_alone_would_fit_that_is_said():
    assert "combine several, or take narrower networks" in make(0).what_fits(1000)


def test_processes_divide_the_batch_and_share_the_cpu():
    quarter = make(1, processes=2, accumulate=2)
    assert quarter.micro_batch_size == 8
    assert quarter.need_bytes() == peak(batch_size=8)
    assert make(1, processes=2, sharing=2).need_bytes() == 2 * peak(batch_size=16)
    assert "--accumulate 8 (batch norm over 2 images" in quarter.what_fits(
        int(4 / 3 * peak(batch_size=2)) + 1
    )
    engine = Engine(Runtime(device="cpu", devices=2), "tf32")
    fit = Fit.of(CONFIG, engine)
    assert (fit.processes, fit.sharing, fit.training.precision) == (2, 2, "float32")


def test_memory_is_what_the_system_and_its_groups_leave(tmp_path):
    facts = "MemTotal:  1000 kB\nMemAvailable:  600 kB\nSwapTotal:  500 kB\nHugePages_Total:  0\n"
    assert device_memory(CPU, tmp_path) is None
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/meminfo").write_text(facts)
    assert device_memory(CPU, tmp_path) == (600 * 1024, 1500 * 1024)
    (tmp_path / "proc/self/cgroup").write_text("1:cpu:/x\n0::/job/step\n")
    step = tmp_path / "sys/fs/cgroup/job/step"
    step.mkdir(parents=True)
    (step / "memory.max").write_text("max\n")
    assert device_memory(CPU, tmp_path).total == 1500 * 1024
    (step.parent / "memory.max").write_text("300000\n")
    assert device_memory(CPU, tmp_path) == (300000, 300000)


def test_a_model_that_cannot_fit_is_refused_before_anything_is_written(
    tmp_path, monkeypatch, capsys
):
    small = Memory(15 * 10**6, 15 * 10**6)
    monkeypatch.setattr(memory_module, "device_memory", lambda device: small)
    command = ["train", str(tmp_path / "run"), "--device", "cpu"]
    code = run_safely(lambda: app(command, exit_on_error=False, print_error=False))
    said = capsys.readouterr().err
    assert code == 2
    assert said.count("\n") == 1
    assert "0.0319 GB of memory for 64 images at a time, and this cpu has 0.015 GB;" in said
    assert "these would fit: --accumulate 8 (batch norm over 8 images at a time)" in said
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("error", OUT_OF_MEMORY, ids=lambda e: type(e).__name__)
def test_out_of_memory_in_a_step_is_one_line_and_is_not_retried(
    tmp_path, digits, monkeypatch, error
):
    tried = []
    update = trainer_module.Trainer._update

    def fails(self):
        if self.state.step == 4:
            tried.append(self.state.retry)
            raise error
        update(self)

    monkeypatch.setattr(trainer_module.Trainer, "_update", fails)
    monkeypatch.setattr(torch, "compile", lambda network: network)
    with pytest.raises(TrainingFailure, match="out of memory on this cpu with 16 images") as raised:
        run_to(tmp_path, digits, rollback=3, compile=isinstance(error, MemoryError))
    assert "\n" not in str(raised.value)
    assert "As a new run, these would fit: --accumulate" in str(raised.value)
    assert tried == [0]
    assert [p.name for p in Run(tmp_path).checkpoint_paths()] == ["step-00000003"]


def test_other_errors_stay_what_they_are(tmp_path, digits, monkeypatch):
    def fails(self):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    monkeypatch.setattr(trainer_module.Trainer, "_update", fails)
    for compiled in (False, True):
        with pytest.raises(RuntimeError, match="mat1 and mat2"):
            run_to(tmp_path, digits, compile=compiled)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits its own address space")
def test_memory_that_really_runs_out_is_seen():
    code = """
import resource, torch
from sagan.training.memory import is_out_of_memory
resource.setrlimit(resource.RLIMIT_AS, (2**33, 2**33))
try: torch.zeros(2**40)
except Exception as error: assert is_out_of_memory(error), error
else: raise SystemExit("8 GB held 4 TB")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_precision_that_is_not_there_is_float32_and_the_run_keeps_what_was_asked(
    tmp_path, digits, capsys
):
    asked = dataclasses.replace(
        CONFIG, training=dataclasses.replace(CONFIG.training, precision="tf32")
    )
    half = dataclasses.replace(asked, training=dataclasses.replace(asked.training, images=48))
    run_to(tmp_path / "float32", digits)
    run_to(tmp_path / "tf32", digits, half)
    assert "This cpu cannot compute in tf32: using float32." in capsys.readouterr().err
    run_to(tmp_path / "tf32", digits, asked)  # resumed
    assert Run(tmp_path / "tf32").config().training.precision == "tf32"
    start = next(r for r in read_records(Run(tmp_path / "tf32").log_path) if r["kind"] == "start")
    assert start["precision"] == "float32"
    assert fingerprint(tmp_path / "tf32") == fingerprint(tmp_path / "float32")
    assert torch.get_float32_matmul_precision() == "highest"


def test_a_gpu_is_asked_what_it_can_do(monkeypatch):
    for there in (True, False):
        monkeypatch.setattr(torch.cuda, "is_tf32_supported", lambda there=there: there)
        monkeypatch.setattr(
            torch.cuda, "is_bf16_supported", lambda including_emulation, there=there: there
        )
        usable = {p: usable_precision(p, "cuda") for p in ("float32", "tf32", "bf16", "auto")}
        expected = ("tf32", "bf16") if there else ("float32", "float32")
        assert (usable["tf32"], usable["bf16"]) == expected
        assert usable["float32"] == "float32"
        assert usable["auto"] == usable["bf16"]


@pytest.mark.parametrize(("units", "precision"), [(True, "bf16"), (False, "float32")])
def test_auto_is_bf16_on_a_cpu_with_matrix_units_for_it(monkeypatch, units, precision):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": units})
    assert usable_precision("auto", "cpu") == precision
    assert usable_precision("auto", "mps") == "float32"
    assert usable_precision("bf16", "cpu") == "bf16"  # asked for


def test_every_sign_of_memory_running_out_is_known_and_nothing_else():
    assert all(is_out_of_memory(error) for error in OUT_OF_MEMORY)
    assert not is_out_of_memory(ValueError("out of memory is said by no ValueError"))
    assert not is_out_of_memory(RuntimeError("size mismatch"))
