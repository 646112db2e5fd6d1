"""The ``clbench`` command: one file per subcommand; parse, call, print."""

from __future__ import annotations

import signal
import sys
import warnings
from typing import Any

import typer

from clbench.cli import (
    check,
    compare,
    data,
    describe,
    diagnose,
    list_,
    report,
    reproduce,
    results,
    run,
    schema,
    simulate,
    sweep,
    tune,
)
from clbench.cli.options import SetsKeys
from clbench.cli.output import complain, note
from clbench.cli.stopping import InterruptedAtOnceError, at_once
from clbench.errors import Remark, UserError

app = typer.Typer(
    name="clbench",
    help="Continual-learning benchmarks: which remedy keeps what was learnt, on my stream, at what cost?",
    epilog="Start with:  clbench run --strategy ewc-fixed   then   clbench compare",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    add_completion=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("run", cls=SetsKeys, epilog=run.EXAMPLES)(run.run)
app.add_typer(sweep.app, name="sweep")
app.command("tune", cls=SetsKeys, epilog=tune.EXAMPLES)(tune.tune)
app.command("compare", epilog=compare.EXAMPLES)(compare.compare)
app.command("check", epilog=check.EXAMPLES)(check.check)
app.command("diagnose", epilog=diagnose.EXAMPLES)(diagnose.diagnose)
app.command("reproduce", epilog=reproduce.EXAMPLES)(reproduce.reproduce)
app.command("report", epilog=report.EXAMPLES)(report.report)
app.command("simulate", epilog=simulate.EXAMPLES)(simulate.simulate)
app.command("list", epilog=list_.EXAMPLES)(list_.list_)
app.command("describe", epilog=describe.EXAMPLES)(describe.describe)
app.command("schema", epilog=schema.EXAMPLES)(schema.schema)
app.add_typer(results.app, name="results")
app.add_typer(data.app, name="data")


def _version(value: bool) -> None:
    if value:
        from clbench import __version__

        typer.echo(f"clbench {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Show the version."),
) -> None:
    """Hold the options of ``clbench`` itself."""


_usual_warning = warnings.showwarning


def _show_warning(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
    """Remarks are for people and need no source line; other warnings are shown as ever."""
    if issubclass(category, Remark):
        note(f"clbench: {message}")
    else:
        _usual_warning(message, category, *where, **more)


def main() -> None:
    """Run the command line; a UserError becomes one paragraph and exit code 2, Ctrl-C one and 130 (SIGTERM: 143)."""
    signal.signal(signal.SIGINT, at_once)
    warnings.showwarning = _show_warning
    try:
        app()
    except UserError as error:
        complain(str(error))
        sys.exit(error.exit_code)
    except InterruptedAtOnceError:
        complain("Interrupted. What had ended is written and whole; 'run --resume' and 'sweep' go on from there.")
        sys.exit(128 + signal.SIGINT)
    except BrokenPipeError:  # the reader of our output, such as head, has had enough
        sys.stderr.close()
        sys.exit(0)
    except (ImportError, RuntimeError, OSError) as error:
        problem = _installation_problem(error)
        if problem is None:
            raise
        complain(problem)
        sys.exit(2)


def _installation_problem(error: BaseException) -> str | None:
    """Say what to do if torch and torchvision do not fit together; None for any other error."""
    text = str(error)
    if "torchvision::" in text or "undefined symbol" in text:
        return (
            f"torch and torchvision do not fit together ({text.splitlines()[0]}). This happens with a CPU-only torch "
            "beside torchvision from PyPI. Install both from the same place: "
            "pip install --force-reinstall torch torchvision"
        )
    if isinstance(error, ModuleNotFoundError) and (error.name or "").split(".")[0] in (
        "torch",
        "torchvision",
    ):
        return f"{error.name} is not installed. Run: pip install torch torchvision avalanche-lib==0.6.0"
    return None
