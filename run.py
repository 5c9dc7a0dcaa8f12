"""`python run.py COMMAND ...`: jaxslice's command line, from a checkout."""

from jaxslice.cli.main import main

if __name__ == "__main__":
    main()
