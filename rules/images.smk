"""Images: prompts become screened synthetic images, in shards that are drawn side by side."""


rule images:
    input:
        [
            expand(f"<results>/images/{{generator}}/{{corpus}}/{name}", **wanted)
            for wanted in study.image_sets()
            for name in ("images.parquet", "sheet.png")
        ],
        study.quality.files("pairs.png"),


rule partition:
    input:
        prompts=lambda w: study.prompts_file(w.corpus),
    output:
        parts=expand("<results>/images/prompts/{{corpus}}/{shard}.parquet", shard=range(study.parts.images.shards)),
    log:
        "<logs>/partition/{corpus}.log",
    benchmark:
        "<benchmarks>/partition/{corpus}.tsv"
    wildcard_constraints:
        corpus=study.names("texts"),
    threads: 1
    resources:
        mem_mb=memory(4000),
        runtime=minutes(30),
    params:
        settings=study.settings("partition"),
        code=study.code("partition"),
    shell:
        "synvlp partition --prompts {input.prompts} --parts {output.parts} {params.settings} > {log} 2>&1"


rule synthesize:
    input:
        prompts="<results>/images/prompts/{corpus}/{shard}.parquet",
        pipeline=lambda w: study.generator_files(w.generator),
    output:
        shard_file="<results>/images/{generator}/{corpus}/shards/{shard}.parquet",
    log:
        "<logs>/synthesize/{generator}/{corpus}/{shard}.log",
    benchmark:
        "<benchmarks>/synthesize/{generator}/{corpus}/{shard}.tsv"
    wildcard_constraints:
        corpus=study.names("texts"),
    threads: 1
    resources:
        mem_mb=memory(4000),
        runtime=minutes(480),
        gpu=1,
    params:
        settings=study.settings("synthesize"),
        code=study.code("synthesize"),
    shell:
        "synvlp synthesize --prompts {input.prompts} --pipeline {input.pipeline} --shard-file {output.shard_file}"
        " {params.settings} > {log} 2>&1"


rule screen:
    input:
        shards=expand(
            "<results>/images/{{generator}}/{{corpus}}/shards/{shard}.parquet",
            shard=range(study.parts.images.shards),
        ),
        prompts=lambda w: study.prompts_file(w.corpus),
        pipeline=lambda w: study.generator_files(w.generator),
    output:
        images="<results>/images/{generator}/{corpus}/images.parquet",
        rejected="<results>/images/{generator}/{corpus}/rejected.csv",
        summary="<results>/images/{generator}/{corpus}/summary.json",
    log:
        "<logs>/screen/{generator}/{corpus}.log",
    benchmark:
        "<benchmarks>/screen/{generator}/{corpus}.tsv"
    wildcard_constraints:
        corpus=study.names("texts"),
    threads: 1
    resources:
        mem_mb=memory(4000),
        runtime=minutes(240),
        gpu=1,
    params:
        settings=study.settings("screen"),
        code=study.code("screen"),
    shell:
        "synvlp screen --shards {input.shards} --prompts {input.prompts} --pipeline {input.pipeline}"
        " --images {output.images} --rejected {output.rejected} --summary {output.summary}"
        " {params.settings} > {log} 2>&1"


rule contact_sheet:
    input:
        images="<results>/images/{generator}/{corpus}/images.parquet",
        real=lambda w: study.real_images(w.corpus),
        prompts=lambda w: study.prompts_file(w.corpus),
    output:
        sheet="<results>/images/{generator}/{corpus}/sheet.png",
    log:
        "<logs>/contact_sheet/{generator}/{corpus}.log",
    benchmark:
        "<benchmarks>/contact_sheet/{generator}/{corpus}.tsv"
    wildcard_constraints:
        corpus=study.names("texts"),
    threads: 1
    resources:
        mem_mb=memory(2000),
        runtime=minutes(30),
    params:
        settings=study.settings("contact_sheet"),
        code=study.code("contact_sheet"),
    shell:
        "synvlp contact-sheet --images {input.images} --real {input.real} --prompts {input.prompts}"
        " --sheet {output.sheet} {params.settings} > {log} 2>&1"


include: "quality.smk"
