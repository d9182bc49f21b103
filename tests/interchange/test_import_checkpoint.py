"""The authors' checkpoint layout, written synthetically, against a plain re-computation of their forward pass."""

import os
import pickle
import sys
import types

import pytest
import torch
import torch.nn.functional as F
from recbole.model.layers import TransformerEncoder
from small import small_config

from recbole_vqrec.defaults import own_defaults
from recbole_vqrec.data.dataset import create_dataset
from recbole_vqrec.errors import VQRecError
from recbole_vqrec.interchange.import_checkpoint import import_checkpoint
from recbole_vqrec.trainer import checkpoint

D, M, H, INNER, LIMIT = 4, 8, 16, 12, 5
LAST_BIAS = "trm_encoder.layer.1.feed_forward.dense_2.bias"
SIZES = {"hidden_size": H, "inner_size": INNER, "codebooks": D, "codes_per_codebook": M, "n_layers": 2, "n_heads": 2}


class Canary:
    """An object whose unpickling would run code."""

    def __reduce__(self):
        return os.mkdir, ("canary-has-run",)


def authors_state(seed=1):
    """Return their state dict with values of a size that makes every part matter."""
    torch.manual_seed(seed)
    encoder = TransformerEncoder(2, 2, H, INNER, 0.0, 0.0, "gelu", 1e-12)
    state = {f"trm_encoder.{name}": torch.randn_like(value) * 0.3 for name, value in encoder.state_dict().items()}
    state["pq_code_embedding.weight"] = torch.randn(D * (M + 1), H)
    state["trans_matrix"] = torch.randn(D, M + 1, M + 1)
    state["position_embedding.weight"] = torch.randn(LIMIT, H)
    state["LayerNorm.weight"], state["LayerNorm.bias"] = torch.rand(H) + 0.5, torch.randn(H)
    return state


def write_authors_file(path, state, **more):
    """Pickle it as they do, with a configuration object of a class that is gone when the file is read."""
    module = types.ModuleType("recbole_of_the_authors")
    module.Config = type("Config", (), {"__module__": module.__name__})
    sys.modules[module.__name__] = module
    config = module.Config()
    config.final_config_dict = {"n_heads": 2, "temperature": 0.07, "device": torch.device("cpu"), "canary": Canary()}
    torch.save({"config": config, "epoch": 299, "state_dict": state, "other_parameter": None, **more}, path)
    del sys.modules[module.__name__]


def authors_last_states(state, codes, lengths):
    """Their forward pass, plainly: mean of code embeddings, positions, LayerNorm, RecBole's encoder, last position.

    Args:
        codes (torch.LongTensor): [B, L, D] codes 0 .. M - 1 of each position.
        lengths (list of int): [B].
    """
    encoder = TransformerEncoder(2, 2, H, INNER, 0.0, 0.0, "gelu", 1e-12).eval()
    encoder.load_state_dict(
        {name.removeprefix("trm_encoder."): v for name, v in state.items() if name.startswith("trm")}
    )
    rows = codes + torch.arange(D) * (M + 1) + 1
    items = state["pq_code_embedding.weight"][rows].mean(-2)
    hidden = items + state["position_embedding.weight"][: codes.shape[1]]
    hidden = F.layer_norm(hidden, (H,), state["LayerNorm.weight"], state["LayerNorm.bias"], 1e-12)
    length = codes.shape[1]
    visible = (
        torch.ones(length, length).tril()[None, None]
        * (torch.arange(length) < torch.tensor(lengths)[:, None])[:, None, None]
    )
    hidden = encoder(hidden, (1 - visible.float()) * -10000.0, output_all_encoded_layers=True)[-1]
    return hidden[torch.arange(len(lengths)), torch.tensor(lengths) - 1]


