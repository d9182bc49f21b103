from recbole_vqrec.comparison import under_way
from recbole_vqrec.comparison.runs import Run

LINES = """epoch 3 training [time: 1.00s, train loss: 9.1]
epoch 3 evaluating [time: 0.10s, valid_score: 0.012345]
valid result:
recall@10 : 0.9    ndcg@10 : 0.4202
"""


def test_how_far_runs_are(tmp_path):
    runs = [Run(str(tmp_path), "tiny", row, "SASRec", 2020, {}) for row in ("SASRec", "S3Rec", "BERT4Rec")]
    for run, log in zip(runs, (LINES, LINES.splitlines()[0], "")):
        folder = run.unfinished / "saved" / "x"
        folder.mkdir(parents=True)
        (folder / "run.log").write_text("x" * 5000 + "\n" + log)
    assert under_way.told(runs) == (
        "tiny SASRec seed-2020: epoch 3, 0.0123; tiny S3Rec seed-2020: epoch 3; tiny BERT4Rec seed-2020"
    )
    (runs[0].unfinished / "saved" / "x" / "run.log").write_text(LINES + "epoch 4 training [time: 1.00s, train loss: 9]\n")
    assert under_way.told(runs[:1]) == "tiny SASRec seed-2020: epoch 4, 0.0123"
    assert under_way.told([Run(str(tmp_path), "tiny", "x", "SASRec", 1, {})]) == "tiny x seed-1" and under_way.told([]) == ""
