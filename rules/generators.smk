"""Generators: image-text pairs, or published weights, become a text-to-image pipeline."""


def pipeline_files(folder):
    """The files of a diffusers pipeline below `folder`, by their names as outputs."""
    from synvlp.models.pipeline import FILES

    return {name: f"{folder}/{path}" for name, path in FILES.items()}
