"""The command line: arguments, settings as flags, progress, output, early ends."""
