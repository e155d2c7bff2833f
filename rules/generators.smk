"""Generators: image-text pairs, or published weights, become files that draw images for texts."""

from synvlp import kinds

FOLDER = "<results>/generators/{generator}"
PIPELINE = kinds.files("{generator}", "diffusion")
TRAINED = kinds.files("{generator}", "{kind}") | kinds.pictures("{generator}", "{kind}")
CURVES = kinds.pictures("{generator}", "diffusion")
PAIRS = {
    "images": lambda w: f"<results>/corpora/{study.parts.generators[w.generator].corpus}/images.parquet",
    "studies": f"{FOLDER}/pairs/studies.parquet",
    "prompts": f"{FOLDER}/pairs/prompts.parquet",
}


rule generators:
    input:
        [study.generator_files(wanted["generator"]) for wanted in study.image_sets()],


rule select_pairs:
    input:
        studies=lambda w: f"<results>/corpora/{study.parts.generators[w.generator].corpus}/studies.parquet",
        prompts=lambda w: f"<results>/reports/{study.parts.generators[w.generator].corpus}/prompts.parquet",
    output:
        selected_studies=PAIRS["studies"],
        selected_prompts=PAIRS["prompts"],
    log:
        "<logs>/select_pairs/{generator}.log",
    benchmark:
        "<benchmarks>/select_pairs/{generator}.tsv"
    threads: 1
    resources:
        mem_mb=memory(4000),
        runtime=minutes(30),
    params:
        settings=study.settings("select_pairs"),
        code=study.code("select_pairs"),
    shell:
        "synvlp select-pairs --studies {input.studies} --prompts {input.prompts}"
        " --selected-studies {output.selected_studies} --selected-prompts {output.selected_prompts} {params.settings} > {log} 2>&1"


rule train_autoencoder:
    input:
        images=PAIRS["images"],
        studies=PAIRS["studies"],
    output:
        config=f"{FOLDER}/autoencoder/config.json",
        weights=f"{FOLDER}/autoencoder/diffusion_pytorch_model.safetensors",
        curve=f"{FOLDER}/autoencoder/curve.csv",
        picture=f"{FOLDER}/autoencoder/reconstructions.png",
    log:
        "<logs>/train_autoencoder/{generator}.log",
    benchmark:
        "<benchmarks>/train_autoencoder/{generator}.tsv"
    threads: study.processes("train_autoencoder")
    resources:
        mem_mb=memory(4000),
        runtime=minutes(2880),
        gpu=study.processes("train_autoencoder"),
    params:
        settings=study.settings("train_autoencoder"),
        code=study.code("train_autoencoder"),
    shell:
        "synvlp train-autoencoder --images {input.images} --studies {input.studies} --config {output.config}"
        " --weights {output.weights} --curve {output.curve} --picture {output.picture}"
        " {params.settings} > {log} 2>&1"


rule train_diffusion:
    input:
        **PAIRS,
        autoencoder_config=rules.train_autoencoder.output.config,
        autoencoder_weights=rules.train_autoencoder.output.weights,
    output:
        **PIPELINE,
        **CURVES,
    log:
        "<logs>/train_diffusion/{generator}.log",
    benchmark:
        "<benchmarks>/train_diffusion/{generator}.tsv"
    wildcard_constraints:
        generator=study.names("generators", kind="diffusion"),
    threads: study.processes("train_diffusion")
    resources:
        mem_mb=memory(4000),
        runtime=minutes(2880),
        gpu=study.processes("train_diffusion"),
    params:
        settings=study.settings("train_diffusion"),
        code=study.code("train_diffusion"),
    shell:
        "synvlp train-diffusion --images {input.images} --studies {input.studies} --prompts {input.prompts}"
        " --autoencoder-config {input.autoencoder_config} --autoencoder-weights {input.autoencoder_weights}"
        " --model-index {output.model_index} --scheduler-config {output.scheduler_config}"
        " --text-encoder-config {output.text_encoder_config} --text-encoder-weights {output.text_encoder_weights}"
        " --tokenizer {output.tokenizer} --tokenizer-config {output.tokenizer_config}"
        " --unet-config {output.unet_config} --unet-weights {output.unet_weights}"
        " --vae-config {output.vae_config} --vae-weights {output.vae_weights}"
        " --curve {output.curve} --curve-picture {output.curve_picture} --samples {output.samples}"
        " {params.settings} > {log} 2>&1"


