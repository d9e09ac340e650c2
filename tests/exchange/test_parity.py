"""Imported networks give the outputs that their own code gave, recorded once by record.py."""

import json
from pathlib import Path

import pytest
import torch
from peer_weights import digest, inputs, weights

from sagan.exchange import import_run
from sagan.nn import record_attention
from sagan.sampling import load, load_discriminator

EXPECTED = {
    file.stem: json.loads(file.read_text())
    for file in sorted((Path(__file__).parent / "expected").glob("*.json"))
}
CASES = [(peer, name) for peer, cases in EXPECTED.items() for name in cases]
WRAPPED = {  # as each training script saves
    "heykeetae": lambda state: state,
    "biggan": lambda state: state,
    "studiogan": lambda state: {"state_dict": state, "optimizer": {}, "step": 7},
    "mimicry": lambda state: {"model_state_dict": state, "global_step": 7},
}


def state(case, network):
    """The rule's weights for the network's recorded names and shapes."""
    return weights({key: tuple(shape) for key, shape in case[network].items()})


def files(peer, case, folder):
    """Write a case's checkpoint as its training script does."""
    G, D = state(case, "G"), state(case, "D")
    if peer == "mmgen":
        both = {f"generator.{k}": v for k, v in G.items()}
        both |= {f"discriminator.{k}": v for k, v in D.items()}
        options = case["options"]
        notes = f"init_cfg = dict(type='{options['init_cfg']}')\n"
        notes += f"act_cfg=dict(type='ReLU', inplace={options['act_cfg'].get('inplace', False)})"
        for constant in {"norm_eps", "sn_eps"} & options.keys():
            notes += f"\n{constant}={options[constant]},"
        torch.save({"meta": {"config": notes}, "state_dict": both}, folder / "iter_7.pth")
        return [folder / "iter_7.pth"]
    for name, content in (("G", G), ("D", D)):
        torch.save(WRAPPED[peer](content), folder / f"{name}.pth")
    return [folder / "D.pth", folder / "G.pth"]


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
    made = import_run(files(peer, case, tmp_path), tmp_path / "run")
    assert (made.peer, made.discriminator) == (peer, True)
    z, y, x = inputs(case["latent_dim"], case["classes"], 3, case["side"])
    generator, discriminator = load(tmp_path / "run"), load_discriminator(tmp_path / "run")
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


def test_every_side_is_recorded_of_every_peer():
    sides = {peer: {case["side"] for case in cases.values()} for peer, cases in EXPECTED.items()}
    assert sides.pop("heykeetae") == {64}  # its code runs at no other
    assert set(sides) == {"biggan", "mimicry", "mmgen", "studiogan"}
    assert all(found == {32, 64, 128} for found in sides.values())
    conditional = {case["classes"] > 0 for cases in EXPECTED.values() for case in cases.values()}
    assert conditional == {True, False}


def test_outputs_are_not_all_the_same():
    for peer, name in CASES:
        outputs = EXPECTED[peer][name]["outputs"]
        images = torch.tensor(outputs["images"]["values"])
        assert images.std() > 0.05, (peer, name)
        assert images.abs().max() < 0.99975, (peer, name)
        a, b = outputs["logits"]["values"]
        assert abs(a - b) > 0.005, (peer, name)
