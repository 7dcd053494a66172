"""`python -m lakehouse.cli`: the same as the `lakehouse` command.

For places where the script is not on the path.
"""

from lakehouse.cli import main

if __name__ == "__main__":
    main()
