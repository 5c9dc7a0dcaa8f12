"""One page about one archive, to read and to send."""
