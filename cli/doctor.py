"""`retr doctor`: what is wrong with this machine, and what to do about it."""

from typing import Annotated

import typer


def doctor(
    json: Annotated[bool, typer.Option("--json", help="Print one line of JSON instead of text.")] = False,
) -> None:
    """Check Python, processor, memory, packages, native libraries and the default model.

    Each line is ok, a warning or a problem, with what to do. The exit code is 1 when there is a problem.
    """
    from retr import __version__
    from retr.cli.diagnosis import diagnose
    from retr.cli.output import emit_json, print_line

    findings = list(diagnose())
    problems = sum(finding.state == "problem" for finding in findings)
    warnings = sum(finding.state == "warning" for finding in findings)
    if json:
        emit_json({"version": __version__, "problems": problems, "warnings": warnings, "findings": findings})
    else:
        width = max(len(finding.name) for finding in findings)
        for finding in findings:
            print_line(f"{finding.state:<8} {finding.name:<{width}}  {finding.detail}")
            if finding.remedy:
                print_line(f"{'':<8} {'':<{width}}  -> {finding.remedy}")
        print_line(f"\nretr {__version__}: problems {problems}, warnings {warnings}")
    if problems:
        raise typer.Exit(1)
