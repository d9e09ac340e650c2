"""Records of a run's log, written and read."""

import pytest

from sagan.runs.log import append_records, read_lines, read_records


def test_records_come_back_in_order_and_a_torn_line_is_left_out(tmp_path):
    path = tmp_path / "log.jsonl"
    append_records(path, {"step": 1}, {"step": 2, "name": "γ"})
    append_records(path, {"step": 3})
    with open(path, "a") as file:
        file.write('{"step": 4')
    assert list(read_records(path)) == [{"step": 1}, {"step": 2, "name": "γ"}, {"step": 3}]


@pytest.mark.parametrize(
    "damaged",
    [
        {"kind": "attention", "step": 1, "images": 64, "layerz": []},
        {"kind": "attention", "step": 1, "images": 64, "layers": [{"network": "G"}]},
        {"kind": "score", "step": 1, "images": 64, "metric": "cas", "value": 0.5, "bettes": "x"},
        {"kind": "train", "step": 1, "images": "64"},
        {"kind": ["train"], "step": 1, "images": 64},
        {"metric": "cas", "title": "CAS", "better": "higher", "value": 0.5, "n_seal": 3},
    ],
)
def test_a_damaged_record_that_is_still_json_is_a_broken_line(tmp_path, damaged):
    path = tmp_path / "log.jsonl"
    append_records(path, {"step": 1}, damaged, {"kind": "unknown", "step": 2})
    assert [record for _, record in read_lines(path)] == [
        {"step": 1},
        None,
        {"kind": "unknown", "step": 2},
    ]


def test_a_missing_log_is_empty(tmp_path):
    assert list(read_records(tmp_path / "none")) == []
