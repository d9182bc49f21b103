import dataclasses

import numpy as np
import pytest

from recbole_vqrec.errors import VQRecError
from recbole_vqrec.evaluation.user_ranks import UserRanks
from recbole_vqrec.report import comparison_tables as tables
from recbole_vqrec.report import rows as table_rows
from recbole_vqrec.report.metric_names import PAPER


def row(
    name, *above_of_seeds, dataset="Scientific", statistics=(8442, 4385, 59427), model=None, tested=PAPER,
    stage="train", preset="full", **options
):  # fmt: skip
    users, counts = ["a", "b", "c", "d"], np.array([0, 1, 2, 9])
    ranks = [UserRanks(users, np.array(above), np.zeros(4, int), counts) for above in above_of_seeds]
    result = {
        "model": model or name, "statistics": list(statistics), "parameters": 1000, "epochs": 2, "seconds": 5.0,
        "peak_memory": 3 * 2**20, "run_options": options, "test_result": dict.fromkeys(tested, 0.1), "stage": stage,
        "options": {**options, "preset": preset, "presets": {"full": {"load": ["*"]}, "scratch": {"load": []}}},
        "inputs": {}, "threads": 1,
    }  # fmt: skip
    return table_rows.Row(dataset, name, [dict(result) for _ in ranks], ranks)


BEST, SECOND, THIRD = [0, 0, 0, 99], [0, 0, 99, 99], [0, 99, 99, 99]


def test_main_table_marks_the_best_and_the_second():
    header, lines = tables.main_table([row("SASRec", THIRD), row("FDSA", SECOND), row("VQRec", BEST)])
    assert header == ["metric", "SASRec", "FDSA", "VQRec", "VQRec over best other model"]
    assert lines[0] == ["R@10", "0.2500", "<u>0.5000</u>", "**0.7500**", "+50.0%"]


def test_deviation_between_seeds():
    _, lines = tables.main_table([row("SASRec", THIRD, SECOND), row("VQRec", BEST, BEST)])
    assert lines[0] == ["R@10", "<u>0.3750</u> ± 0.1768", "**0.7500** ± 0.0000", "+100.0%"]


def test_published_numbers_beside_ours_only_for_the_papers_data():
    header, lines = tables.published_table([row("SASRec", THIRD), row("Caser", BEST), row("VQRec", BEST)])
    assert [line[0] for line in lines] == ["SASRec", "VQRec"]
    assert header[2:4] == ["R@10 here", "R@10 paper"] and lines[0][2:4] == ["0.2500", "0.1080"]
    assert lines[0][-1] == "4.52"
    assert tables.published_table([row("SASRec", THIRD, statistics=(8442, 4385, 1))])[1] == []


def test_published_numbers_are_of_the_same_kind_of_model():
    rows = [
        row("SASRec", THIRD, model="Caser"),
        row("UniSRec", THIRD),
        row("scratch", THIRD, model="VQRec"),
        row("tuned", BEST, model="VQRec", stage="finetune", preset="full"),
        row("same sizes", BEST, model="VQRec", stage="finetune", preset="scratch"),
    ]
    _, lines = tables.published_table(rows)
    assert [(line[0], line[1], line[3]) for line in lines] == [
        ("UniSRec", "paper only", "0.1188"),
        ("scratch", "no", "0.1104"),  # the paper's ablation without pre-training
        ("tuned", "here, paper", "0.1211"),
        ("same sizes", "no", "0.1104"),
    ]


def test_presets_of_ones_own_leave_the_others_as_they_are():
    own = {"mine": {"stages": []}, "loads": {"load": ["*"]}}
    for preset, expected in {"scratch": False, "full": True, "mine": False, "loads": True}.items():
        made = row("A", BEST, model="VQRec", stage="finetune", preset=preset)
        made.results[0]["options"]["presets"] = own
        assert made.pretrained is expected
    assert not row("A", BEST, model="VQRec").pretrained


def test_tables_have_the_metrics_that_all_runs_were_tested_with():
    tested = ("ndcg@20", "mrr@5", "ndcg@5", "itemcoverage@5", "gauc")
    rows = [row("SASRec", THIRD, tested=tested), row("VQRec", BEST, tested=(*tested, "hit@5"))]
    assert [line[0] for line in tables.main_table(rows)[1]] == ["mrr@5", "N@5", "N@20"]
    assert tables.significance_table(rows)[0][2] == "N@5 difference"
    assert tables.group_table(rows)[0][0] == "N@5; seen in training"
    assert tables.published_table(rows)[1] == []  # none of them is published
    header, _ = tables.published_table([row("SASRec", THIRD, tested=("ndcg@50", "recall@10", "ndcg@5"))])
    assert header[2:] == ["R@10 here", "R@10 paper", "N@50 here", "N@50 paper", "N@50 ratio"]


