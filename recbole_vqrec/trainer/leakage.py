"""Whether a pre-trained run has already trained on what a new domain is tested on."""

from recbole_vqrec.preprocess.domain_ids import merged_item_ids


def leakage(dataset, item_ids, manifest, pretrained_ids):
    """Return a sentence about the targets of a data set that a run was pre-trained on, or None where there are none.

    Pre-training holds out the last interaction of each user alone, by which it stops, or none; the one before it, which
    fine-tuning validates on, is trained. As a start for a model in use that is no harm, as a benchmark it is.

    Args:
        dataset (str): the data set to be fine-tuned on.
        item_ids (list of str): its items.
        manifest (dict): of the run's checkpoint.
        pretrained_ids (list of str): its items, "<domain>-<id>" where it was pre-trained on several domains.
    """
    if manifest["stage"] != "pretrain":  # others hold out what fine-tuning does
        return None
    known = set(pretrained_ids)
    alone = manifest["dataset"] == dataset and not known.isdisjoint(item_ids)
    if not alone and known.isdisjoint(merged_item_ids(dataset, {dataset: item_ids})):
        return None
    held_out = manifest["config"].get("validate", True)
    seen = "trained on its validation targets and stopped by those of its test" if held_out else "trained on its test"
    return (
        f"the checkpoint was pre-trained on {dataset}, {seen}: the metrics of this run say too much; to compare models, "
        "pre-train without it"
    )
