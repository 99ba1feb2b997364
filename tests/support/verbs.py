"""A verb in this process: what it ends with and what it says."""

from dcam_dist.__main__ import main


def call_verb(monkeypatch, capsys, *arguments):
    """Exit code, stdout and stderr of a command line."""
    monkeypatch.setattr("sys.argv", ["dcam-dist", *map(str, arguments)])
    try:
        code = main()
    except SystemExit as stop:
        code = stop.code
    return code, *capsys.readouterr()
