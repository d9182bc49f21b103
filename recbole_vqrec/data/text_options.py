"""How texts became vectors is told by the files a run reads; options given to the run may repeat that, not differ."""

from pathlib import Path

from recbole_vqrec import artifacts, registry
from recbole_vqrec.data.item_code_table import codes_path
from recbole_vqrec.data.text_vector_table import made_by
from recbole_vqrec.errors import VQRecError
from recbole_vqrec.quantization.item_codes import KIND as CODES_KIND

OF_TEXT = ("pooling", "max_text_length")  # what has no part in the names of the files
OF_CODES = ("opq_schedule", "opq_iterations", "quantizer_seed", "quantizer_sample")  # nor have these


def refuse_other_text_options(config):
    """Refuse options that were given and are not those that the codes or vectors a run reads were made with.

    A file that does not say an option is not asked.

    Args:
        config (Config): of a new run.

    Raises:
        VQRecError: it is another; the message names the file.
    """
    entry = registry.of(config)
    names = (*OF_TEXT, *OF_CODES)
    given = {name: config[name] for name in names if config.external_config_dict.get(name) is not None}
    if not given or not entry.reads_texts:
        return
    made = {}
    if entry.dataset == registry.CODES_DATASET:
        file = codes_path(Path(config["data_path"]), config["dataset"], config)
        if file.is_file():
            manifest = artifacts.read_manifest(file, CODES_KIND, "encode again")
            made[file.name] = {**manifest.get("options", {}), **manifest.get("language_model", {})}
    if entry.dataset == registry.TEXT_DATASET or "text" in (config["item_representation"] or "").split("+"):
        made["its text vectors"] = made_by(config)
    for what, options in made.items():
        for name, value in given.items():
            if options.get(name, value) != value:
                raise VQRecError(
                    f"{name}: {value} is asked for, but {what} of {config['dataset']} was made with {options[name]}; "
                    f"leave the option out, or embed (and encode) the data set with it"
                )
