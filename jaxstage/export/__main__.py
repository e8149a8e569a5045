"""`python -m jaxstage.export`: the same as `jaxstage export`."""
from jaxstage import cli


def main(arguments: list[str] | None = None) -> None:
    cli.main(arguments, cli.export, "python -m jaxstage.export")


if __name__ == "__main__":
    main()