def test_the_imported_model_computes_what_theirs_does(tiny, tmp_path):
    state = authors_state()
    write_authors_file(tmp_path / "VQRec-FHCKM-300.pth", state)
    path, made = import_checkpoint(tmp_path / "VQRec-FHCKM-300.pth", "saved/FHCKM")
    assert {name: made[name] for name in SIZES if name != "n_heads"} == {
        n: v for n, v in SIZES.items() if n != "n_heads"
    }
    assert not os.path.exists("canary-has-run")
    tensors, _, manifest = checkpoint.load("saved/FHCKM")
    assert (manifest["model"], manifest["stage"]) == ("VQRec", "pretrain") and manifest["config"]["n_heads"] == 2

    config = small_config(inner_size=INNER, layer_norm_eps=1e-12)
    dataset = create_dataset(config)
    model = config.model_class(config, dataset).eval()
    ours = {name.removeprefix("model."): value for name, value in tensors.items()}
    missing, unexpected = model.load_state_dict(ours, strict=False)
    assert unexpected == [] and set(missing) == {"items.item_codes"}
    lengths = [5, 2, 3]
    history = torch.randint(1, 13, (3, 5)) * (torch.arange(5) < torch.tensor(lengths)[:, None])
    codes = (dataset.item_codes[history] - 1 - torch.arange(D) * M).clamp(min=0)
    expected = authors_last_states(state, codes, lengths)
    assert torch.allclose(model.forward(history, torch.tensor(lengths)), expected, atol=1e-5)


def test_module_prefixes_of_several_gpus_are_dropped(tmp_path):
    write_authors_file(tmp_path / "a.pth", authors_state())
    write_authors_file(tmp_path / "b.pth", {f"module.{name}": value for name, value in authors_state().items()})
    first, second = (checkpoint.load(import_checkpoint(tmp_path / f"{n}.pth", f"saved/{n}")[0])[0] for n in "ab")
    assert all(torch.equal(value, second[name]) for name, value in first.items())


def test_what_is_there_is_not_replaced_unasked(tmp_path):
    write_authors_file(tmp_path / "a.pth", authors_state())
    import_checkpoint(tmp_path / "a.pth", "saved/a")
    with pytest.raises(VQRecError, match="is there already; choose another --out, or say --force"):
        import_checkpoint(tmp_path / "a.pth", "saved/a")
    import_checkpoint(tmp_path / "a.pth", "saved/a", force=True)


def broken(**changes):
    state = {**authors_state(), **changes}
    return {name: value for name, value in state.items() if value is not None}


@pytest.mark.parametrize("state, message", [
    (broken(trans_matrix=None), "lacks trans_matrix, it is no checkpoint of the authors' VQRec"),
    (broken(**{"pq_code_embedding.weight": torch.zeros(30, H)}), "30 code embeddings for 4 codebooks of 8 codes"),
    (broken(**{LAST_BIAS: None}), f"lacks {LAST_BIAS}"),
    ({"fc.weight": torch.zeros(2, 2)}, "lacks pq_code_embedding.weight"),
    ({"pq_code_embedding.weight": "text"}, "holds other things than tensors"),
    ("nothing", "holds other things than tensors"),
])  # fmt: skip
def test_other_checkpoints(tmp_path, state, message):
    write_authors_file(tmp_path / "x.pth", state)
    with pytest.raises(VQRecError, match=message):
        import_checkpoint(tmp_path / "x.pth", "saved/x")
    assert not os.path.exists("saved/x/checkpoint.safetensors") and own_defaults("VQRec")


def test_damaged_and_foreign_files(tmp_path):
    write_authors_file(tmp_path / "whole.pth", authors_state())
    content = (tmp_path / "whole.pth").read_bytes()
    files = {
        "cut": content[:2000],
        "empty": b"",
        "text": b"hello",
        "pickle": pickle.dumps([1, 2]),
        "canary": pickle.dumps(Canary()),
    }
    for name, data in files.items():
        (tmp_path / f"{name}.pth").write_bytes(data)
        with pytest.raises(VQRecError, match="no checkpoint of the authors' layout, or damaged"):
            import_checkpoint(tmp_path / f"{name}.pth", f"saved/{name}")
    with pytest.raises(VQRecError, match="checkpoint not found"):
        import_checkpoint(tmp_path / "none.pth", "saved/none")
    assert not os.path.exists("canary-has-run")
