"""`python -m jaxstage.report`: the same as `jaxstage report`."""
from jaxstage import cli


def main(arguments: list[str] | None = None) -> None:
    cli.main(arguments, cli.report, "python -m jaxstage.report")


if __name__ == "__main__":
    main()
