import numpy as np
import pytest
import recbole.data.dataset
from small import SMALL, small_config, write_codes, write_inter
from recbole.data import data_preparation

from recbole_vqrec import provenance, quick_start
from recbole_vqrec.cli.item_codes import encode
from recbole_vqrec.config import stage_options
from recbole_vqrec.defaults import read_props
from recbole_vqrec.data.dataset import SequenceDataset, create_dataset
from recbole_vqrec.data.item_code_table import codes_name, encode_command
from recbole_vqrec.data.item_datasets import ItemCodesDataset
from recbole_vqrec.errors import VQRecError
from recbole_vqrec.quantization.item_codes import ItemCodes


def test_prefix_rows_equal_recboles_own(tiny):
    config = small_config("SASRec")
    ours, stock = SequenceDataset(config), recbole.data.dataset.SequentialDataset(config)
    for mine, theirs in zip(ours.build(), stock.build()):
        mine.inter_feat.sort(by=["user_id", "item_length", "item_id"])
        theirs.inter_feat.sort(by=["user_id", "item_length", "item_id"])
        assert sorted(mine.inter_feat.columns) == sorted(theirs.inter_feat.columns)
        for column in mine.inter_feat.columns:
            assert (mine.inter_feat[column] == theirs.inter_feat[column]).all(), column


def test_order_is_user_time_and_position_in_the_file(tmp_path):
    # 64 seconds apart and less: RecBole's 32-bit times cannot tell them, and equal times keep the file's order
    lines = ["u\tc\t1700000009", "u\ta\t1700000001", "u\tb\t1700000005", "u\td\t1700000009", "u\te\t1700000009"]
    folder = tmp_path / "dataset" / "times"
    folder.mkdir(parents=True)
    (folder / "times.inter").write_text("user_id:token\titem_id:token\ttimestamp:float\n" + "\n".join(lines) + "\n")
    dataset = SequenceDataset(small_config("SASRec", "times", topk=1, valid_metric="NDCG@1"))
    dataset.build()
    row = dataset.inter_feat[len(dataset.inter_feat) - 1]
    items = [*row["item_id_list"].tolist()[: int(row["item_length"])], int(row["item_id"])]
    assert [dataset.field2id_token["item_id"][item] for item in items] == ["a", "b", "c", "d", "e"]


def test_equal_times_keep_their_order_where_duplicates_go(tmp_path):
    draw = np.random.default_rng(0)
    sequences = {f"u{user}": draw.permutation([f"i{item}" for item in range(12)]).tolist() for user in range(20)}
    lines = [f"{user}\t{item}\t{place // 3}" for user, items in sequences.items() for place, item in enumerate(items)]
    folder = tmp_path / "dataset" / "times"
    folder.mkdir(parents=True)
    (folder / "times.inter").write_text("user_id:token\titem_id:token\ttimestamp:float\n" + "\n".join(lines) + "\n")
    dataset = SequenceDataset(small_config("SASRec", "times", rm_dup_inter="first"))
    test = dataset.build()[2].inter_feat
    last = dict(zip(dataset.field2id_token["user_id"][test["user_id"]], dataset.field2id_token["item_id"][test["item_id"]]))
    assert last == {user: items[-1] for user, items in sequences.items()}


@pytest.mark.parametrize(
    "options, message",
    [
        ({"user_inter_num_interval": "[1000,inf)"}, "tiny: Some feat is empty.*; see the options that choose"),
        ({"eval_args": {"split": {"LS": "foo"}}}, "tiny: .*; see eval_args"),
        ({"clip_grad_norm": 5}, "clip_grad_norm: 5, expected a mapping"),
        ({"eval_step": "two"}, "eval_step: 'two', expected a whole number"),
        ({"weight_decay": -1}, "weight_decay: -1, expected a number of at least 0"),
        ({"learner": "adma"}, "learner: 'adma' is none of adam, .* did you mean 'adam'"),
        ({"enable_amp": True}, "enable_amp: .* set precision: bfloat16"),
    ],
)
def test_options_of_recbole_that_cannot_be(tiny, options, message):
    with pytest.raises(VQRecError, match=message):
        quick_start.run("SASRec", "tiny", None, {**SMALL, "state": "ERROR", **options})


