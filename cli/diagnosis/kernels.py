"""Check of the encoder's compiled kernels: built, and which instruction set they use here."""

from collections.abc import Iterator

from retr.cli.diagnosis import Finding


def encoder() -> Iterator[Finding]:
    """Which kernels encode texts on this processor."""
    from retr.encoders.kernels import native

    if native.library() is None:
        remedy = "Install a wheel, or a C++ compiler and then retr again: encoding takes twice as long without them."
        yield Finding("kernels", "warning", "not built; onnxruntime does their work", remedy)
        return
    chosen, found = native.chosen(), ", ".join(native.kernels()) or "none"
    if not chosen:
        yield Finding("kernels", "ok", f"none is used ({native.SETTING}=off, or no fitting processor); built: {found}")
    else:
        yield Finding("kernels", "ok", f"{chosen} (of {found})")
