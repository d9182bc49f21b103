import numpy as np
import pytest

from recbole_vqrec.errors import VQRecError
from recbole_vqrec.evaluation.user_ranks import UserRanks
from recbole_vqrec.report import comparison_tables as tables
from recbole_vqrec.report.metric_names import PAPER


def row(
    name, *above_of_seeds, dataset="Scientific", statistics=(8442, 4385, 59427), model=None, tested=PAPER, **options
):
    users, counts = ["a", "b", "c", "d"], np.array([0, 1, 2, 9])
    ranks = [UserRanks(users, np.array(above), np.zeros(4, int), counts) for above in above_of_seeds]
    result = {
        "model": model or name, "statistics": list(statistics), "parameters": 1000, "epochs": 2, "seconds": 5.0,
        "peak_memory": 3 * 2**20, "run_options": options, "test_result": dict.fromkeys(tested, 0.1),
    }  # fmt: skip
    return tables.Row(dataset, name, [result] * len(ranks), ranks)


BEST, SECOND, THIRD = [0, 0, 0, 99], [0, 0, 99, 99], [0, 99, 99, 99]


def test_main_table_marks_the_best_and_the_second():
    header, lines = tables.main_table([row("SASRec", THIRD), row("FDSA", SECOND), row("VQRec", BEST)])
    assert header == ["metric", "SASRec", "FDSA", "VQRec", "VQRec over best other"]
    assert lines[0] == ["R@10", "0.2500", "<u>0.5000</u>", "**0.7500**", "+50.0%"]


def test_deviation_between_seeds():
    _, lines = tables.main_table([row("SASRec", THIRD, SECOND), row("VQRec", BEST, BEST)])
    assert lines[0] == ["R@10", "<u>0.3750</u> ± 0.1768", "**0.7500** ± 0.0000", "+100.0%"]


def test_published_numbers_beside_ours_only_for_the_papers_data():
    header, lines = tables.published_table([row("SASRec", THIRD), row("Caser", BEST), row("VQRec", BEST)])
    assert [line[0] for line in lines] == ["SASRec", "VQRec"]
    assert header[1:3] == ["R@10 here", "R@10 paper"] and lines[0][1:3] == ["0.2500", "0.1080"]
    assert lines[0][-1] == "4.52"
    assert tables.published_table([row("SASRec", THIRD, statistics=(8442, 4385, 1))])[1] == []


def test_tables_have_the_metrics_that_all_runs_were_tested_with():
    tested = ("ndcg@20", "mrr@5", "ndcg@5", "itemcoverage@5", "gauc")
    rows = [row("SASRec", THIRD, tested=tested), row("VQRec", BEST, tested=(*tested, "hit@5"))]
    assert [line[0] for line in tables.main_table(rows)[1]] == ["mrr@5", "N@5", "N@20"]
    assert tables.significance_table(rows)[0][1] == "N@5 difference"
    assert tables.group_table(rows)[0][0] == "N@5; seen in training"
    assert tables.published_table(rows)[1] == []  # none of them is published
    header, _ = tables.published_table([row("SASRec", THIRD, tested=("ndcg@50", "recall@10", "ndcg@5"))])
    assert header[1:] == ["R@10 here", "R@10 paper", "N@50 here", "N@50 paper", "N@50 ratio"]


def test_runs_without_a_metric_of_ranks_in_common_have_the_papers():
    rows = [row("SASRec", THIRD, tested=("gauc",)), row("VQRec", BEST, tested=("ndcg@5",))]
    assert tables.shown_metrics(rows) == list(PAPER)


def test_significance_is_against_each_other_row():
    _, lines = tables.significance_table([row("SASRec", THIRD), row("VQRec", BEST)])
    assert lines[0][:2] == ["SASRec", "+0.5000"]
    assert tables.significance_table([row("SASRec", THIRD)])[1] == []


def test_a_row_of_the_model_vqrec_stands_for_it_under_another_name():
    rows = [row("SASRec", THIRD), row("VQRec pre-trained", BEST, model="VQRec")]
    assert tables.main_table(rows)[0][-1] == "VQRec pre-trained over best other"
    assert tables.significance_table(rows)[1][0][0] == "SASRec"
    assert tables.ours([*rows, row("VQRec", THIRD)]).name == "VQRec" and tables.ours(rows[:1]) is None


def test_groups_cost_and_options():
    rows = [row("SASRec", THIRD, epochs=3, data_path="x"), row("VQRec", BEST, epochs=3, learning_rate=0.1)]
    header, lines = tables.group_table(rows)
    assert header[1] == "0 (1 users)" and lines[1] == ["VQRec", "1.0000", "1.0000", "1.0000", "0.0000"]
    assert tables.cost_table(rows)[1][0] == ["SASRec", "1,000", "2", "5", "2.5", "3", "1"]
    assert tables.shared_options(rows) == "epochs 3"
    assert tables.options_table(rows)[1] == [["SASRec", "as in props/"], ["VQRec", "learning_rate 0.1"]]


def test_rows_come_in_the_papers_order_and_have_the_same_users(tmp_path):
    runs = []
    for name in ("VQRec", "Caser", "BERT4Rec", "SASRec"):
        (tmp_path / name).mkdir()
        one = row(name, BEST)
        one.ranks[0].save(tmp_path / name)
        runs.append(("Scientific", name, tmp_path / name, one.results[0]))
    assert [found.name for found in tables.rows_of(runs)["Scientific"]] == ["SASRec", "BERT4Rec", "Caser", "VQRec"]
    UserRanks(["a", "x"], *np.zeros((3, 2), int)).save(tmp_path / "SASRec")
    with pytest.raises(VQRecError, match="other test users"):
        tables.rows_of(runs)
