"""Tasks: an encoder and a labelled data set become metrics and per-sample predictions."""

ENCODED = {
    "image_encoder": "<results>/encoders/{method}/{source}/seed-{seed}/image_encoder.safetensors",
    "image_config": "<results>/encoders/{method}/{source}/seed-{seed}/image_encoder.json",
}
RUN = "<results>/tasks/{dataset}/{method}/{source}/seed-{seed}"


def runs(task):
    """Every encoder on every data set of a task, as wildcards."""
    return [{"dataset": dataset, **encoder} for dataset in study.datasets(task) for encoder in study.encoders()]


def results(task, name):
    """The file `name` of every run of a task, in the order of `runs`."""
    return [expand(f"{RUN}/{name}", **run)[0] for run in runs(task)]


rule tasks:
    input:
        [results(task, "metrics.json") for task in study.tasks()],


rule build_classification_set:
    input:
        studies=lambda w: f"<results>/corpora/{study.parts.tasks.datasets[w.dataset].corpus}/studies.parquet",
        images=lambda w: f"<results>/corpora/{study.parts.tasks.datasets[w.dataset].corpus}/images.parquet",
    output:
        samples="<results>/tasks/{dataset}/samples.parquet",
        pixels="<results>/tasks/{dataset}/pixels.npy",
        description="<results>/tasks/{dataset}/dataset.json",
    log:
        "<logs>/build_classification_set/{dataset}.log",
    benchmark:
        "<benchmarks>/build_classification_set/{dataset}.tsv"
    wildcard_constraints:
        dataset=study.names("datasets", task="classification"),
    params:
        settings=study.settings("build_classification_set"),
        code=study.code("build_classification_set"),
    threads: 1
    resources:
        mem_mb=4000,
        runtime=60,
    shell:
        "synvlp build-classification-set --studies {input.studies} --images {input.images}"
        " --samples {output.samples} --pixels {output.pixels} --description {output.description}"
        " {params.settings} > {log} 2>&1"


rule build_segmentation_set:
    input:
        studies=lambda w: f"<results>/corpora/{study.parts.tasks.datasets[w.dataset].corpus}/studies.parquet",
        images=lambda w: f"<results>/corpora/{study.parts.tasks.datasets[w.dataset].corpus}/images.parquet",
        annotations=lambda w: f"<results>/corpora/{study.parts.tasks.datasets[w.dataset].corpus}/annotations.parquet",
    output:
        samples="<results>/tasks/{dataset}/samples.parquet",
        pixels="<results>/tasks/{dataset}/pixels.npy",
        masks="<results>/tasks/{dataset}/masks.npy",
        description="<results>/tasks/{dataset}/dataset.json",
    log:
        "<logs>/build_segmentation_set/{dataset}.log",
    benchmark:
        "<benchmarks>/build_segmentation_set/{dataset}.tsv"
    wildcard_constraints:
        dataset=study.names("datasets", task="segmentation"),
    params:
        settings=study.settings("build_segmentation_set"),
        code=study.code("build_segmentation_set"),
    threads: 1
    resources:
        mem_mb=4000,
        runtime=60,
    shell:
        "synvlp build-segmentation-set --studies {input.studies} --images {input.images}"
        " --annotations {input.annotations} --samples {output.samples} --pixels {output.pixels}"
        " --masks {output.masks} --description {output.description} {params.settings} > {log} 2>&1"


rule build_detection_set:
    input:
        studies=lambda w: f"<results>/corpora/{study.parts.tasks.datasets[w.dataset].corpus}/studies.parquet",
        images=lambda w: f"<results>/corpora/{study.parts.tasks.datasets[w.dataset].corpus}/images.parquet",
        annotations=lambda w: f"<results>/corpora/{study.parts.tasks.datasets[w.dataset].corpus}/annotations.parquet",
    output:
        samples="<results>/tasks/{dataset}/samples.parquet",
        pixels="<results>/tasks/{dataset}/pixels.npy",
        boxes="<results>/tasks/{dataset}/boxes.json",
        description="<results>/tasks/{dataset}/dataset.json",
    log:
        "<logs>/build_detection_set/{dataset}.log",
    benchmark:
        "<benchmarks>/build_detection_set/{dataset}.tsv"
    wildcard_constraints:
        dataset=study.names("datasets", task="detection"),
    params:
        settings=study.settings("build_detection_set"),
        code=study.code("build_detection_set"),
    threads: 1
    resources:
        mem_mb=4000,
        runtime=60,
    shell:
        "synvlp build-detection-set --studies {input.studies} --images {input.images}"
        " --annotations {input.annotations} --samples {output.samples} --pixels {output.pixels}"
        " --boxes {output.boxes} --description {output.description} {params.settings} > {log} 2>&1"


rule encode:
    input:
        **ENCODED,
        pixels="<results>/tasks/{dataset}/pixels.npy",
        samples="<results>/tasks/{dataset}/samples.parquet",
    output:
        features=f"{RUN}/features.npy",
    log:
        "<logs>/encode/{dataset}/{method}/{source}/seed-{seed}.log",
    benchmark:
        "<benchmarks>/encode/{dataset}/{method}/{source}/seed-{seed}.tsv"
    params:
        settings=study.settings("encode"),
        code=study.code("encode"),
    threads: 1
    resources:
        mem_mb=4000,
        runtime=240,
        gpu=1,
    shell:
        "synvlp encode --image-encoder {input.image_encoder} --image-config {input.image_config}"
        " --pixels {input.pixels} --samples {input.samples} --features {output.features}"
        " {params.settings} > {log} 2>&1"