def test_rows_are_cut_to_the_longest_of_the_batch(tiny):
    _, valid, _ = create_dataset(small_config()).build()
    lengths = valid.inter_feat["item_length"].tolist()
    assert lengths == sorted(lengths)  # evaluation rows of like length lie together
    assert valid[np.array([0, 1])]["item_id_list"].shape[1] == max(lengths[:2])
    stock_rows = create_dataset(small_config(training_batches="stock_rows")).build()[1]
    assert stock_rows[np.array([0, 1])]["item_id_list"].shape[1] == 5


def test_evaluation_batches_shrink_where_all_scores_would_not_fit(tiny, monkeypatch):
    monkeypatch.setattr("recbole_vqrec.data.dataset.LARGEST_SCORE_MATRIX", 50)
    config = small_config()
    _, valid, _ = data_preparation(config, create_dataset(config))
    assert valid.step == 50 // 13


def test_item_codes_are_matched_by_item_id(tiny):
    config = small_config()
    dataset = ItemCodesDataset(config)
    drawn = np.random.default_rng(0).integers(0, 8, size=(12, 4))
    for token, internal in dataset.field2token_id["item_id"].items():
        expected = [0] * 4 if token == "[PAD]" else [1 + k * 8 + drawn[int(token[1:]), k] for k in range(4)]
        assert dataset.item_codes[internal].tolist() == expected


def test_pre_split_prefix_rows_are_found_and_cut_to_the_latest_items(tmp_path):
    folder = tmp_path / "dataset" / "split"
    folder.mkdir(parents=True)
    header = "user_id:token\titem_id_list:token_seq\titem_id:token\n"
    (folder / "split.train.inter").write_text(header + "0\t1 2 3 4 5 6 7\t8\n0\t1\t2\n")
    (folder / "split.valid.inter").write_text(header + "0\t1 2\t9\n")
    (folder / "split.test.inter").write_text(header + "0\t1 2 9\t1\n")
    dataset = SequenceDataset(small_config("SASRec", "split", topk=1, valid_metric="NDCG@1"))
    train, valid, test = dataset.build()
    tokens = dataset.field2id_token["item_id"]
    assert [tokens[item] for item in train.inter_feat["item_id_list"][0].tolist()] == ["3", "4", "5", "6", "7"]
    assert [len(part) for part in (train, valid, test)] == [2, 1, 1]


@pytest.mark.parametrize(
    "content, message",
    [
        ("u\ti\t1\nu\tj\ttomorrow\n", r"bad.inter line 3: timestamp is 'tomorrow', expected a number"),
        ("u\ti\t1\nu\tj\t\n", r"bad.inter line 3: timestamp is missing"),
        ("u\ti\t1\nu\t\t2\n", r"bad.inter line 3: item_id is missing"),
        ("u\ti\t1\nu\ti\t1\t9\n", r"bad.inter line 3: 4 fields, the header has 3"),
        ("u\ti\t1\t9\nu\tj\t2\t9\n", r"bad.inter line 2: 4 fields, the header has 3"),
    ],
)
def test_bad_interaction_lines_are_named(tmp_path, content, message):
    folder = tmp_path / "dataset" / "bad"
    folder.mkdir(parents=True)
    (folder / "bad.inter").write_text("user_id:token\titem_id:token\ttimestamp:float\n" + content)
    with pytest.raises(VQRecError, match=message):
        SequenceDataset(small_config("SASRec", "bad"))


def test_missing_data_is_named(tmp_path):
    with pytest.raises(VQRecError, match="dataset/none: data set folder not found"):
        SequenceDataset(small_config("SASRec", "none"))
    (tmp_path / "dataset" / "none").mkdir(parents=True)
    with pytest.raises(VQRecError, match="none.inter: interaction file not found"):
        SequenceDataset(small_config("SASRec", "none"))


