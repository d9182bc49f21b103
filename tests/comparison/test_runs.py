"""What is in a run's folder, and when it may stand in a table."""

import json
import shutil
from pathlib import Path

import pytest
from small_comparison import small_compare

from recbole_vqrec.comparison.runs import finished_runs, read_result
from recbole_vqrec.errors import VQRecError


def test_runs_with_other_options_or_of_another_version_are_refused(tiny, in_process):
    small_compare(["VQRec"])
    with pytest.raises(VQRecError, match="run with other options .learning_rate: 0.001 there, 0.5 asked for"):
        small_compare(["VQRec"], learning_rate=0.5)
    path = "out/tiny/VQRec/seed-2020/result.json"
    stored = json.loads(open(path).read())
    open(path, "w").write(json.dumps({**stored, "format": 99}))
    with pytest.raises(VQRecError, match="result.json: format version 99, this program reads 2"):
        small_compare(["VQRec"])
    open(path, "w").write(json.dumps({"format": 2, "model": "VQRec"}))
    with pytest.raises(VQRecError, match="result.json: lacks inputs, options, run_options and 2 more; delete"):
        small_compare(["VQRec"])
    open(path, "w").write("[")
    with pytest.raises(VQRecError, match="not readable"):
        small_compare(["VQRec"])
    open(path, "w").write(json.dumps({**stored, "model": "FDSA", "options": {}}))  # of before there was that option
    assert read_result(path)["options"] == {"fusion_norm": False}
    Path(path).unlink()
    with pytest.raises(VQRecError, match="seed-2020: has no result.json, it is not a run's; delete the folder"):
        small_compare(["VQRec"])


def test_a_run_with_other_defaults_is_refused(tiny, in_process):
    """What was not given counts as well: another version of the program may have other defaults."""
    small_compare(["SASRec"])
    path = Path("out/tiny/SASRec/seed-2020/result.json")
    stored = json.loads(path.read_text())
    assert stored["options"]["learner"] == "adam" and "learner" not in stored["run_options"]
    stored["options"]["learner"] = "sgd"
    path.write_text(json.dumps(stored))
    with pytest.raises(VQRecError, match="run with other options .learner: sgd there, adam asked for"):
        small_compare(["SASRec"])


def test_an_option_given_as_its_default_is_the_same_run(tiny, in_process):
    small_compare(["SASRec"])
    small_compare(["SASRec"], learning_rate=0.001, weight_decay=0.0)
    assert in_process == ["seed-2020"]


def test_folders_that_are_no_runs_are_left_out(tiny, in_process):
    small_compare(["SASRec"])
    shutil.copytree("out/tiny/SASRec/seed-2020", "out/tiny/SASRec/seed-2020-old")
    small_compare(["SASRec"])
    assert [folder.name for _, _, folder, _ in finished_runs("out")] == ["seed-2020"]
