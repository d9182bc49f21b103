import pytest

from recbole_vqrec.comparison.rows import read_rows
from recbole_vqrec.errors import VQRecError


def test_a_file_that_is_not_utf_8(tmp_path):
    (tmp_path / "rows.yaml").write_bytes("Größe: {model: VQRec}\n".encode("latin-1"))
    with pytest.raises(VQRecError, match="rows.yaml: not valid yaml .*utf-8"):
        read_rows(tmp_path / "rows.yaml")
