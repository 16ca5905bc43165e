"""``python -m alluse_core``: the ``alluse`` command of this interpreter."""

from alluse_core.cli import main

if __name__ == "__main__":
    main()
