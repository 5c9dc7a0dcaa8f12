"""The colours of the pictures: of jaxslice, of other codecs, and of text."""

OURS = "#c8551b"
OTHERS = "#a9b4c0"
TEXT = "#222222"
MUTED_TEXT = "#666666"
