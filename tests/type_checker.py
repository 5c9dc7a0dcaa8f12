"""The checker of annotations that all tests run with; see `addopts` in pyproject.toml."""

from beartype import BeartypeConf, beartype

check = beartype(conf=BeartypeConf(is_pep484_tower=True, is_random=False))
"""Where `float` is expected an `int` will do, as for type checkers. Of a list the first item is
checked rather than a random one, so that tests are repeatable."""
