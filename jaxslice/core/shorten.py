"""Text for error messages, of bounded length whatever was read."""

import reprlib

_LIMIT = 300

_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 80


def short_repr(value: object) -> str:
    """The `repr` of a value that was read, shortened in its middle and in its depth."""
    try:
        return shortened(_SHORT.repr(value))
    # Python prints no integer of more than some thousand digits.
    except ValueError:
        return f"<{type(value).__name__}>"


def shortened(text: str) -> str:
    """The text itself, or its start and its end if it is long."""
    if len(text) <= _LIMIT:
        return text
    return f"{text[: _LIMIT // 2]} ... {text[-_LIMIT // 2 :]}"
