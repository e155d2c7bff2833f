"""Encoders: pairs of images and texts pre-train image and text encoders; baselines stand beside them."""

ENCODER = {
    "image_encoder": "image_encoder.safetensors",
    "image_config": "image_encoder.json",
    "text_config": "text_encoder/config.json",
    "text_weights": "text_encoder/model.safetensors",
    "text_tokenizer": "text_encoder/tokenizer.json",
    "text_tokenizer_config": "text_encoder/tokenizer_config.json",
    "heads": "heads.safetensors",
    "heads_config": "heads.json",
    "curve": "curve.csv",
    "curve_picture": "curve.png",
    "summary": "summary.json",
}


rule encoders:
    input:
        [
            expand(
                "<results>/encoders/{method}/{source}/seed-{seed}/image_encoder.safetensors",
                **encoder,
            )
            for encoder in study.encoders()
        ],


rule train_tokenizer:
    input:
        prompts=[study.prompts_file(name) for name in study.text_corpora()],
        published=study.model_files("train_tokenizer"),
    output:
        tokenizer="<results>/encoders/tokenizer/tokenizer.json",
        config="<results>/encoders/tokenizer/tokenizer_config.json",
    log:
        "<logs>/train_tokenizer.log",
    benchmark:
        "<benchmarks>/train_tokenizer.tsv"
    threads: 1
    resources:
        mem_mb=memory(4000),
        runtime=minutes(60),
    params:
        settings=study.settings("train_tokenizer"),
        code=study.code("train_tokenizer"),
    shell:
        "synvlp train-tokenizer --prompts {input.prompts} --tokenizer {output.tokenizer} --config {output.config}"
        " {params.settings} > {log} 2>&1"


rule build_pairs:
    input:
        prompts=lambda w: study.pair_file(w.pair_set, "prompts"),
        images=lambda w: study.pair_file(w.pair_set, "images"),
        curated=lambda w: study.curation.decision(w.pair_set),
    output:
        pairs="<results>/encoders/pairs/{pair_set}/pairs.parquet",
        pixels="<results>/encoders/pairs/{pair_set}/pixels.npy",
        rejected="<results>/encoders/pairs/{pair_set}/rejected.csv",
    log:
        "<logs>/build_pairs/{pair_set}.log",
    benchmark:
        "<benchmarks>/build_pairs/{pair_set}.tsv"
    threads: 1
    resources:
        mem_mb=memory(4000),
        runtime=minutes(120),
    params:
        settings=study.settings("build_pairs"),
        code=study.code("build_pairs"),
    shell:
        "synvlp build-pairs --prompts {input.prompts} --images {input.images} --curated {input.curated}"
        " --pairs {output.pairs} --pixels {output.pixels} --rejected {output.rejected} {params.settings} > {log} 2>&1"


rule pretrain:
    input:
        pairs=lambda w: expand(
            "<results>/encoders/pairs/{set}/pairs.parquet",
            set=study.sets_of(w.source),
        ),
        pixels=lambda w: expand(
            "<results>/encoders/pairs/{set}/pixels.npy",
            set=study.sets_of(w.source),
        ),
        tokenizer=rules.train_tokenizer.output.tokenizer,
        tokenizer_config=rules.train_tokenizer.output.config,
        image_weights=study.parts.encoders.imagenet_weights or [],
        bert_config=study.text_file("config.json"),
        bert_weights=study.text_file("model.safetensors"),
    output:
        **{name: f"<results>/encoders/{{method}}/{{source}}/seed-{{seed}}/{path}" for name, path in ENCODER.items()},
    log:
        "<logs>/pretrain/{method}/{source}/seed-{seed}.log",
    benchmark:
        "<benchmarks>/pretrain/{method}/{source}/seed-{seed}.tsv"
    wildcard_constraints:
        method="convirt|gloria|mgca",
    threads: study.processes("pretrain")
    resources:
        mem_mb=memory(8000),
        runtime=minutes(2880),
        gpu=study.processes("pretrain"),
    params:
        settings=study.settings("pretrain"),
        code=study.code("pretrain"),
    shell:
        "synvlp pretrain-{wildcards.method} --pairs {input.pairs} --pixels {input.pixels}"
        " --tokenizer {input.tokenizer} --tokenizer-config {input.tokenizer_config}"
        " --image-weights {input.image_weights} --bert-config {input.bert_config} --bert-weights {input.bert_weights}"
        " --image-encoder {output.image_encoder} --image-config {output.image_config}"
        " --text-config {output.text_config} --text-weights {output.text_weights}"
        " --text-tokenizer {output.text_tokenizer} --text-tokenizer-config {output.text_tokenizer_config}"
        " --heads {output.heads} --heads-config {output.heads_config} --curve {output.curve}"
        " --curve-picture {output.curve_picture} --summary {output.summary}"
        " {params.settings} > {log} 2>&1"


rule init_encoder:
    input:
        weights=lambda w: (study.parts.encoders.imagenet_weights if w.method == "imagenet" else []),
    output:
        image_encoder="<results>/encoders/{method}/none/seed-{seed}/image_encoder.safetensors",
        image_config="<results>/encoders/{method}/none/seed-{seed}/image_encoder.json",
    log:
        "<logs>/init_encoder/{method}/seed-{seed}.log",
    benchmark:
        "<benchmarks>/init_encoder/{method}/seed-{seed}.tsv"
    wildcard_constraints:
        method="random|imagenet",
    threads: 1
    resources:
        mem_mb=memory(2000),
        runtime=minutes(10),
    params:
        settings=study.settings("init_encoder"),
        code=study.code("init_encoder"),
    shell:
        "synvlp init-encoder --weights {input.weights}"
        " --image-encoder {output.image_encoder} --image-config {output.image_config}"
        " {params.settings} > {log} 2>&1"


include: "curation.smk"
