"""Quality of images: features of real and synthetic ones become measures of fidelity, diversity, agreement, memorization."""

FEATURES = "<results>/images/{generator}/{corpus}/features/{space}"
QUALITY = "<results>/images/{generator}/{corpus}/quality"


rule embed_images:
    input:
        images=study.quality.images,
        weights=study.quality.network("weights"),
        config=study.quality.network("config"),
        preprocessor=study.quality.network("preprocessor"),
    output:
        features=f"{FEATURES}.parquet",
        rejected=f"{FEATURES}_rejected.csv",
    log:
        "<logs>/embed_images/{generator}/{corpus}/{space}.log",
    benchmark:
        "<benchmarks>/embed_images/{generator}/{corpus}/{space}.tsv"
    wildcard_constraints:
        corpus=study.quality.names(),
        generator=f"real|{study.names('generators')}",
        space="|".join(study.parts.images.quality.spaces),
    threads: 1
    resources:
        mem_mb=memory(4000),
        runtime=minutes(240),
        gpu=1,
    params:
        settings=study.settings("embed_images"),
        code=study.code("embed_images"),
    shell:
        "synvlp embed-images --images {input.images} --weights {input.weights} --config {input.config}"
        " --preprocessor {input.preprocessor} --features {output.features} --rejected {output.rejected}"
        " {params.settings} > {log} 2>&1"


rule measure_fidelity:
    input:
        real=lambda w: study.quality.features(w)["real"],
        synthetic=lambda w: study.quality.features(w)["synthetic"],
        studies=study.quality.real("<results>/corpora/{corpus}/studies.parquet"),
        prompts=study.quality.prompts,
    output:
        fidelity=f"{QUALITY}/fidelity.json",
    log:
        "<logs>/measure_fidelity/{generator}/{corpus}.log",
    benchmark:
        "<benchmarks>/measure_fidelity/{generator}/{corpus}.tsv"
    wildcard_constraints:
        corpus=study.quality.names(),
    threads: 1
    resources:
        mem_mb=memory(4000),
        runtime=minutes(240),
    params:
        settings=study.settings("measure_fidelity"),
        code=study.code("measure_fidelity"),
    shell:
        "synvlp measure-fidelity --real {input.real} --synthetic {input.synthetic} --studies {input.studies}"
        " --prompts {input.prompts} --fidelity {output.fidelity} {params.settings} > {log} 2>&1"


rule measure_memorization:
    input:
        real=lambda w: study.quality.features(w)["real"],
        synthetic=lambda w: study.quality.features(w)["synthetic"],
        studies=study.quality.real("<results>/corpora/{corpus}/studies.parquet"),
        prompts=study.quality.prompts,
        real_images=study.quality.real("<results>/corpora/{corpus}/images.parquet"),
        synthetic_images="<results>/images/{generator}/{corpus}/images.parquet",
    output:
        memorization=f"{QUALITY}/memorization.json",
        nearest=f"{QUALITY}/nearest.parquet",
        table=f"{QUALITY}/nearest.csv",
        pairs=f"{QUALITY}/pairs.png",
    log:
        "<logs>/measure_memorization/{generator}/{corpus}.log",
    benchmark:
        "<benchmarks>/measure_memorization/{generator}/{corpus}.tsv"
    wildcard_constraints:
        corpus=study.quality.names(),
    threads: 1
    resources:
        mem_mb=memory(4000),
        runtime=minutes(240),
    params:
        settings=study.settings("measure_memorization"),
        code=study.code("measure_memorization"),
    shell:
        "synvlp measure-memorization --real {input.real} --synthetic {input.synthetic} --studies {input.studies}"
        " --prompts {input.prompts} --real-images {input.real_images} --synthetic-images {input.synthetic_images}"
        " --memorization {output.memorization} --nearest {output.nearest} --table {output.table}"
        " --pairs {output.pairs} {params.settings} > {log} 2>&1"


rule select_repeats:
    input:
        prompts=study.quality.prompts,
    output:
        selected="<results>/images/repeats/{corpus}/prompts.parquet",
    log:
        "<logs>/select_repeats/{corpus}.log",
    benchmark:
        "<benchmarks>/select_repeats/{corpus}.tsv"
    wildcard_constraints:
        corpus=study.quality.names(),
    threads: 1
    resources:
        mem_mb=memory(2000),
        runtime=minutes(30),
    params:
        settings=study.settings("select_repeats"),
        code=study.code("select_repeats"),
    shell:
        "synvlp select-repeats --prompts {input.prompts} --selected {output.selected} {params.settings} > {log} 2>&1"


rule draw_repeats:
    input:
        prompts=rules.select_repeats.output.selected,
        pipeline=rules.synthesize.input.pipeline,
    output:
        shard_file=f"{QUALITY}/repeats.parquet",
    log:
        "<logs>/draw_repeats/{generator}/{corpus}.log",
    benchmark:
        "<benchmarks>/draw_repeats/{generator}/{corpus}.tsv"
    wildcard_constraints:
        corpus=study.quality.names(),
    threads: 1
    resources:
        mem_mb=memory(4000),
        runtime=minutes(240),
        gpu=1,
    params:
        settings=study.settings("draw_repeats"),
        code=study.code("draw_repeats"),
    shell:
        "synvlp synthesize --prompts {input.prompts} --pipeline {input.pipeline} --shard-file {output.shard_file}"
        " {params.settings} > {log} 2>&1"


rule measure_diversity:
    input:
        repeats=rules.draw_repeats.output.shard_file,
        real_images=study.quality.real("<results>/corpora/{corpus}/images.parquet"),
        studies=study.quality.real("<results>/corpora/{corpus}/studies.parquet"),
    output:
        diversity=f"{QUALITY}/diversity.json",
        by_prompt=f"{QUALITY}/diversity.csv",
    log:
        "<logs>/measure_diversity/{generator}/{corpus}.log",
    benchmark:
        "<benchmarks>/measure_diversity/{generator}/{corpus}.tsv"
    wildcard_constraints:
        corpus=study.quality.names(),
    threads: 1
    resources:
        mem_mb=memory(4000),
        runtime=minutes(120),
    params:
        settings=study.settings("measure_diversity"),
        code=study.code("measure_diversity"),
    shell:
        "synvlp measure-diversity --repeats {input.repeats} --real-images {input.real_images}"
        " --studies {input.studies} --diversity {output.diversity} --by-prompt {output.by_prompt}"
        " {params.settings} > {log} 2>&1"


include: "agreement.smk"
