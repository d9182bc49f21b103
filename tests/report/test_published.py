from recbole_vqrec.report.published import paper_name, published_ablations, published_results


def test_the_papers_rows():
    rows = published_results("Scientific")
    assert rows["SASRec"] == {"recall@10": 0.1080, "ndcg@10": 0.0553, "recall@50": 0.2042, "ndcg@50": 0.0760}
    assert list(rows) == [
        "SASRec", "BERT4Rec", "FDSA", "S3Rec", "RecGURU", "SASRecText", "ZESRec", "UniSRec", "VQRec", "VQRec-2023-03",
    ]  # fmt: skip
    assert published_ablations("OR")["random codes"]["ndcg@10"] == 0.0769


def test_other_data_sets_and_other_versions_have_none():
    assert paper_name("OR") == paper_name("OR", [16520, 3469, 519906]) == "Online Retail"
    assert paper_name("OR", [16520, 3469, 519905]) is None
    assert published_results("beauty") == {} and published_ablations("Pantry") == {}
