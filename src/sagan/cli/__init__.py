"""The command line: one command per file, which imports what it needs when it is called.

Exit codes: 0 done, 1 failed for the reason printed, 2 bad usage or input, 128 and its number when
stopped by a signal: 130 Ctrl-C, 143 SIGTERM. An expected error is one line on stderr.
"""

import errno
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from cyclopts import App, CycloptsError, Parameter, Token, ValidationError, convert

from sagan.cli import structure
from sagan.cli.ablate import ablate
from sagan.cli.bench import bench
from sagan.cli.compare import compare
from sagan.cli.data import check, make, pack
from sagan.cli.evaluate import evaluate
from sagan.cli.explain import explain
from sagan.cli.explore import explore
from sagan.cli.export import export
from sagan.cli.gallery import gallery
from sagan.cli.import_ import import_
from sagan.cli.least_memory import too_little_memory
from sagan.cli.runs import runs
from sagan.cli.sample import sample
from sagan.cli.train import train
from sagan.errors import CheckpointError, ExportError, TrainingFailure
from sagan.runs.place import RUN_OR_CHECKPOINT, locate
from sagan.text import one_line
from sagan.version import __version__


def _read_option(type_: Any, tokens: Sequence[Token]) -> Any:
    """Read an option's value; cyclopts would round 1.5 to a whole number."""
    if type_ is int and "." in tokens[0].value:
        raise ValueError(f"{tokens[0].value} is not a whole number")
    return convert(type_, tokens)


def _require_run(run: Path | None = None, **_: Any) -> None:
    """Refuse a RUN that is neither a run nor a checkpoint before anything heavy is imported."""
    if run is not None:
        locate(run).require(*RUN_OR_CHECKPOINT)


app = App(
    name="sagan",
    help="Train, sample, score and explain Self-Attention GANs.",
    default_parameter=Parameter(converter=_read_option),
    version=__version__,
    help_format="plaintext",
    result_action="return_value",
)
app.command(train)
app.command(sample)
app.command(evaluate)
app.command(compare)
app.command(runs)
app.command(explain, validator=_require_run)
app.command(explore, validator=_require_run)
app.command(ablate)
app.command(bench)
app.command(gallery)
app.command(import_, name="import")
app.command(export, validator=_require_run)
_data = App(name="data", help="Check, pack or make a data source.", help_format="plaintext")
_data.command(check)
_data.command(pack)
_data.command(make)
app.command(_data)
_structure = App(
    name="structure",
    help="Score how well images keep a procedural set's rule.",
    help_format="plaintext",
)
_structure.command(structure.score)
_structure.command(structure.selftest)
app.command(_structure)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the program and exit with its code."""
    given = sys.argv[1:] if arguments is None else arguments
    if not {"--help", "-h", "--version"} & {*given} and (why := too_little_memory()):
        sys.exit(fail(why, 1))
    sys.exit(run_safely(lambda: app(arguments, exit_on_error=False, print_error=False)))


def run_safely(command: Callable[[], int | None]) -> int:
    """Run a command, print an expected error as one line, and return the exit code."""
    try:
        return command() or 0
    except KeyboardInterrupt:
        return fail("stopped", 130)
    except ValidationError as error:
        return fail(error.exception_message, 2)
    except CycloptsError as error:
        return fail(f"{one_line(error).rstrip('.')}; see --help", 2)
    except ValueError as error:  # bad input
        return fail(one_line(error), 2)
    except BrokenPipeError:  # the reader of stdout is gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        name = f"{error.filename}: " if error.filename else ""
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        advice = "; what was there before stands: free some space and run it again" if full else ""
        return fail(f"{name}{error.strerror or error}{advice}", 1)
    except (CheckpointError, ExportError, TrainingFailure) as error:
        return fail(one_line(error), 1)
    except MemoryError:
        return fail("out of memory: smaller batches or images need less", 1)
    except RuntimeError as error:
        if "can't allocate memory" in str(error) or "out of memory" in str(error):  # PyTorch's
            return fail(f"out of memory: {one_line(error, 200)}", 1)
        raise


def fail(reason: str, code: int) -> int:
    """Print the reason as one line, and return the exit code."""
    print(f"sagan: {reason.rstrip('.')}", file=sys.stderr)
    return code