def test_runs_without_a_metric_of_ranks_in_common_have_the_papers():
    rows = [row("SASRec", THIRD, tested=("gauc",)), row("VQRec", BEST, tested=("ndcg@5",))]
    assert table_rows.shown_metrics(rows) == list(PAPER)


def test_significance_is_against_each_other_model():
    _, lines = tables.significance_table([row("SASRec", THIRD), row("VQRec", BEST)])
    assert lines[0][:3] == ["VQRec", "SASRec", "+0.5000"]
    assert tables.significance_table([row("SASRec", THIRD)])[1] == []


def test_every_row_of_vqrec_is_tested_and_the_pre_trained_one_stands_for_it():
    tuned = row("VQRec pre-trained", BEST, model="VQRec", stage="finetune")
    rows = [row("SASRec", THIRD), row("VQRec", SECOND), tuned]
    header, lines = tables.main_table(rows)
    assert header[-1] == "VQRec pre-trained over best other model" and lines[0][-1] == "+200.0%"  # over SASRec
    assert [line[:2] for line in tables.significance_table(rows)[1]] == [
        ["VQRec pre-trained", "SASRec"], ["VQRec", "SASRec"], ["VQRec pre-trained", "VQRec"],
    ]  # fmt: skip
    assert table_rows.ours(rows)[0] is tuned and table_rows.ours(rows[:1]) == []


def test_trials_come_with_the_best_first():
    tried = [{"trial": {"learning_rate": rate}, "best_valid_score": score, "epochs": 3, "valid_score_bigger": True}
             for rate, score in ((0.1, 0.5), (0.01, 0.75))]  # fmt: skip
    rows = [row("SASRec", THIRD, learning_rate=0.01), row("VQRec", BEST)]
    header, lines = tables.tuning_table(rows, {"SASRec": tried, "VQRec": []})
    assert header == ["model", "values tried", "epochs", "validation score"]
    assert lines == [
        ["SASRec", "learning_rate 0.01", "3", "**0.7500**"], ["SASRec", "learning_rate 0.1", "3", "0.5000"],
    ]  # fmt: skip
    tried[0]["best_valid_score"] = 0.75  # level: bold is the one the row was run with, not the one listed first
    lines = tables.tuning_table(rows, {"SASRec": tried, "VQRec": []})[1]
    assert [line[-1] for line in lines] == ["0.7500", "**0.7500**"]


def test_groups_cost_and_options():
    rows = [row("SASRec", THIRD, epochs=3, data_path="x"), row("VQRec", BEST, epochs=3, learning_rate=0.1)]
    header, lines = tables.group_table(rows)
    assert header[1] == "0 (1 users)" and lines[1] == ["VQRec", "1.0000", "1.0000", "1.0000", "0.0000"]
    assert tables.cost_table(rows)[1][0] == ["SASRec", "1,000", "2", "5", "2.5", "3", "1", "1"]
    assert tables.shared_options(rows) == "epochs 3"
    assert tables.options_table(rows)[1] == [["SASRec", "no others"], ["VQRec", "learning_rate 0.1"]]


def test_groups_have_ties_in_random_order():
    ordered = row("VQRec", [0, 0, 0, 0])
    tied = dataclasses.replace(ordered.ranks[0], tied_above=np.zeros(4, int), tied_below=np.array([1, 0, 0, 0]))
    _, [line] = tables.group_table([dataclasses.replace(ordered, ranks=[tied])])
    assert line == ["VQRec", "0.8155", "1.0000", "1.0000", "1.0000"]


def test_options_in_force_that_tuning_may_change_are_told():
    rows = [row("SASRec", THIRD, epochs=3), row("VQRec", BEST, epochs=3)]
    rows[1].results[0]["options"].update(temperature=0.1, hidden_dropout_prob=0.5, n_layers=2)
    lines = tables.options_table(rows)[1]
    assert lines == [["SASRec", "no others"], ["VQRec", "hidden_dropout_prob 0.5, temperature 0.1"]]


def test_what_makes_a_comparison_unfair_is_told():
    rows = [row("SASRec", THIRD, epochs=3), row("FDSA", THIRD, epochs=9, tied_items="popular"), row("VQRec", BEST, epochs=9)]
    assert table_rows.differences(rows) == ["epochs: 3 SASRec; 9 FDSA, VQRec"]
    assert table_rows.differences(rows[1:]) == []
    rows = [row("SASRec", THIRD, seen_weight=0, eval_step=1), row("VQRec", BEST, seen_weight="auto", eval_step=2)]
    assert table_rows.differences(rows) == ["eval_step: 1 SASRec; 2 VQRec", "seen_weight: 0 SASRec; auto VQRec"]
    rows = [row("SASRec", THIRD, co_occurrence_weight=0), row("ItemCoOccurrence", BEST, co_occurrence_weight=1)]
    assert table_rows.differences(rows) == []  # that is what the model does
    rows = [row("SASRec", THIRD), row("SASRecF", BEST, statistics=(8442, 5000, 59427))]
    assert table_rows.differences(rows) == ["items ranked: 4,385 SASRec; 5,000 SASRecF"]


