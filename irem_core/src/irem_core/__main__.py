"""`python -m irem_core`: the command line, for torchrun and where `irem` is not on the path."""

from irem_core.cli import main

if __name__ == "__main__":
    main()
