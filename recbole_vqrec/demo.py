"""The whole story on data inside RecBole's wheel: ml-100k by genre, pre-trained on some genres, carried to another."""

import time
from pathlib import Path

from recbole_vqrec import quick_start
from recbole_vqrec.config import stage_options
from recbole_vqrec.defaults import props_folder
from recbole_vqrec.embedding.embed import embed_dataset
from recbole_vqrec.preprocess.merge import merge_datasets
from recbole_vqrec.preprocess.ml_100k import WHOLE, preprocess_genres
from recbole_vqrec.quantization.encode import encode_dataset, encode_jointly
from recbole_vqrec.report import run_table
from recbole_vqrec.trainer import checkpoint

STEPS = 6

BEST = {"recipe": "best"}  # what the target's training data say beyond the encoder is added to the scores
SCORED_ONLY = {**BEST, "preset": "zero_shot", "permutation": "none"}  # the same for a finished run, nothing is trained


def demo(config_file_list=None, config_dict=None):
    """Do the whole job on the embedded data and print what it made and where.

    Args:
        config_file_list (list of str, optional): yaml files instead of props/demo.yaml.
        config_dict (dict, optional): options, win over the files.

    Returns:
        list of dict: results of the target domain as `quick_start.run` gives them: the pre-trained model and each of
        `models` from scratch, as published; then the pre-trained one and each of `best_models` by the recipe "best".
    """
    start = time.perf_counter()
    files = config_file_list or [str(props_folder() / "demo.yaml")]
    options = stage_options(files, config_dict)
    folder, domains, target = Path(options["data_path"]), options["domains"], options["target_domain"]
    mix = options["mix"]

    # 1. one data set a genre, and the mix of those to pre-train on
    preprocess_genres(folder, {**WHOLE, "user_k": 5, "item_k": 5}, say=_nothing)
    _, made = merge_datasets(folder, domains, mix, say=_nothing)
    _tell(1, "atomic files", f"{folder / mix} of {len(domains)} genres, {folder / target}", made)
    # 2. item text -> text embeddings
    made = [embed_dataset(folder / name, name, options, say=_nothing)[1] for name in (*domains, target)]
    _tell(2, "text embeddings", f"{options['plm']}, {options['pooling']}", any(made))
    # 3. text embeddings -> item codes, joint ones of the mix and the target's own
    joint = encode_jointly(folder, domains, mix, options, say=_nothing)
    own = encode_dataset(folder / target, target, options, say=_nothing)
    _tell(3, "item codes", f"{joint[0][0]}, {own[0]}", any(made for _, made in (*joint, own)))
    # 4. pre-train on the mix
    print(f"[4/{STEPS}] pre-train VQRec on {', '.join(domains)}")
    pretrained = quick_start.pretrain(None, mix, "VQRec", files, {**options["pretraining"], **(config_dict or {})})
    # 5. carry it to the target; every model from scratch beside it
    models, best_models = options["models"], options["best_models"]
    print(f"[5/{STEPS}] on {target}: fine-tune it; train {', '.join(models)} from scratch; with early stopping")
    tuned = quick_start.finetune(target, pretrained["run"], files, config_dict)
    results = [_named("VQRec, pre-trained", tuned)]
    results += [quick_start.run(name, target, files, config_dict) for name in models]
    print(f"      recipe best: {', '.join(['the fine-tuned model', *best_models])}")
    best = quick_start.finetune(target, tuned["run"], files, {**(config_dict or {}), **SCORED_ONLY})
    results.append(_named("VQRec, pre-trained, best", best))
    for name in best_models:
        result = quick_start.run(name, target, files, {**(config_dict or {}), **BEST})
        results.append(_named(f"{name}, best", result))
    # 6. one table
    table = run_table.write_table(Path(options["checkpoint_dir"]), results)
    print(f"[6/{STEPS}] test results on {target}, full ranking\n\n{run_table.table(results)}\n")
    for result in results:
        print(f"{result['model']:>24}: {checkpoint.checkpoint_file(result['run'])}")
    print(f"{'table':>24}: {table}\n{'done':>24}: {time.perf_counter() - start:.0f} s")
    return results


def _named(name, result):
    """Return a result under another name in the table."""
    return {**result, "model": name}


def _nothing(line):
    """Take the lines of a stage that the demo does not repeat."""


def _tell(step, what, where, made):
    print(f"[{step}/{STEPS}] {what}: {where}{'' if made else ' (up to date)'}")
