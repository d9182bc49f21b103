"""Rows of the table that are a model with options of their own, from a yaml file."""

from recbole_vqrec.defaults import parse_yaml
from recbole_vqrec.errors import VQRecError


def read_rows(file):
    """Return row name -> options of a yaml file such as "VQRec pre-trained: {model: VQRec, learning_rate: 0.003}".

    Args:
        file (str or None): the yaml file; {} without one.

    Raises:
        VQRecError: not there, or not of this form.
    """
    if not file:
        return {}
    try:
        rows = parse_yaml(file)
    except OSError as error:
        raise VQRecError(f"{file}: cannot be read ({error.strerror})") from error
    if not isinstance(rows, dict) or not all(isinstance(options, dict) for options in rows.values()):
        raise VQRecError(f"{file}: expected lines of 'row name: {{model: NAME, option: value}}'")
    with_comma = [name for name in rows if "," in str(name)]
    if with_comma:
        raise VQRecError(f"{file}: row '{with_comma[0]}': a comma stands between rows in --models; leave it out")
    return {str(name): options for name, options in rows.items()}
