"""``clusca report``: one page of what was recorded."""

import pathlib
from typing import TYPE_CHECKING, Annotated, Any

import typer

from clusca_ext.commands.checks import require_folder
from clusca_ext.writing import replaced

if TYPE_CHECKING:
    from clusca_ext.recording import Document


def report(
    files: Annotated[
        list[pathlib.Path],
        typer.Argument(
            help="A recorded document, and files of rows: of clusca bench, bench/results, journals "
            "of clusca lab."
        ),
    ],
    output: Annotated[
        pathlib.Path, typer.Option("--output", "-o", help="Where the page goes.")
    ] = pathlib.Path("report.html"),
    open_it: Annotated[bool, typer.Option("--open", help="Show it in the browser.")] = False,
) -> None:
    """Write one page, with all it needs within it, of what run, demo and bench recorded.

    Pictures side by side, a time line of steps, clusters and representatives, drift, memory, and
    plots of rows.

    Example: clusca report run.json -o report.html
    """
    from clusca_ext.report import render

    for path in files:
        if not path.is_file():
            raise typer.BadParameter(f"there is no file {path}")
    require_folder(output)
    if any(output.resolve() == path.resolve() for path in files):
        raise typer.BadParameter(f"--output must be a file of its own, got {output}, which is read")
    try:
        page = render(*_read(files))
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    with replaced(output) as partial:
        partial.write_text(page, "utf-8")
    typer.echo(f"Page: {output}")
    if open_it:
        typer.launch(output.resolve().as_uri())


def _read(files: list[pathlib.Path]) -> "tuple[Document, list[dict[str, Any]]]":
    """The document, or one of rows alone, and the rows of other files."""
    from clusca_ext.recording import Document
    from clusca_ext.report import rows

    documents: list[Document] = []
    found: list[dict[str, Any]] = []
    for path in files:
        if rows.are_rows(path):
            found += rows.read(path)
        else:
            documents.append(Document.load(path))
    if len(documents) > 1:
        raise ValueError(f"one document at most makes a page, got {len(documents)}")
    if not documents:
        title = ", ".join(path.name for path in files)
        documents.append(Document(kind="bench", title=title, notes=["Rows of files alone."]))
    return documents[0], found
