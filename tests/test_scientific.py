"""The authors' Scientific files, where they are present: layout, counts, and all positions instead of prefix rows."""

import gzip

import pytest
from small import shared_data, small_config
from recbole.data import data_preparation

from recbole_vqrec.config import stage_options
from recbole_vqrec.data.batches import SequenceBatches
from recbole_vqrec.data.dataset import create_dataset
from recbole_vqrec.quantization.import_index import import_index


@pytest.fixture
def scientific(tmp_path):
    source, folder = shared_data("scientific"), tmp_path / "dataset" / "Scientific"
    folder.mkdir(parents=True)
    for name in ("train.inter", "valid.inter", "test.inter", "text", "item2index"):
        (folder / f"Scientific.{name}").write_bytes(gzip.decompress((source / f"Scientific.{name}.gz").read_bytes()))
    index = source / "Scientific.OPQ32,IVF1,PQ32x8.strict.index"
    import_index(folder, "Scientific", index, stage_options(), "nearest-text")
    return folder


def test_published_files_load_and_train_on_all_positions(scientific):
    layout = {"codebooks": 32, "codes_per_codebook": 256, "item_codes": "published"}
    config = small_config(dataset="Scientific", MAX_ITEM_LIST_LENGTH=50, train_batch_size=2048, **layout)
    dataset = create_dataset(config)
    assert (dataset.user_num - 1, dataset.item_num - 1, dataset.inter_num) == (8442, 4385, 34101 + 2 * 8442)
    train, valid, test = data_preparation(config, dataset)
    assert (len(train.dataset), len(valid.dataset), len(test.dataset)) == (34101, 8442, 8442)
    batches = SequenceBatches(train, "all_positions", 2048, 65536)
    assert batches.sequences.targets.sum() == 34101
    assert len(batches.sequences) == 8479  # 8,442 users, and 37 rows whose history has slid beyond 50 items
    assert batches.lengths[batches.sequences.row].sum() < 36000  # tokens an epoch instead of 1,705,050
