"""Writes sizes.csv anew: the sizes that the tests of quality expect.

    python tests/quality/make_sizes.py

Run it where sizes change on purpose, and review the difference: a row that grows is a volume that
has become more expensive. Takes two minutes on one core.
"""

import quality_cases

if __name__ == "__main__":
    quality_cases.write_sizes([*quality_cases.measured_models(), *quality_cases.measured_efforts()])
