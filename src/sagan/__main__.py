"""`python -m sagan`, the same program as `sagan`."""

from sagan.cli import main

if __name__ == "__main__":
    main()
