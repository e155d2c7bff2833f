"""Agreement of synthetic images with their prompts, and the table and the figure of all measures of quality."""


rule measure_agreement:
    input:
        real=study.quality.real("<results>/images/real/{corpus}/features/real.parquet"),
        synthetic="<results>/images/{generator}/{corpus}/features/real.parquet",
        studies=study.quality.real("<results>/corpora/{corpus}/studies.parquet"),
        prompt_studies=study.quality.prompt_studies,
        prompts=study.quality.prompts,
        real_prompts=study.quality.real("<results>/reports/{corpus}/prompts.parquet"),
        real_images=study.quality.real("<results>/corpora/{corpus}/images.parquet"),
        synthetic_images="<results>/images/{generator}/{corpus}/images.parquet",
        image_encoder=study.quality.encoder("image_encoder.safetensors"),
        image_config=study.quality.encoder("image_encoder.json"),
        text_config=study.quality.encoder("text_encoder/config.json"),
        text_weights=study.quality.encoder("text_encoder/model.safetensors"),
        text_tokenizer=study.quality.encoder("text_encoder/tokenizer.json"),
        heads=study.quality.encoder("heads.safetensors"),
        heads_config=study.quality.encoder("heads.json"),
    output:
        agreement=f"{QUALITY}/agreement.json",
        by_image=f"{QUALITY}/agreement.parquet",
    log:
        "<logs>/measure_agreement/{generator}/{corpus}.log",
    benchmark:
        "<benchmarks>/measure_agreement/{generator}/{corpus}.tsv"
    wildcard_constraints:
        corpus=study.quality.names(),
    threads: 1
    resources:
        mem_mb=memory(4000),
        runtime=minutes(240),
        gpu=1,
    params:
        settings=study.settings("measure_agreement"),
        code=study.code("measure_agreement"),
    shell:
        "synvlp measure-agreement --real {input.real} --synthetic {input.synthetic} --studies {input.studies}"
        " --prompt-studies {input.prompt_studies} --prompts {input.prompts} --real-prompts {input.real_prompts}"
        " --real-images {input.real_images} --synthetic-images {input.synthetic_images}"
        " --image-encoder {input.image_encoder} --image-config {input.image_config}"
        " --text-config {input.text_config} --text-weights {input.text_weights}"
        " --text-tokenizer {input.text_tokenizer} --heads {input.heads} --heads-config {input.heads_config}"
        " --agreement {output.agreement} --by-image {output.by_image} {params.settings} > {log} 2>&1"


rule tabulate_quality:
    input:
        **{name: study.quality.files(f"{name}.json") for name in ("fidelity", "memorization", "diversity", "agreement")},
    output:
        quality="<results>/tables/quality.parquet",
        csv="<results>/tables/quality.csv",
        markdown="<results>/tables/quality.md",
        latex="<results>/tables/quality.tex",
    log:
        "<logs>/tabulate_quality.log",
    benchmark:
        "<benchmarks>/tabulate_quality.tsv"
    threads: 1
    resources:
        mem_mb=memory(2000),
        runtime=minutes(30),
    params:
        settings=study.settings("tabulate_quality"),
        code=study.code("tabulate_quality"),
    shell:
        "synvlp tabulate-quality --fidelity {input.fidelity} --memorization {input.memorization}"
        " --diversity {input.diversity} --agreement {input.agreement} --quality {output.quality} --csv {output.csv}"
        " --markdown {output.markdown} --latex {output.latex} {params.settings} > {log} 2>&1"


rule draw_quality:
    input:
        quality="<results>/tables/quality.parquet",
    output:
        png="<results>/tables/quality.png",
        svg="<results>/tables/quality.svg",
    log:
        "<logs>/draw_quality.log",
    benchmark:
        "<benchmarks>/draw_quality.tsv"
    threads: 1
    resources:
        mem_mb=memory(2000),
        runtime=minutes(30),
    params:
        settings=study.settings("draw_quality"),
        code=study.code("draw_quality"),
    shell:
        "synvlp draw-quality --quality {input.quality} --png {output.png} --svg {output.svg}"
        " {params.settings} > {log} 2>&1"
