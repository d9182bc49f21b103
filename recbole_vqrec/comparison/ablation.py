"""The paper's ablation (table 4): one fine-tuning with all of VQ-Rec, and one without each of its parts."""

import os
from pathlib import Path

from recbole_vqrec.comparison.compare import compare, options_of_all_runs, share_gpus
from recbole_vqrec.config import stage_options
from recbole_vqrec.defaults import own_defaults, read_props
from recbole_vqrec.errors import VQRecError
from recbole_vqrec.quantization.encode import encode_dataset
from recbole_vqrec.report.ablation_report import ablation_names, write_ablation
from recbole_vqrec.report.rows import OURS
from recbole_vqrec.trainer import checkpoint

NO_NEGATIVES = "without semi-synthetic negatives"
BASELINE = "SASRec"  # what sparse items are compared with
FINETUNING = {"stage", "checkpoint", "preset", "item_representation", "finetune_stages"}  # options it cannot have


def ablate(
    dataset, run, out, seeds=5, without_negatives=None, config_files=None, options=None, processes=None, say=print
):
    """Fine-tune with and without each part of VQ-Rec, and write the table; what is there is not repeated.

    Args:
        dataset (str): of the new domain, with text embeddings and codes.
        run (str or Path): pre-trained run.
        out (str or Path): folder of the runs and the report.
        seeds (int): runs of each row.
        without_negatives (str or Path, optional): pre-trained run made with semi_synthetic_negatives: 0.
        config_files (list of str, optional): yaml files with options of all rows.
        options (dict, optional): options of all rows; a row's own win.
        processes (int, optional): as `compare`.
        say (callable): receives lines about what happens.

    Returns:
        Path: ablation.md; report.md of the same runs, with sparse items against SASRec, lies beside it.

    Raises:
        VQRecError: as `compare`, `encode_dataset` and fine-tuning; a run of another model than VQRec.
    """
    # 1. rows
    files, given = options_of_all_runs(config_files, options)
    share_gpus(files, given)
    common = {**files, **given}
    manifest = checkpoint.read_manifest(run)
    if manifest["model"] != OURS:
        raise VQRecError(f"{run}: a run of {manifest['model']}; the parts that are left out are those of {OURS}")
    rows = ablation_rows(run, manifest, common, without_negatives)
    if without_negatives is None:
        how = "pre-train with --semi_synthetic_negatives=0, give the run as --without-negatives"
        say(f"left out: {NO_NEGATIVES}; {how}")
    # 2. the codes they need
    for name, own in read_props("ablation.yaml")["ablations"].items():
        if name in rows and _own_codes(own):
            _encode(dataset, manifest, rows[name], say)
    # 3. runs, report
    every = {**rows, BASELINE: {"model": BASELINE, **_without_finetuning(common, manifest)}}
    compare([dataset], list(every), out, seeds, processes=processes, rows=every, say=say)
    return write_ablation(out, dataset, say)


def row_names():
    """Return the names of the rows that there may be."""
    return [*ablation_names(), BASELINE]


def ablation_rows(run, manifest, common, without_negatives=None):
    """Return row name -> options of props/ablation.yaml for a pre-trained run.

    Args:
        run (str or Path): pre-trained run.
        manifest (dict): of its checkpoint.
        common (dict): options of all rows.
        without_negatives (str or Path, optional): as `ablate`.
    """
    rows, props = {}, read_props("ablation.yaml")
    for name, own in props["ablations"].items():
        pretrained = without_negatives if name == NO_NEGATIVES else run
        if pretrained is None:
            continue
        own = {key: manifest["dataset"] if value == "pretrained" else value for key, value in own.items()}
        if "preset" in own:
            own["finetune_stages"] = None  # stages given for all rows do not take the place of the row's own
        if _own_codes(own):
            own["item_codes"] = None  # a name given for all rows does not mean these codes
        stage = {"model": manifest["model"], "stage": "finetune", "checkpoint": os.path.abspath(pretrained)}
        rows[name] = {**stage, **props["ablation_options"], **common, **own}
    return rows


def _own_codes(own):
    """Return whether a row's own options ask for other codes than all rows have."""
    return bool(own.keys() & {"quantizer", "reuse_quantizer"})


def _encode(dataset, manifest, row, say):
    """Make the codes of a row that has codes of its own."""
    layout = {name: manifest["config"][name] for name in ("plm", "pooling", "codebooks", "codes_per_codebook")}
    wanted = {name: row[name] for name in own_defaults("VQRec") if name in row}
    options = stage_options(None, {**layout, **wanted})
    path, made = encode_dataset(Path(options["data_path"]) / dataset, dataset, options, say=say)
    if not made:
        say(f"{path} (up to date)")


def _without_finetuning(options, manifest):
    """Return the options that a model of item ids can take, the texts that it compares those of the other rows."""
    of_codes = {*read_props("item_codes.yaml"), *read_props("finetune.yaml"), *FINETUNING}
    texts = {}
    if options.get("text_similarity_weight"):
        texts = {name: options.get(name, manifest["config"][name]) for name in ("plm", "pooling")}
    return {**texts, **{name: value for name, value in options.items() if name not in of_codes}}
