import pytest

HEAD = "user_id:token\titem_id:token\ttimestamp:float\n"


@pytest.fixture
def domains(tmp_path):
    """Two data sets that share a user id and an item id."""
    for name, inter, item in (
        ("toys", "u2\ti1\t5\nu1\ti1\t7.5\n", "item_id:token\ttitle:token_seq\ni1\tBall.\n"),
        ("arts", "u1\ti1\t1\nu1\ti2\t1\n", "item_id:token\tbrand:token_seq\ttitle:token_seq\ni2\tB.\t\ni1\t\tInk.\n"),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{name}.inter").write_text(HEAD + inter)
        (tmp_path / name / f"{name}.item").write_text(item)
    return tmp_path


def merge(command, folder, datasets, name="TA"):
    return command("merge", "--datasets", datasets, "--name", name, "--data-path", folder)


def test_literal_result(command, domains):
    result = merge(command, domains, "toys,arts")
    assert result.exit_code == 0, result.stderr
    assert (domains / "TA/TA.inter").read_text() == (
        HEAD + "toys-u2\ttoys-i1\t5\ntoys-u1\ttoys-i1\t7.5\narts-u1\tarts-i1\t1\narts-u1\tarts-i2\t1\n"
    )
    assert (domains / "TA/TA.item").read_text() == (
        "item_id:token\tdomain:token\ttitle:token_seq\tbrand:token_seq\n"
        "toys-i1\ttoys\tBall.\t\narts-i2\tarts\t\tB.\narts-i1\tarts\tInk.\t\n"
    )
    assert "TA: 3 users, 3 items, 4 interactions" in result.stdout
    assert "up to date" in merge(command, domains, "toys,arts").stdout
    (domains / "toys/toys.item").write_text("item_id:token\ttitle:token_seq\ni1\tDoll.\n")
    assert "up to date" not in merge(command, domains, "toys,arts").stdout


def test_files_made_in_another_way_are_not_replaced(command, domains):
    (domains / "TA").mkdir()
    (domains / "TA/TA.inter").write_text(HEAD + "u\ti\t1\n")
    result = merge(command, domains, "toys,arts")
    assert result.exit_code == 2 and "TA.inter: would be replaced, and TA.preprocess.json does not say" in result.stderr
    assert (domains / "TA/TA.inter").read_text() == HEAD + "u\ti\t1\n"
    arguments = ["merge", "--datasets", "toys,arts", "--name", "TA", "--data-path", domains, "--force"]
    assert command(*arguments).exit_code == 0


def test_a_time_that_is_none(command, domains):
    (domains / "toys/toys.inter").write_text(HEAD + "u2\ti1\t5\nu1\ti1\tyesterday\n")
    result = merge(command, domains, "toys,arts")
    assert result.exit_code == 2 and "toys.inter line 3: timestamp 'yesterday' is not a number" in result.stderr


def test_domain_is_no_text(command, domains):
    from recbole_vqrec.preprocess.item_text import item_texts

    merge(command, domains, "toys,arts")
    ids, texts = item_texts(domains / "TA/TA.item")
    assert (ids, texts) == (["toys-i1", "arts-i2", "arts-i1"], ["Ball.", "B.", "Ink."])


@pytest.mark.parametrize(
    ("datasets", "said"),
    [
        ("toys", "give two or more"),
        ("toys,toys", "give two or more different ones"),
        ("toys,TA", "a new name"),
        ("toys,gone", "gone.inter: not found"),
    ],
)
def test_refusals(command, domains, datasets, said):
    result = merge(command, domains, datasets)
    assert result.exit_code == 2 and said in result.stderr
    assert not (domains / "TA/TA.inter").exists()


@pytest.mark.parametrize(
    ("own", "of_other", "said"),
    [
        (("u", "b-1"), ("v", "1"), "item 'a-b-1' would come from a and a-b; rename one of these data sets"),
        (("b-u", "1"), ("u", "2"), "user 'a-b-u' would come from a and a-b; rename one of these data sets"),
    ],
)
def test_ids_that_coincide_with_their_domains_in_front(command, tmp_path, own, of_other, said):
    for name, (user, item) in (("a", own), ("a-b", of_other)):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{name}.inter").write_text(f"{HEAD}{user}\t{item}\t1\n")
        (tmp_path / name / f"{name}.item").write_text(f"item_id:token\ttitle:token_seq\n{item}\tBall.\n")
    result = merge(command, tmp_path, "a,a-b")
    assert result.exit_code == 2 and said in result.stderr
    assert not (tmp_path / "TA/TA.inter").exists()


def test_item_that_is_not_described(command, domains):
    (domains / "toys/toys.item").write_text("item_id:token\ttitle:token_seq\ni9\tBall.\n")
    result = merge(command, domains, "toys,arts")
    assert result.exit_code == 2 and "toys.item: lacks items of toys.inter (toys-i1)" in result.stderr
