"""Which files count as the data of a run."""

import os
from pathlib import Path

import pytest
from click.testing import CliRunner
from small import write_codes, write_inter, write_vectors
from small_comparison import OPTIONS, small_compare

from recbole_vqrec.cli import main
from recbole_vqrec.comparison.compare import compare
from recbole_vqrec.errors import VQRecError


def test_a_run_on_data_that_have_changed_is_refused(tiny, in_process):
    small_compare(["VQRec", "SASRec"])
    codes, inter = tiny / "tiny.small.codes.safetensors", tiny / "tiny.inter"
    before = codes.read_bytes()
    write_codes(tiny, "tiny", [f"i{number}" for number in range(11, -1, -1)])
    with pytest.raises(VQRecError, match="VQRec/seed-2020: was run on other data, tiny.small.codes.safetensors changed"):
        small_compare(["VQRec", "SASRec"])
    codes.write_bytes(before)
    lines = inter.read_text().splitlines(keepends=True)
    inter.write_text("".join(lines[:-1]))
    with pytest.raises(VQRecError, match="SASRec/seed-2020: was run on other data, tiny.inter changed since; delete"):
        small_compare(["SASRec"])
    inter.write_text("".join(lines))
    small_compare(["VQRec", "SASRec"])
    assert len(in_process) == 2


def test_files_that_a_run_reads_by_its_options_count_as_its_data(tiny, in_process):
    items = [f"i{number}" for number in range(12)]
    write_vectors(tiny, "tiny", items)
    codes = tiny.parent / "elsewhere.codes.safetensors"
    codes.write_bytes(write_codes(tiny, "tiny", items).read_bytes())
    small_compare(["SASRec"], text_similarity_weight=1, plm="bert-base-uncased")
    write_vectors(tiny, "tiny", items, seed=1)
    with pytest.raises(VQRecError, match="run on other data, tiny.bert-base-uncased.emb.safetensors changed"):
        small_compare(["SASRec"], text_similarity_weight=1, plm="bert-base-uncased")
    small_compare(["VQRec"], item_codes=str(codes))
    codes.write_bytes(write_codes(tiny, "tiny", items[::-1]).read_bytes())
    with pytest.raises(VQRecError, match="run on other data, /.*elsewhere.codes.safetensors changed"):
        small_compare(["VQRec"], item_codes=str(codes))


def test_files_of_domains_count_as_data_of_their_mix(tiny, in_process):
    items = [f"i{number}" for number in range(12)]
    sequences = {f"u{user}": items[user % 6 :][:6] for user in range(12)}
    for name in ("A", "B"):
        write_inter(tiny.parent / name, name, sequences)
        lines = [f"{item}\t{item}" for item in items]
        (tiny.parent / name / f"{name}.item").write_text("\n".join(["item_id:token\ttitle:token_seq", *lines]) + "\n")
        write_codes(tiny.parent / name, name, items, codes="small.opq4x8")
    merged = CliRunner().invoke(main, ["merge", "--datasets", "A,B", "--name", "AB"])
    assert merged.exit_code == 0, merged.output
    options, said = {**OPTIONS, "item_codes": None, "plm": "small"}, []
    compare(["AB"], ["VQRec"], "out", options=options, say=said.append)
    write_codes(tiny.parent / "B", "B", items[::-1], codes="small.opq4x8")
    with pytest.raises(VQRecError, match="was run on other data, /.*B.small.opq4x8.codes.safetensors changed since"):
        compare(["AB"], ["VQRec"], "out", options=options, say=said.append)


def test_a_file_written_while_a_run_reads_it(tiny, in_process, monkeypatch):
    from recbole_vqrec import quick_start

    train = quick_start.run

    def changed(*args):
        result = train(*args)
        os.utime(tiny / "tiny.inter")
        return result

    monkeypatch.setattr(quick_start, "run", changed)
    _, said = small_compare(["SASRec"])
    assert any("tiny.inter: written while the run was reading it; run again" in line for line in said)
    assert not Path("out/tiny/SASRec/seed-2020").exists()
