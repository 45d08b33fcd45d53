"""``python -m grjca``: the command line, for where there is no ``grjca`` on the path."""

from grjca.cli import main

# Worker processes import this module too.
if __name__ == "__main__":
    main(prog_name="grjca")
