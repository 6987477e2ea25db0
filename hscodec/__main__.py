"""`python -m hscodec`: the command line."""

from hscodec.cli.main import main

if __name__ == "__main__":
    main(prog_name="hscodec")
