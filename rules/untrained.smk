"""Tasks without training: an encoder's image and text sides meet on zero-shot classification, retrieval, grounding."""

ALIGNED = {
    **ENCODED,
    "text_config": "<results>/encoders/{method}/{source}/seed-{seed}/text_encoder/config.json",
    "text_weights": "<results>/encoders/{method}/{source}/seed-{seed}/text_encoder/model.safetensors",
    "text_tokenizer": "<results>/encoders/{method}/{source}/seed-{seed}/text_encoder/tokenizer.json",
    "heads": "<results>/encoders/{method}/{source}/seed-{seed}/heads.safetensors",
    "heads_config": "<results>/encoders/{method}/{source}/seed-{seed}/heads.json",
}


rule build_retrieval_set:
    input:
        studies=study.corpus_file("studies.parquet"),
        images=study.corpus_file("images.parquet"),
        prompts=study.corpus_file("prompts.parquet", "reports"),
    output:
        **study.sample_files("retrieval", texts="texts.parquet"),
    log:
        "<logs>/build_retrieval_set/{dataset}.log",
    benchmark:
        "<benchmarks>/build_retrieval_set/{dataset}.tsv"
    threads: 1
    resources:
        mem_mb=memory(4000),
        runtime=minutes(60),
    params:
        settings=study.settings("build_retrieval_set"),
        code=study.code("build_retrieval_set"),
    shell:
        "synvlp build-retrieval-set --studies {input.studies} --images {input.images} --prompts {input.prompts}"
        " --samples {output.samples} --pixels {output.pixels} --texts {output.texts}"
        " --description {output.description} {params.settings} > {log} 2>&1"


rule align:
    input:
        unpack(study.task_files),
        **ALIGNED,
    output:
        metrics=f"<results>/tasks/{{task}}/{RUN}/metrics.json",
        predictions=f"<results>/tasks/{{task}}/{RUN}/predictions.parquet",
    log:
        "<logs>/align/{task}/{dataset}/{method}/{source}/seed-{seed}.log",
    benchmark:
        "<benchmarks>/align/{task}/{dataset}/{method}/{source}/seed-{seed}.tsv"
    wildcard_constraints:
        task=study.untrained("grounding"),
    threads: 1
    resources:
        mem_mb=memory(8000),
        runtime=minutes(240),
        gpu=1,
    params:
        settings=study.settings("align"),
        code=study.code("align"),
    shell:
        "synvlp {wildcards.task} --image-encoder {input.image_encoder} --image-config {input.image_config}"
        " --text-config {input.text_config} --text-weights {input.text_weights} --text-tokenizer {input.text_tokenizer}"
        " --heads {input.heads} --heads-config {input.heads_config} --samples {input.samples} --pixels {input.pixels}"
        " --description {input.description} --masks {input.masks} --boxes {input.boxes} --texts {input.texts}"
        " --metrics {output.metrics} --predictions {output.predictions} {params.settings} > {log} 2>&1"


rule ground:
    input:
        unpack(study.task_files),
        **ALIGNED,
    output:
        metrics=f"<results>/tasks/grounding/{RUN}/metrics.json",
        predictions=f"<results>/tasks/grounding/{RUN}/predictions.parquet",
        examples=f"<results>/tasks/grounding/{RUN}/examples.png",
    log:
        "<logs>/ground/{dataset}/{method}/{source}/seed-{seed}.log",
    benchmark:
        "<benchmarks>/ground/{dataset}/{method}/{source}/seed-{seed}.tsv"
    threads: 1
    resources:
        mem_mb=memory(8000),
        runtime=minutes(240),
        gpu=1,
    params:
        settings=study.settings("ground"),
        code=study.code("ground"),
    shell:
        "synvlp grounding --image-encoder {input.image_encoder} --image-config {input.image_config}"
        " --text-config {input.text_config} --text-weights {input.text_weights} --text-tokenizer {input.text_tokenizer}"
        " --heads {input.heads} --heads-config {input.heads_config} --samples {input.samples} --pixels {input.pixels}"
        " --description {input.description} --masks {input.masks} --boxes {input.boxes}"
        " --metrics {output.metrics} --predictions {output.predictions} --examples {output.examples}"
        " {params.settings} > {log} 2>&1"
