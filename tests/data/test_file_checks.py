"""What is said of bytes in an atomic file that are not in its encoding."""

import pytest
from small import small_config

from recbole_vqrec.data.dataset import SequenceDataset
from recbole_vqrec.errors import VQRecError
from recbole_vqrec.preprocess.atomic_files import read_table

HEADER = "user_id:token\titem_id:token\ttimestamp:float\n"


def read(tmp_path, lines, written_in, **options):
    folder = tmp_path / "dataset" / "bytes"
    folder.mkdir(parents=True)
    (folder / "bytes.inter").write_bytes((HEADER + lines).encode(written_in))
    return SequenceDataset(small_config("SASRec", "bytes", **options))


@pytest.mark.parametrize("before", [0, 10_000])
def test_a_byte_that_is_not_utf_8_is_named_with_its_line(tmp_path, before):
    lines = "u\ti\t1\n" * before + "u\tcaf\xe9\t2\nu\tj\t3\n"
    fault = rf"bytes\.inter line {before + 2}: is not utf-8 \(byte 0xe9, invalid continuation byte\)"
    with pytest.raises(VQRecError, match=f"{fault}; convert the file, or set encoding to the file's own$"):
        read(tmp_path, lines, "latin-1")


def test_a_byte_of_the_item_file_is_named_with_its_line(tmp_path):
    folder = tmp_path / "dataset" / "bytes"
    folder.mkdir(parents=True)
    (folder / "bytes.inter").write_text(HEADER + "u\ti\t1\n" * 3)
    (folder / "bytes.item").write_bytes("item_id:token\ttitle:token_seq\ni\tcaf\xe9\n".encode("latin-1"))
    fault = r"bytes\.item line 2: is not utf-8 \(byte 0xe9, .*\); convert the file"
    with pytest.raises(VQRecError, match=f"{fault}, or set encoding"):
        SequenceDataset(small_config("SASRec", "bytes", load_col={"inter": "*", "item": "*"}))
    with pytest.raises(VQRecError, match=f"{fault}$"):
        read_table(folder / "bytes.item", "")


def test_the_option_encoding_is_followed(tmp_path):
    dataset = read(tmp_path, "u\tcaf\xe9\t2\nu\tj\t3\n", "latin-1", encoding="latin-1")
    assert "caf\xe9" in dataset.field2id_token["item_id"]


def test_a_bad_line_is_explained_in_another_encoding(tmp_path):
    with pytest.raises(VQRecError, match="bytes.inter line 3: timestamp is 'tomorrow', expected a number"):
        read(tmp_path, "u\tcaf\xe9\t2\nu\tj\ttomorrow\n", "latin-1", encoding="latin-1")
