"""Records of a run's log, written and read."""

from sagan.runs.log import append_records, read_records


def test_records_come_back_in_order_and_a_torn_line_is_left_out(tmp_path):
    path = tmp_path / "log.jsonl"
    append_records(path, {"step": 1}, {"step": 2, "name": "γ"})
    append_records(path, {"step": 3})
    with open(path, "a") as file:
        file.write('{"step": 4')
    assert list(read_records(path)) == [{"step": 1}, {"step": 2, "name": "γ"}, {"step": 3}]


def test_a_missing_log_is_empty(tmp_path):
    assert list(read_records(tmp_path / "none")) == []
