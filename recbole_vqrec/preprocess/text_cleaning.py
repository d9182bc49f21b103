"""Raw text fields -> clean text of one line (rules of the authors of VQ-Rec, see each step)."""

import html
import re

from recbole_vqrec.preprocess.atomic_files import CONTROL

LONGEST_TEXT = 2000  # characters of a field
UNREAD = re.compile(r"<(script|style)\b.*?(</\1\s*>|$)", re.IGNORECASE | re.DOTALL)
TAG = re.compile(r"</?[a-z][^<>]*>|<!--.*?-->|</?[a-z]+\s[^<>]*=[^<>]*$", re.IGNORECASE | re.DOTALL)


def clean_text(text, long_text="beginning"):
    """Return a raw field as one line of plain text that ends in a dot; "" where nothing is left.

    HTML entities are unescaped, tags and double quotes dropped, blanks, line breaks and control characters joined to
    one blank, dots at the end replaced by one.

    Args:
        text (str): raw field.
        long_text (str): "beginning" keeps whole words below 2,000 characters, "empty" drops a field of 2,000 or more
            characters as the authors do.
    """
    if "&" in text:
        text = html.unescape(text)
    if "<" in text:
        text = TAG.sub(" ", UNREAD.sub(" ", text))
    text = " ".join(re.sub(CONTROL, " ", text.replace('"', "")).split()).rstrip(". ")
    if not text:
        return ""
    if len(text) + 1 < LONGEST_TEXT:
        return text + "."
    if long_text == "empty":
        return ""
    beginning = text[: LONGEST_TEXT - 1]
    return (beginning.rsplit(" ", 1)[0] if " " in beginning else beginning).rstrip(". ") + "."
