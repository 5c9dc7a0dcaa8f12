"""The command line: flags in, one library call, a report out."""
