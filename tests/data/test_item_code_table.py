import json

import pytest
from small import small_config, write_codes, write_inter

from recbole_vqrec.data.item_code_table import load_item_codes
from recbole_vqrec.errors import VQRecError


def test_domains_whose_codes_would_have_one_item_id(tmp_path):
    for domain, items in {"a": ["b-1", "x"], "a-b": ["1", "y"]}.items():
        write_inter(tmp_path / "dataset" / domain, domain, {"u": items})
        write_codes(tmp_path / "dataset" / domain, domain, items, codes="bert-base-uncased.opq4x8")
    record = {"kind": "preprocessed data set", "format": 1, "source": "merge", "options": {"datasets": ["a", "a-b"]}}
    (tmp_path / "dataset" / "mix").mkdir()
    (tmp_path / "dataset" / "mix" / "mix.preprocess.json").write_text(json.dumps(record))
    with pytest.raises(VQRecError, match="mix: item 'a-b-1' would come from a and a-b; rename one of these data sets"):
        load_item_codes(small_config(dataset="mix", item_codes=None), ["[PAD]", "a-b-1", "a-x", "a-b-y"])
