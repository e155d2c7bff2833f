"""Tasks: an encoder and a labelled data set become metrics and per-sample predictions."""

ENCODED = {
    "image_encoder": "<results>/encoders/{method}/{source}/seed-{seed}/image_encoder.safetensors",
    "image_config": "<results>/encoders/{method}/{source}/seed-{seed}/image_encoder.json",
}
RUN = "{dataset}/{method}/{source}/seed-{seed}"


include: "untrained.smk"


rule tasks:
    input:
        study.results("metrics.json"),


rule build_classification_set:
    input:
        studies=study.corpus_file("studies.parquet"),
        images=study.corpus_file("images.parquet"),
    output:
        **study.sample_files("classification"),
    log:
        "<logs>/build_classification_set/{dataset}.log",
    benchmark:
        "<benchmarks>/build_classification_set/{dataset}.tsv"
    threads: 1
    resources:
        mem_mb=memory(4000),
        runtime=minutes(60),
    params:
        settings=study.settings("build_classification_set"),
        code=study.code("build_classification_set"),
    shell:
        "synvlp build-classification-set --studies {input.studies} --images {input.images}"
        " --samples {output.samples} --pixels {output.pixels} --description {output.description}"
        " {params.settings} > {log} 2>&1"


rule build_segmentation_set:
    input:
        studies=study.corpus_file("studies.parquet"),
        images=study.corpus_file("images.parquet"),
        annotations=study.corpus_file("annotations.parquet"),
    output:
        **study.sample_files("segmentation", masks="masks.npy"),
    log:
        "<logs>/build_segmentation_set/{dataset}.log",
    benchmark:
        "<benchmarks>/build_segmentation_set/{dataset}.tsv"
    threads: 1
    resources:
        mem_mb=memory(4000),
        runtime=minutes(60),
    params:
        settings=study.settings("build_segmentation_set"),
        code=study.code("build_segmentation_set"),
    shell:
        "synvlp build-segmentation-set --studies {input.studies} --images {input.images}"
        " --annotations {input.annotations} --samples {output.samples} --pixels {output.pixels}"
        " --masks {output.masks} --description {output.description} {params.settings} > {log} 2>&1"


rule build_detection_set:
    input:
        studies=study.corpus_file("studies.parquet"),
        images=study.corpus_file("images.parquet"),
        annotations=study.corpus_file("annotations.parquet"),
    output:
        **study.sample_files("detection", boxes="boxes.json"),
    log:
        "<logs>/build_detection_set/{dataset}.log",
    benchmark:
        "<benchmarks>/build_detection_set/{dataset}.tsv"
    threads: 1
    resources:
        mem_mb=memory(4000),
        runtime=minutes(60),
    params:
        settings=study.settings("build_detection_set"),
        code=study.code("build_detection_set"),
    shell:
        "synvlp build-detection-set --studies {input.studies} --images {input.images}"
        " --annotations {input.annotations} --samples {output.samples} --pixels {output.pixels}"
        " --boxes {output.boxes} --description {output.description} {params.settings} > {log} 2>&1"


rule encode:
    input:
        **ENCODED,
        **study.sample_files("classification"),
    output:
        features=f"<results>/tasks/classification/{RUN}/features.npy",
    log:
        "<logs>/encode/{dataset}/{method}/{source}/seed-{seed}.log",
    benchmark:
        "<benchmarks>/encode/{dataset}/{method}/{source}/seed-{seed}.tsv"
    threads: 1
    resources:
        mem_mb=memory(4000),
        runtime=minutes(240),
        gpu=1,
    params:
        settings=study.settings("encode"),
        code=study.code("encode"),
    shell:
        "synvlp encode --image-encoder {input.image_encoder} --image-config {input.image_config}"
        " --pixels {input.pixels} --samples {input.samples} --features {output.features}"
        " {params.settings} > {log} 2>&1"


rule classify:
    input:
        **study.sample_files("classification"),
        features=f"<results>/tasks/classification/{RUN}/features.npy",
    output:
        metrics=f"<results>/tasks/classification/{RUN}/metrics.json",
        predictions=f"<results>/tasks/classification/{RUN}/predictions.parquet",
    log:
        "<logs>/classify/{dataset}/{method}/{source}/seed-{seed}.log",
    benchmark:
        "<benchmarks>/classify/{dataset}/{method}/{source}/seed-{seed}.tsv"
    threads: 1
    resources:
        mem_mb=memory(4000),
        runtime=minutes(480),
    params:
        settings=study.settings("classify"),
        code=study.code("classify"),
    shell:
        "synvlp classify --features {input.features}"
        " --samples {input.samples} --description {input.description}"
        " --metrics {output.metrics} --predictions {output.predictions} {params.settings} > {log} 2>&1"


rule segment:
    input:
        **ENCODED,
        **study.sample_files("segmentation", masks="masks.npy"),
    output:
        metrics=f"<results>/tasks/segmentation/{RUN}/metrics.json",
        predictions=f"<results>/tasks/segmentation/{RUN}/predictions.parquet",
        examples=f"<results>/tasks/segmentation/{RUN}/examples.png",
    log:
        "<logs>/segment/{dataset}/{method}/{source}/seed-{seed}.log",
    benchmark:
        "<benchmarks>/segment/{dataset}/{method}/{source}/seed-{seed}.tsv"
    threads: 1
    resources:
        mem_mb=memory(8000),
        runtime=minutes(480),
        gpu=1,
    params:
        settings=study.settings("segment"),
        code=study.code("segment"),
    shell:
        "synvlp segment --image-encoder {input.image_encoder} --image-config {input.image_config}"
        " --pixels {input.pixels} --samples {input.samples} --masks {input.masks} --description {input.description}"
        " --metrics {output.metrics} --predictions {output.predictions} --examples {output.examples} {params.settings} > {log} 2>&1"


rule detect:
    input:
        **ENCODED,
        **study.sample_files("detection", boxes="boxes.json"),
    output:
        metrics=f"<results>/tasks/detection/{RUN}/metrics.json",
        predictions=f"<results>/tasks/detection/{RUN}/predictions.parquet",
        examples=f"<results>/tasks/detection/{RUN}/examples.png",
    log:
        "<logs>/detect/{dataset}/{method}/{source}/seed-{seed}.log",
    benchmark:
        "<benchmarks>/detect/{dataset}/{method}/{source}/seed-{seed}.tsv"
    threads: 1
    resources:
        mem_mb=memory(8000),
        runtime=minutes(480),
        gpu=1,
    params:
        settings=study.settings("detect"),
        code=study.code("detect"),
    shell:
        "synvlp detect --image-encoder {input.image_encoder} --image-config {input.image_config}"
        " --pixels {input.pixels} --samples {input.samples} --boxes {input.boxes} --description {input.description}"
        " --metrics {output.metrics} --predictions {output.predictions} --examples {output.examples} {params.settings} > {log} 2>&1"
