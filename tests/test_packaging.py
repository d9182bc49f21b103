"""A wheel carries the props, and finds them where it is installed."""

import subprocess
import sys
import zipfile

import pytest
from small import ROOT


def test_props_are_found_in_a_wheel(tmp_path):
    pytest.importorskip("wheel")
    source = tmp_path / "source"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(source)], check=True, capture_output=True)
    options = ["--no-deps", "--no-build-isolation", "-w", str(tmp_path)]
    build = [sys.executable, "-m", "pip", "wheel", *options, str(source)]
    subprocess.run(build, check=True, capture_output=True)
    installed = tmp_path / "installed"
    zipfile.ZipFile(next(tmp_path.glob("recbole_vqrec-*.whl"))).extractall(installed)
    code = "from recbole_vqrec.defaults import own_defaults, props_folder; "
    code += "print(props_folder(), own_defaults('VQRec')['plm'])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, env={"PYTHONPATH": str(installed)}
    )
    assert done.stdout.split() == [str(installed / "recbole_vqrec" / "props"), "bert-base-uncased"], done.stderr
