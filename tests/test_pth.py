"""Reading .pth files: weights and plain values, both formats, and nothing that runs."""

import pickle
import zipfile

import pytest
import torch
from canary import Canary

from sagan.pth import read_pth

WEIGHTS = {"a.weight": torch.arange(6.0).reshape(2, 3), "step": 7, "nested": {"b": torch.ones(2)}}


@pytest.mark.parametrize("zipped", [True, False])
def test_reads_what_torch_saved(tmp_path, zipped):
    file = tmp_path / "w.pth"
    torch.save(WEIGHTS, file, _use_new_zipfile_serialization=zipped)
    found = read_pth(file)
    assert torch.equal(found["a.weight"], WEIGHTS["a.weight"])
    assert found["step"] == 7
    assert torch.equal(found["nested"]["b"], torch.ones(2))


@pytest.mark.parametrize("form", ["zip", "stream", "bare"])
@pytest.mark.fault(29)
def test_code_in_a_file_does_not_run(tmp_path, form):
    file, mark = tmp_path / "evil.pth", tmp_path / "ran"
    content = {"a": torch.ones(1), "b": Canary(mark)}
    if form == "bare":
        file.write_bytes(pickle.dumps({"b": Canary(mark)}))
    else:
        torch.save(content, file, _use_new_zipfile_serialization=form == "zip")
    with pytest.raises(ValueError, match=r"evil\.pth (holds .*mkdir|is not a)") as caught:
        read_pth(file)
    assert "\n" not in str(caught.value)
    assert not mark.exists()


@pytest.mark.parametrize("content", [b"", b"PK", b"\x80\x02.", b"text", bytes(4096)])
def test_what_is_no_checkpoint_is_refused(tmp_path, content):
    file = tmp_path / "no.pth"
    file.write_bytes(content)
    with pytest.raises(ValueError, match=r"no\.pth"):
        read_pth(file)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_cut_file_is_refused_wherever_it_is_cut(tmp_path, zipped):
    file = tmp_path / "w.pth"
    torch.save(WEIGHTS, file, _use_new_zipfile_serialization=zipped)
    whole = file.read_bytes()
    for length in range(0, len(whole) - 1, 97):
        file.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"w\.pth"):
            read_pth(file)


@pytest.mark.fault(29)
def test_weights_that_claim_more_than_the_file_are_refused(tmp_path):
    file = tmp_path / "huge.pth"
    torch.save({"a": torch.zeros(1).expand(1 << 20, 1 << 10)}, file)
    with pytest.raises(ValueError, match="claims 4,294,967,296 bytes"):
        read_pth(file)


@pytest.mark.fault(29)
def test_a_compressed_bomb_is_refused(tmp_path):
    file = tmp_path / "bomb.pth"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(8 << 20))
    with pytest.raises(ValueError, match="claims more"):
        read_pth(file)


def test_a_list_is_no_state(tmp_path):
    file = tmp_path / "list.pth"
    torch.save([torch.ones(1)], file)
    with pytest.raises(ValueError, match="holds a list"):
        read_pth(file)


def test_a_tensor_under_two_names_is_fine(tmp_path):
    file, shared = tmp_path / "tied.pth", torch.ones(1 << 20)
    torch.save({"a": shared, "b": shared}, file)
    assert len(read_pth(file)) == 2
