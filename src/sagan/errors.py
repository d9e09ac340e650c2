"""Errors that a command expects and prints as one line. No torch here."""


class CheckpointError(Exception):
    """A checkpoint is damaged or is not one; the message names the file."""


class ExportError(Exception):
    """The exported model is not what it should be; nothing was written."""


class TrainingFailure(Exception):
    """Training cannot continue; the message says why and what would help."""


def gave_up(failure: TrainingFailure, *, images: int, retries: int) -> TrainingFailure:
    """The failure, with where it was, how often the run went back, and what to try."""
    again = f", after {retries} {'retry' if retries == 1 else 'retries'}" if retries else ""
    advice = "" if retries else ", or let it go back by itself with --rollback 3"
    return TrainingFailure(
        f"{failure} at {images:,} images{again}; the last checkpoint stands. Lower the "
        f"learning rates or try another seed{advice}"
    )
