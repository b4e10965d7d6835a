"""The NCA of a table from the command line: options, settings, files and figures."""
