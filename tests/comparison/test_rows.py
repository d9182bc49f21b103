"""Rows of a table: their names, models and options."""

import pytest
from click.testing import CliRunner
from small_comparison import OPTIONS

from recbole_vqrec.cli import main
from recbole_vqrec.comparison.compare import compare
from recbole_vqrec.comparison.rows import read_rows
from recbole_vqrec.comparison.runs import finished_runs
from recbole_vqrec.errors import VQRecError


@pytest.mark.parametrize("name", ["VQRec w/o text", "..", " VQRec"])
def test_a_row_is_named_as_a_folder_can_be(tiny, name):
    with pytest.raises(VQRecError, match="a row's name is that of its folder"):
        compare(["tiny"], [name], "out", rows={name: {"model": "VQRec"}})


def test_a_row_names_its_model(tiny):
    with pytest.raises(VQRecError, match="row 'mine': model: .'VQRec'., expected the name of a model"):
        compare(["tiny"], ["mine"], "out", rows={"mine": {"model": ["VQRec"]}})


@pytest.mark.parametrize("option", ["seed", "dataset", "gpu_id"])
def test_a_row_does_not_say_what_the_table_says(tiny, option):
    with pytest.raises(VQRecError, match=f"row 'mine': {option}: not for all runs of a table"):
        compare(["tiny"], ["mine"], "out", rows={"mine": {"model": "VQRec", option: 1}})


def test_rows_of_a_file_are_models_with_options_of_their_own(tiny, in_process, tmp_path):
    (tmp_path / "rows.yaml").write_text("Small VQRec: {model: VQRec, learning_rate: 1e-2}\n")
    arguments = [f"--{name}={value}" for name, value in OPTIONS.items()]
    command = ["compare", "--datasets", "tiny", "--models", "Small VQRec", "--out", "out", "--rows", "rows.yaml"]
    result = CliRunner().invoke(main, [*command, *arguments])
    assert result.exit_code == 0, result.output
    ((_, row, _, stored),) = finished_runs("out")
    assert row == "Small VQRec" and stored["model"] == "VQRec" and stored["run_options"]["learning_rate"] == 0.01
    (tmp_path / "rows.yaml").write_text("Small VQRec: {model: VQRec, learning_rate: 1e-2}\nOther: {model: VQRec}\n")
    assert "not in --models, so not run: Other" in CliRunner().invoke(main, [*command, *arguments]).output
    (tmp_path / "rows.yaml").write_text("Small, VQRec: {model: VQRec}\n")
    result = CliRunner().invoke(main, [*command, *arguments])
    assert result.exit_code == 2 and "row 'Small, VQRec': a comma stands between rows" in result.output
    (tmp_path / "rows.yaml").write_text("- VQRec\n")
    result = CliRunner().invoke(main, [*command, *arguments])
    assert result.exit_code == 2 and "expected lines of 'row name:" in result.output


def test_a_file_that_is_not_utf_8(tmp_path):
    (tmp_path / "rows.yaml").write_bytes("Größe: {model: VQRec}\n".encode("latin-1"))
    with pytest.raises(VQRecError, match="rows.yaml: not valid yaml .*utf-8"):
        read_rows(tmp_path / "rows.yaml")


def test_a_name_with_a_dot_is_no_model(tiny):
    with pytest.raises(VQRecError, match="unknown model 'SASRec 0.2', did you mean 'SASRec'"):
        compare(["tiny"], ["SASRec 0.2"], "out", rows={"SASRec 0.2": {"hidden_dropout_prob": 0.2}})