def test_a_column_left_out_by_load_col_is_named(tiny):
    with pytest.raises(VQRecError, match=r"load_col: .* lacks timestamp; say load_col: {inter: \[user_id, item_id, time"):
        create_dataset(small_config(load_col={"inter": ["user_id", "item_id"]}))
    with pytest.raises(VQRecError, match="load_col: .* lacks user_id, item_id, timestamp; say load_col"):
        create_dataset(small_config(load_col={"item": ["item_id"]}))


def test_a_quote_that_swallows_lines(tmp_path):
    write_inter(tmp_path / "dataset" / "bad", "bad", {'"u': ["a"], "v": ["a", "b"], 'w"': ["c"], "x": ["a", "b", "c"]})
    with pytest.raises(VQRecError, match="bad.inter line 2: the quote that opens user_id swallows what follows"):
        SequenceDataset(small_config("SASRec", "bad"))


def test_missing_codes_say_how_to_make_them_and_which_there_are(tiny):
    with pytest.raises(VQRecError, match="encode --dataset tiny.*there are tiny.small.codes.safetensors"):
        ItemCodesDataset(small_config(item_codes=None))


def test_the_command_that_makes_missing_codes_makes_those_that_were_looked_for(tiny):
    chosen = {"plm": "package:some", "codebooks": 8, "codes_per_codebook": 16, "whiten": 64, "reuse_quantizer": "other"}
    config = small_config(item_codes=None, **chosen)
    command = encode_command("tiny", config)
    assert command == (
        "recbole-vqrec encode --dataset tiny --plm package:some --codebooks 8 --codes-per-codebook 16 --whiten 64 "
        "--reuse-quantizer other"
    )
    given = encode.make_context("encode", command.split()[2:]).params
    options = stage_options(None, {name: given[name] for name in (*chosen, "quantizer")})
    assert codes_name(options) == codes_name(config)
    assert encode_command("tiny", read_props("item_codes.yaml")) == "recbole-vqrec encode --dataset tiny"


@pytest.mark.parametrize("given, told", [
    ({}, None),
    ({"rm_dup_inter": "first"}, "holds out others (rm_dup_inter)"),
    ({"user_inter_num_interval": "[3,inf)"}, "holds out others (user_inter_num_interval)"),
    ({"eval_args": {"split": {"RS": [0.8, 0.1, 0.1]}}}, "holds out others (eval_args split"),
])  # fmt: skip
def test_codes_learned_on_another_split_are_told(tiny, caplog, given, told):
    codes = ItemCodes.load(tiny / "tiny.small.codes.safetensors", "")
    ItemCodes(codes.item_ids, codes.codes, 8, {**codes.manifest, "training_items": 12}).save(
        tiny / "tiny.small.codes.safetensors"
    )
    with caplog.at_level("WARNING"):
        ItemCodesDataset(small_config(**given))
    said = [line for line in caplog.messages if "learned on all but the last two" in line]
    assert (told is None) == (not said) and all(told in line for line in said)


def test_codes_of_other_items_name_the_missing(tiny):
    write_codes(tiny, "tiny", [f"i{number}" for number in range(1, 12)])
    with pytest.raises(VQRecError, match=r"lacks 1 of 12 items of the data set \(i0\)"):
        ItemCodesDataset(small_config())


@pytest.mark.parametrize("layout", [{"codebooks": 8}, {"codes_per_codebook": 16}])
def test_codes_of_another_layout_say_what_to_set(tiny, layout):
    with pytest.raises(VQRecError, match="has 4 codebooks of 8 codes.*set codebooks: 4"):
        ItemCodesDataset(small_config(**layout))


