"""The command line: arguments, settings as flags, progress bars, output checks, early exits."""
