"""Mixes of domains (the pre-training layout) -> ours and back."""

import numpy as np
import pytest

import authors_files
from authors_files import FEATURES, HEADER, bring_in, lines, quantizer
from recbole_vqrec.config import stage_options
from recbole_vqrec.errors import VQRecError
from recbole_vqrec.interchange.export_unisrec import export_unisrec
from recbole_vqrec.quantization.item_codes import ItemCodes


def test_mix_of_domains_both_ways(tmp_path):
    source = authors_files.write_mix(tmp_path / "FT")
    bring_in(source, tmp_path / "out")
    folder = tmp_path / "out" / "FT"
    assert lines(folder / "FT.inter")[1:3] == ["Food-U1\tFood-X00A\t0", "Food-U1\tFood-B00B\t1"]
    assert lines(folder / "FT.inter")[14] == "Toys-U1\tToys-X00A\t0"
    assert lines(folder / "FT.item")[1] == "Food-B00E\tFood\tgreen paint"
    codes = ItemCodes.load(folder / "FT.published.codes.safetensors", "")
    np.testing.assert_array_equal(codes.codes, quantizer().encode(np.concatenate([FEATURES, FEATURES])))
    export_unisrec(folder, "FT", tmp_path / "back", stage_options())
    names = sorted(file.name for file in source.iterdir())
    assert {file.name for file in (tmp_path / "back").iterdir()} == {*names, "FT.export.json"}
    for name in names:
        assert (tmp_path / "back" / name).read_bytes() == (source / name).read_bytes(), name


MERGED = [
    "user_id:token\titem_id:token\ttimestamp:float",
    *["tea-u\ttea-b\t0", "tea-u\ttea-a\t1", "tea-u\ttea-b\t2", "tea-u\ttea-c\t3"],
    *(f"tea-pots-u\ttea-pots-{item}\t{time}" for time, item in enumerate("aaba")),
]
MERGED_ITEMS = [
    "item_id:token\tdomain:token\ttext:token_seq",
    *["tea-a\ttea\tgreen tea", "tea-b\ttea\tblack tea", "tea-c\ttea\tmint"],
    *["tea-pots-a\ttea-pots\tbig pot", "tea-pots-b\ttea-pots\tpot"],
]


def test_merged_data_set_gets_the_layout_of_a_mix(tmp_path):
    """Domains that are the beginning of each other's names, as `recbole-vqrec merge` makes them."""
    folder = tmp_path / "data" / "Mix"
    folder.mkdir(parents=True)
    (folder / "Mix.inter").write_text("\n".join(MERGED) + "\n")
    (folder / "Mix.item").write_text("\n".join(MERGED_ITEMS) + "\n")
    export_unisrec(folder, "Mix", tmp_path / "theirs", stage_options())
    assert lines(tmp_path / "theirs" / "Mix.pt_datasets") == ["tea,tea-pots"]
    assert lines(tmp_path / "theirs" / "Mix.train.inter") == [HEADER, "0-0\t0-0\t0-1", "1-0\t1-0\t1-0"]
    test = [HEADER, "0-0\t0-0 0-1 0-0\t0-2", "1-0\t1-0 1-0 1-1\t1-0"]
    assert lines(tmp_path / "theirs" / "Mix.test.inter") == test
    assert lines(tmp_path / "theirs" / "Mix.filtered_id") == ["0-0", "0-1", "1-0"]
    assert lines(tmp_path / "theirs" / "tea.item2index") == ["b\t0", "a\t1", "c\t2"]
    assert lines(tmp_path / "theirs" / "tea-pots.text") == ["item_id:token\ttext:token_seq", "a\tbig pot", "b\tpot"]
    bring_in(tmp_path / "theirs", tmp_path / "again")
    assert lines(tmp_path / "again" / "Mix" / "Mix.inter") == MERGED
    assert lines(tmp_path / "again" / "Mix" / "Mix.item") == MERGED_ITEMS
    (folder / "Mix.inter").write_text("\n".join([*MERGED, "cups-u\ttea-a\t0"]) + "\n")
    with pytest.raises(VQRecError, match="id 'cups-u' is of none of the domains tea, tea-pots"):
        export_unisrec(folder, "Mix", tmp_path / "other", stage_options())


def test_mix_with_numbers_as_ids(tmp_path):
    source = authors_files.write_mix(tmp_path / "FT")
    for file in source.glob("*2index"):
        file.unlink()
    bring_in(source, tmp_path / "out", ids="number")
    folder = tmp_path / "out" / "FT"
    assert lines(folder / "FT.inter")[14] == "1-0\t1-0\t0"
    export_unisrec(folder, "FT", tmp_path / "back", stage_options())
    for name in ("FT.train.inter", "FT.test.inter", "FT.filtered_id", f"FT.{authors_files.INDEX}", "Toys.feat1CLS"):
        assert (tmp_path / "back" / name).read_bytes() == (source / name).read_bytes(), name
    assert lines(tmp_path / "back" / "Toys.item2index") == ["0\t0", "1\t1", "2\t2", "3\t3", "4\t4"]
    (source / "FT.pt_datasets").unlink()
    with pytest.raises(VQRecError, match="unknown user number '0-0', expected a number .a mix of domains needs FT.pt"):
        bring_in(source, tmp_path / "other", ids="number")


def test_filtered_ids_must_be_the_training_items(tmp_path):
    source = authors_files.write_mix(tmp_path / "FT")
    (source / "FT.filtered_id").write_text("0-0\n0-1\n0-3\n")
    with pytest.raises(VQRecError, match="FT.filtered_id line 3: found '0-3', expected '0-2'"):
        bring_in(source, tmp_path / "out")
