"""The recorded networks' checkpoints, as the peers' training saves them."""

import json
from pathlib import Path

import torch
from peer_weights import weights

EXPECTED = {
    file.stem: json.loads(file.read_text())
    for file in sorted((Path(__file__).parent / "peers/expected").glob("*.json"))
}
WRAPPED = {
    "heykeetae": lambda state: state,
    "biggan": lambda state: state,
    "studiogan": lambda state: {"state_dict": state, "optimizer": {}, "step": 7},
    "mimicry": lambda state: {"model_state_dict": state, "global_step": 7},
}


def peer_state(peer, name, network):
    """The rule's weights for the names and shapes of a recorded G or D."""
    shapes = EXPECTED[peer][name][network]
    return weights({key: tuple(shape) for key, shape in shapes.items()})


def peer_files(peer, name, folder):
    """Write a recorded network's checkpoint into a folder, and give its files."""
    G, D = peer_state(peer, name, "G"), peer_state(peer, name, "D")
    if peer == "mmgen":
        both = {f"generator.{k}": v for k, v in G.items()}
        both |= {f"discriminator.{k}": v for k, v in D.items()}
        options = EXPECTED[peer][name]["options"]
        notes = f"init_cfg = dict(type='{options['init_cfg']}')\n"
        notes += f"act_cfg=dict(type='ReLU', inplace={options['act_cfg'].get('inplace', False)})"
        for constant in {"norm_eps", "sn_eps"} & options.keys():
            notes += f"\n{constant}={options[constant]},"
        torch.save({"meta": {"config": notes}, "state_dict": both}, folder / "iter_7.pth")
        return [folder / "iter_7.pth"]
    for letter, content in (("G", G), ("D", D)):
        torch.save(WRAPPED[peer](content), folder / f"{letter}.pth")
    return [folder / "D.pth", folder / "G.pth"]
