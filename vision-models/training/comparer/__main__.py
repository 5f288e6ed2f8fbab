"""`python3 -m comparer STEP …`: one command for each step from pictures to package."""

import argparse

from . import train


def main():
    parser = argparse.ArgumentParser(prog="comparer", description=__doc__)
    steps = parser.add_subparsers(required=True)
    one = steps.add_parser("train", help=train.__doc__)
    train.arguments(one)
    one.set_defaults(main=train.main)
    options = parser.parse_args()
    options.main(options)


if __name__ == "__main__":
    main()
