"""`python -m bocadillo` is the command `bocadillo`."""

from bocadillo.cli import main

# Worker processes import this file once more, under another name.
if __name__ == "__main__":
    main(prog_name="bocadillo")
