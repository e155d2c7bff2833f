"""What a study's page shows: its pictures, lists and measures, each with a title and a file."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from synvlp.study.checked import Study

PICTURES = ("segmentation", "detection", "grounding")  # tasks with pictures of predictions


def page(study: "Study") -> dict[str, dict[Any, str]]:
    """What the study's page shows: for each kind of material its titles, each with a file.

    Examples have no title, but a tuple of task, data set, method and source.
    """
    corpora, sets, first = study.corpora(), study.image_sets(), study.parts.encoders.seeds[0]
    drawn = study.measured()
    trained = sorted(
        {item["generator"] for item in sets if study.parts.generators[item["generator"]].kind != "published"}
    )
    scratch = [name for name in trained if study.parts.generators[name].kind == "diffusion"]
    images = {
        f"{item['generator']}, prompts of {item['corpus']}": "<results>/images/{generator}/{corpus}".format(**item)
        for item in sets
    }
    pictures = {
        **{f"Corpus {name}": f"<results>/corpora/{name}/preview.png" for name in drawn},
        **{f"Concepts of {name}": f"<results>/concepts/{name}/concepts.png" for name in study.concept_corpora()},
        **({"Frequencies of concepts": "<results>/concepts/frequencies.png"} if study.written() else {}),
        **{
            f"{'Synthetic' if item['corpus'] in study.written() else 'Real beside synthetic'}: {title}": (
                f"{folder}/sheet.png"
            )
            for item, (title, folder) in zip(sets, images.items(), strict=True)
        },
        **{f"Samples of {name}": study.generator_pictures(name)["samples"] for name in trained},
        **{
            f"What the autoencoder of {name} keeps": f"<results>/generators/{name}/autoencoder/reconstructions.png"
            for name in scratch
        },
        **{f"Loss of {name}": study.generator_pictures(name)["curve_picture"] for name in trained},
        **study.curation.pictures(),
        **{
            f"Loss of {method}, {source}": f"<results>/encoders/{method}/{source}/seed-{first}/curve.png"
            for method in study.parts.encoders.methods
            for source in sorted(study.parts.sources)
            if method in study.methods_of(source)
        },
    }
    return {
        "pictures": pictures | study.quality.shown(),
        "examples": {
            (run["task"], run["dataset"], run["method"], run["source"]): path
            for task in PICTURES
            for run, path in zip(study.runs(task), study.results("examples.png", task), strict=True)
            if run["seed"] == first
        },
        "audits": {name: f"<results>/reports/{name}/audit.json" for name in corpora},
        "measures": {name: f"<results>/reports/{name}/measures.json" for name in drawn},
        "extractions": {
            name: f"<results>/concepts/{name}/measures.json" for name in study.measured(study.concept_corpora())
        },
        "writings": {name: f"<results>/concepts/{name}/audit.json" for name in study.written()},
        "screenings": {title: f"{folder}/summary.json" for title, folder in images.items()},
        "rejected": {
            **{f"Studies of {name}": f"<results>/corpora/{name}/rejected.csv" for name in corpora},
            **{f"Reports of {name}, sections": f"<results>/reports/{name}/sections_rejected.csv" for name in corpora},
            **{f"Reports of {name}, prompts": f"<results>/reports/{name}/prompts_rejected.csv" for name in corpora},
            **({"Vocabulary of concepts": "<results>/concepts/rejected.csv"} if study.concept_corpora() else {}),
            **{f"Sets of {name}": study.writer_file(name, "rejected.csv") for name in study.written()},
            **{f"Images of {title}": f"{folder}/rejected.csv" for title, folder in images.items()},
            **study.curation.rejected(),
        },
        "quality_table": dict(enumerate(study.quality.tables("md"))),
        "quality_figure": dict(enumerate(study.quality.tables("svg"))),
    }
