"""Imported networks give the outputs that their own code gave, recorded once by record.py."""

import pytest
import torch
from peer_checkpoint import EXPECTED, peer_files
from peer_weights import digest, inputs

from sagan.nn import record_attention
from sagan.peers import import_run
from sagan.runs.open_run import load_discriminator, load_run_generator

CASES = [(peer, name) for peer, cases in EXPECTED.items() for name in cases]


def far(found, expected, least):
    """How far a digest is from the recorded one, over max(least, |it|)."""
    assert found["shape"] == expected["shape"]
    return max(
        abs(a - b) / max(least, abs(b))
        for a, b in zip(
            (*found["values"], found["mean"], found["signed_mean"]),
            (*expected["values"], expected["mean"], expected["signed_mean"]),
            strict=True,
        )
    )


@pytest.mark.parametrize(("peer", "name"), CASES, ids=lambda value: str(value))
@torch.no_grad()
def test_outputs_are_the_peers_own(tmp_path, peer, name, record_property):
    case = EXPECTED[peer][name]
    made = import_run(peer_files(peer, name, tmp_path), tmp_path / "run")
    assert (made.peer, made.discriminator) == (peer, True)
    z, y, x = inputs(case["latent_dim"], case["classes"], 3, case["side"])
    generator, discriminator = (
        load_run_generator(tmp_path / "run"),
        load_discriminator(tmp_path / "run"),
    )
    with record_attention(generator) as g_maps, record_attention(discriminator) as d_maps:
        found = {"images": generator(z, y), "logits": discriminator(x, y)}
    for letter, maps in (("G", g_maps), ("D", d_maps)):
        found |= {f"{letter} map {i}": m.weights for i, m in enumerate(maps.values())}
    if peer == "mmgen":
        found["images"] = found["images"].flip(1)  # theirs are BGR
        found["logits"] = discriminator(x.flip(1), y)
    for output, expected in case["outputs"].items():
        tolerance = 2e-5 if output == "logits" else 1e-5
        error = far(digest(found[output]), expected, 1.0)
        print(peer, name, output, f"{error:.1e}")
        assert error <= tolerance, (output, error)


def test_every_kind_of_network_that_a_sagan_option_describes_is_recorded():
    """By peer, side and conditional or not; what is not here its code cannot make."""
    recorded = {
        (peer, case["side"], case["classes"] > 0)
        for peer, cases in EXPECTED.items()
        for name, case in cases.items()
        if peer != "mimicry" or "sagan" in name
    }
    assert recorded == {
        ("heykeetae", 64, False),
        *(("biggan", side, True) for side in (32, 64, 128, 256)),
        *(("studiogan", side, True) for side in (32, 64, 128, 256)),
        *(("studiogan", side, False) for side in (32, 64, 128)),
        *(("mimicry", side, True) for side in (32, 128)),
        *(("mmgen", side, conditional) for side in (32, 64, 128) for conditional in (True, False)),
    }


def test_outputs_are_not_all_the_same():
    for peer, name in CASES:
        outputs = EXPECTED[peer][name]["outputs"]
        images = torch.tensor(outputs["images"]["values"])
        assert images.std() > 0.05, (peer, name)
        assert images.abs().max() < 0.99975, (peer, name)
        a, b = outputs["logits"]["values"]
        assert abs(a - b) > 0.005, (peer, name)
