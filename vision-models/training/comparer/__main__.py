"""`python3 -m comparer STEP …`: one command for each step from pictures to package."""

import argparse

from . import choose, collect, evaluate, export, package, quantise, report, train

STEPS = {
    "collect": collect,
    "train": train,
    "export": export,
    "quantise": quantise,
    "evaluate": evaluate,
    "report": report,
    "choose": choose,
    "package": package,
}


def main():
    parser = argparse.ArgumentParser(prog="comparer", description=__doc__)
    steps = parser.add_subparsers(required=True, metavar="STEP")
    for name, step in STEPS.items():
        one = steps.add_parser(name, help=step.__doc__.splitlines()[0], description=step.__doc__)
        step.arguments(one)
        one.set_defaults(main=step.main)
    options = parser.parse_args()
    options.main(options)


if __name__ == "__main__":
    main()