rule train_generator:
    input:
        **PAIRS,
    output:
        **TRAINED,
    log:
        "<logs>/train_generator/{generator}/{kind}.log",
    benchmark:
        "<benchmarks>/train_generator/{generator}/{kind}.tsv"
    wildcard_constraints:
        kind="|".join(kinds.trained()),
    threads: study.processes("train_generator")
    resources:
        mem_mb=memory(4000),
        runtime=minutes(2880),
        gpu=study.processes("train_generator"),
    params:
        settings=study.settings("train_generator"),
        code=study.code("train_generator"),
    shell:
        "synvlp train-{wildcards.kind} --images {input.images} --studies {input.studies} --prompts {input.prompts}"
        " --index {output.index} --weights {output.weights}"
        " --tokenizer {output.tokenizer} --tokenizer-config {output.tokenizer_config}"
        " --curve {output.curve} --curve-picture {output.curve_picture} --samples {output.samples}"
        " {params.settings} > {log} 2>&1"


rule finetune_diffusion:
    input:
        **PAIRS,
        source=lambda w: study.pipeline_source(w.generator),
    output:
        **PIPELINE,
        **CURVES,
    log:
        "<logs>/finetune_diffusion/{generator}.log",
    benchmark:
        "<benchmarks>/finetune_diffusion/{generator}.tsv"
    wildcard_constraints:
        generator=study.names("generators", kind="finetuned"),
    threads: study.processes("finetune_diffusion")
    resources:
        mem_mb=memory(32000),
        runtime=minutes(2880),
        gpu=study.processes("finetune_diffusion"),
    params:
        settings=study.settings("finetune_diffusion"),
        code=study.code("finetune_diffusion"),
    shell:
        "synvlp finetune-diffusion --images {input.images} --studies {input.studies} --prompts {input.prompts}"
        " --model-index {output.model_index} --scheduler-config {output.scheduler_config}"
        " --text-encoder-config {output.text_encoder_config} --text-encoder-weights {output.text_encoder_weights}"
        " --tokenizer {output.tokenizer} --tokenizer-config {output.tokenizer_config}"
        " --unet-config {output.unet_config} --unet-weights {output.unet_weights}"
        " --vae-config {output.vae_config} --vae-weights {output.vae_weights}"
        " --curve {output.curve} --curve-picture {output.curve_picture} --samples {output.samples}"
        " {params.settings} > {log} 2>&1"


rule adopt_pipeline:
    input:
        source=lambda w: study.pipeline_source(w.generator),
    output:
        **PIPELINE,
    log:
        "<logs>/adopt_pipeline/{generator}.log",
    benchmark:
        "<benchmarks>/adopt_pipeline/{generator}.tsv"
    wildcard_constraints:
        generator=study.names("generators", kind="published"),
    threads: 1
    resources:
        mem_mb=memory(16000),
        runtime=minutes(60),
    params:
        settings=study.settings("adopt_pipeline"),
        code=study.code("adopt_pipeline"),
    shell:
        "synvlp adopt-pipeline"
        " --model-index {output.model_index} --scheduler-config {output.scheduler_config}"
        " --text-encoder-config {output.text_encoder_config} --text-encoder-weights {output.text_encoder_weights}"
        " --tokenizer {output.tokenizer} --tokenizer-config {output.tokenizer_config}"
        " --unet-config {output.unet_config} --unet-weights {output.unet_weights}"
        " --vae-config {output.vae_config} --vae-weights {output.vae_weights}"
        " {params.settings} > {log} 2>&1"
