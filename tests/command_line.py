"""Calling the program in this process; what its tests share."""

from sagan.cli import app, run_safely

SMALL = ["--g-width", "4", "--d-width", "8", "--batch-size", "32", "--device", "cpu"]


def sagan(*arguments):
    """Run the program and give its exit code."""
    return run_safely(
        lambda: app([str(a) for a in arguments], exit_on_error=False, print_error=False)
    )