def test_stale_codes_are_refused(tiny):
    from recbole_vqrec.quantization.item_codes import ItemCodes

    path = tiny / "tiny.small.codes.safetensors"
    codes = ItemCodes.load(path, "")
    manifest = {"inputs": provenance.fingerprints(tiny / "tiny.item")}
    ItemCodes(codes.item_ids, codes.codes, 8, manifest).save(path)
    ItemCodesDataset(small_config())
    (tiny / "tiny.item").write_text("item_id:token\ttitle:token_seq\ni0\tother\n")
    with pytest.raises(VQRecError, match="out of date, tiny.item changed after it was made; run 'recbole-vqrec encode"):
        ItemCodesDataset(small_config())


def test_a_corrupted_code_file_is_one_line(tiny):
    path = tiny / "tiny.small.codes.safetensors"
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(VQRecError, match="damaged or of another program; run 'recbole-vqrec encode"):
        ItemCodesDataset(small_config())


def test_a_user_of_one_or_two_interactions_is_no_error(tmp_path):
    folder = tmp_path / "dataset" / "short"
    write_inter(folder, "short", {"a": ["x"], "b": ["x", "y"], "c": ["x", "y", "z", "x", "y"]})
    parts = SequenceDataset(small_config("SASRec", "short", topk=1, valid_metric="NDCG@1")).build()
    assert [len(part) for part in parts] == [3, 1, 1]


def test_more_items_asked_for_than_there_are(tiny):
    with pytest.raises(VQRecError, match="topk: 50 of only 12 items in tiny"):
        create_dataset(small_config(topk=[10, 50])).build()


def test_the_weight_of_items_of_the_history_is_counted_in_training(tmp_path):
    # training, without the last two of each user: a -> b, ab -> c, abc -> a (in its history), e -> d
    write_inter(tmp_path / "again", "again", {"u": [*"abca", "x", "y"], "v": [*"ed", "x", "y"]})
    config = small_config("SASRec", "again", data_path=str(tmp_path), seen_weight="auto", topk=[2], valid_metric="NDCG@2")
    train, _, _ = create_dataset(config).build()
    assert len(train) == 4 and config["seen_weight"] == round(np.log(1.5 / 3.5), 2)
    write_inter(tmp_path / "often", "often", {"u": [*"abababab", "x", "y"]})
    config = small_config("SASRec", "often", data_path=str(tmp_path), seen_weight="auto", topk=[2], valid_metric="NDCG@2")
    create_dataset(config).build()
    assert config["seen_weight"] == 0  # most are repeats, so the encoder is left alone


HEADER = "user_id:token\titem_id:token\ttimestamp:float\n"


@pytest.mark.parametrize(
    "content, message",
    [
        ("", "line 1: column '' has no type; expected a header such as"),
        (HEADER, "x.inter: has a header and no interactions"),
        ("\ufeff" + HEADER + "u\ti\t1\n", "x.inter: begins with a byte order mark"),
        ("user_id\titem_id\ttimestamp\nu\ti\t1\n", "line 1: column 'user_id' has no type"),
        ("user_id:token\titem_id:token\nu\ti\n", "line 1: has no column timestamp"),
        (HEADER + "u\ti\t1\nv\tj\t2\n", "x: nothing to train on; users of three interactions are needed"),
        (HEADER + "u\ti\t1\nu\tj\t2\n", "x: nothing to validate on; users of three"),
    ],
)
def test_files_that_nothing_can_be_learned_from(tmp_path, content, message):
    folder = tmp_path / "dataset" / "x"
    folder.mkdir(parents=True)
    (folder / "x.inter").write_text(content, encoding="utf-8")
    with pytest.raises(VQRecError, match=message):
        data_preparation(config := small_config("SASRec", "x", topk=[1], valid_metric="NDCG@1"), create_dataset(config))


@pytest.mark.parametrize("mode", ["uni5", "pop5"])
def test_sampled_candidates_are_ranked_as_recbole_does(tiny, mode):
    result = quick_start.run("SASRec", "tiny", None, {**SMALL, "eval_args": {"mode": mode}, "state": "ERROR"})
    assert result["test_result"]["recall@10"] == 1  # of a target and five others