def test_what_a_recipe_gives_each_row_is_told():
    given = {"co_occurrence_weight": 1, "seen_weight": "auto"}
    of_texts = {"item_representation": "code+text+id", "text_similarity_weight": 2}
    rows = [row("SASRec", THIRD, recipe="best"), row("VQRec", BEST, recipe="best")]
    for each, options in zip(rows, (given, {**given, **of_texts})):
        each.results[0]["options"].update(options)
    assert tables.shared_options(rows) == "recipe best"
    assert tables.options_table(rows)[1] == [
        ["SASRec", "co_occurrence_weight 1, seen_weight auto"],
        ["VQRec", "co_occurrence_weight 1, item_representation code+text+id, seen_weight auto, text_similarity_weight 2"],
    ]


def test_every_figure_has_ties_in_random_order_and_one_line_those_in_order():
    ordered = row("VQRec", [0, 0, 0, 0])
    zeros, ones = np.zeros(4, int), np.ones(4, int)
    tied = dataclasses.replace(ordered.ranks[0], tied_above=zeros, tied_below=ones)
    found = dataclasses.replace(ordered, ranks=[tied])
    assert found.mean("ndcg@10", ties_in_order=True) == 1 and found.mean("ndcg@10") == pytest.approx((1 + 0.63093) / 2)
    header, [line] = tables.published_table([found])
    assert dict(zip(header, line))["N@10 here"] == "0.8155"
    _, lines = tables.main_table([row("SASRec", BEST), found])
    assert lines[1] == ["N@10", "<u>0.7500</u>", "**0.8155**", "+8.7%"] and len(lines) == 5
    assert lines[4] == ["N@10, ties in order", "<u>0.7500</u>", "**1.0000**", "+33.3%"]
    header, [line] = tables.significance_table([row("SASRec", THIRD), found])
    assert header[2:] == ["N@10 difference", "95 % interval", "p", "", "ties in order", "p", ""]
    assert line[2] == "+0.5655" and line[6] == "+0.7500" and float(line[7]) < float(line[4])


def test_rows_come_in_the_papers_order_and_have_the_same_users(tmp_path):
    runs = []
    for name in ("VQRec", "Caser", "BERT4Rec", "SASRec"):
        (tmp_path / name).mkdir()
        one = row(name, BEST)
        one.ranks[0].save(tmp_path / name)
        runs.append(("Scientific", name, tmp_path / name, one.results[0]))
    assert [found.name for found in table_rows.rows_of(runs)["Scientific"]] == ["SASRec", "BERT4Rec", "Caser", "VQRec"]
    for each, fingerprint in zip(runs, "1121"):
        each[3]["inputs"] = {"Scientific.inter": fingerprint, "/x/other.inter": each[1]}
    with pytest.raises(VQRecError, match="BERT4Rec: was run on another Scientific.inter than .*VQRec; delete one"):
        table_rows.rows_of(runs)
    runs[2][3]["inputs"] = {}
    UserRanks(["a", "x"], *np.zeros((3, 2), int)).save(tmp_path / "SASRec")
    with pytest.raises(VQRecError, match="other test users"):
        table_rows.rows_of(runs)


def test_seeds_of_a_row_differ_in_nothing_but_the_seed(tmp_path):
    runs = []
    for seed, options in ((2020, {"learning_rate": 0.1, "seed": 2020}), (2021, {"learning_rate": 0.2, "seed": 2021})):
        folder = tmp_path / f"seed-{seed}"
        folder.mkdir()
        one = row("SASRec", BEST, **options)
        one.ranks[0].save(folder)
        runs.append(("Scientific", "SASRec", folder, one.results[0]))
    with pytest.raises(VQRecError, match=r"seed-2021: differs from .*seed-2020 .* \(options: learning_rate\)"):
        table_rows.rows_of(runs)
    runs[1][3]["options"]["learning_rate"] = 0.1
    assert len(table_rows.rows_of(runs)["Scientific"][0].ranks) == 2
    runs[0][3]["inputs"], runs[1][3]["inputs"] = {"a": "1", "b": "2"}, {"a": "1", "c": "3"}  # made in between
    assert len(table_rows.rows_of(runs)["Scientific"][0].ranks) == 2
    runs[1][3]["inputs"] = {"a": "2"}
    with pytest.raises(VQRecError, match=r"more than the seed \(inputs: a\)"):
        table_rows.rows_of(runs)
    runs[1][3]["model"] = "Caser"
    with pytest.raises(VQRecError, match="of model Caser, .*seed-2020 of SASRec"):
        table_rows.rows_of(runs)
