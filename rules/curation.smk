"""Curation, a part of the encoders' stage: judges look at a corpus's pairs, and a study of theirs may leave some out.

A corpus is judged as it is (version raw) or as a copy of which a known share is corrupted (version corrupted), whose
judges can be measured. Nothing here runs unless a set of pairs is curated or corrupted.
"""


rule corrupt_corpus:
    input:
        images="<results>/corpora/{corpus}/images.parquet",
        prompts="<results>/reports/{corpus}/prompts.parquet",
    output:
        corrupted_images="<results>/encoders/curation/{corpus}/corrupted/images.parquet",
        corrupted_prompts="<results>/encoders/curation/{corpus}/corrupted/prompts.parquet",
        truth="<results>/encoders/curation/{corpus}/corrupted/truth.parquet",
        table="<results>/encoders/curation/{corpus}/corrupted/truth.csv",
    log:
        "<logs>/corrupt_corpus/{corpus}.log",
    benchmark:
        "<benchmarks>/corrupt_corpus/{corpus}.tsv"
    threads: 1
    resources:
        mem_mb=memory(4000),
        runtime=minutes(60),
    params:
        settings=study.settings("corrupt_corpus"),
        code=study.code("corrupt_corpus"),
    shell:
        "synvlp corrupt-corpus --images {input.images} --prompts {input.prompts}"
        " --corrupted-images {output.corrupted_images} --corrupted-prompts {output.corrupted_prompts}"
        " --truth {output.truth} --table {output.table} {params.settings} > {log} 2>&1"


rule judge_images:
    input:
        images=lambda w: study.curation.judged(w.corpus, w.version, "images"),
        studies="<results>/corpora/{corpus}/studies.parquet",
    output:
        judgements="<results>/encoders/curation/{corpus}/{version}/judged_images.parquet",
        summary="<results>/encoders/curation/{corpus}/{version}/judged_images.json",
    log:
        "<logs>/judge_images/{corpus}/{version}.log",
    benchmark:
        "<benchmarks>/judge_images/{corpus}/{version}.tsv"
    wildcard_constraints:
        version="raw|corrupted",
    threads: 1
    resources:
        mem_mb=memory(4000),
        runtime=minutes(240),
        gpu=1,
    params:
        settings=study.settings("judge_images"),
        code=study.code("judge_images"),
    shell:
        "synvlp judge-images --images {input.images} --studies {input.studies} --judgements {output.judgements}"
        " --summary {output.summary} {params.settings} > {log} 2>&1"


rule judge_pairs:
    input:
        images=lambda w: study.curation.judged(w.corpus, w.version, "images"),
        prompts=lambda w: study.curation.judged(w.corpus, w.version, "prompts"),
    output:
        judgements="<results>/encoders/curation/{corpus}/{version}/judged_pairs.parquet",
        summary="<results>/encoders/curation/{corpus}/{version}/judged_pairs.json",
    log:
        "<logs>/judge_pairs/{corpus}/{version}.log",
    benchmark:
        "<benchmarks>/judge_pairs/{corpus}/{version}.tsv"
    wildcard_constraints:
        version="raw|corrupted",
    threads: 1
    resources:
        mem_mb=memory(4000),
        runtime=minutes(240),
    params:
        settings=study.settings("judge_pairs"),
        code=study.code("judge_pairs"),
    shell:
        "synvlp judge-pairs --images {input.images} --prompts {input.prompts} --judgements {output.judgements}"
        " --summary {output.summary} {params.settings} > {log} 2>&1"


rule find_duplicates:
    input:
        images=lambda w: study.curation.judged(w.corpus, w.version, "images"),
        studies="<results>/corpora/{corpus}/studies.parquet",
        prompts=lambda w: study.curation.judged(w.corpus, w.version, "prompts"),
    output:
        judgements="<results>/encoders/curation/{corpus}/{version}/duplicates.parquet",
        listing="<results>/encoders/curation/{corpus}/{version}/duplicates.csv",
        summary="<results>/encoders/curation/{corpus}/{version}/duplicates.json",
    log:
        "<logs>/find_duplicates/{corpus}/{version}.log",
    benchmark:
        "<benchmarks>/find_duplicates/{corpus}/{version}.tsv"
    wildcard_constraints:
        version="raw|corrupted",
    threads: 1
    resources:
        mem_mb=memory(4000),
        runtime=minutes(240),
    params:
        settings=study.settings("find_duplicates"),
        code=study.code("find_duplicates"),
    shell:
        "synvlp find-duplicates --images {input.images} --studies {input.studies} --prompts {input.prompts}"
        " --judgements {output.judgements} --listing {output.listing} --summary {output.summary}"
        " {params.settings} > {log} 2>&1"


rule curate:
    input:
        judgements=[
            rules.judge_images.output.judgements,
            rules.judge_pairs.output.judgements,
            rules.find_duplicates.output.judgements,
        ],
        images=lambda w: study.curation.judged(w.corpus, w.version, "images"),
    output:
        curated="<results>/encoders/curation/{corpus}/{version}/curated.parquet",
        rejected="<results>/encoders/curation/{corpus}/{version}/rejected.csv",
        sheet="<results>/encoders/curation/{corpus}/{version}/sheet.png",
        summary="<results>/encoders/curation/{corpus}/{version}/summary.json",
    log:
        "<logs>/curate/{corpus}/{version}.log",
    benchmark:
        "<benchmarks>/curate/{corpus}/{version}.tsv"
    wildcard_constraints:
        version="raw|corrupted",
    threads: 1
    resources:
        mem_mb=memory(4000),
        runtime=minutes(60),
    params:
        settings=study.settings("curate"),
        code=study.code("curate"),
    shell:
        "synvlp curate --judgements {input.judgements} --images {input.images} --curated {output.curated}"
        " --rejected {output.rejected} --sheet {output.sheet} --summary {output.summary}"
        " {params.settings} > {log} 2>&1"


rule measure_curation:
    input:
        truth=rules.corrupt_corpus.output.truth,
        images="<results>/encoders/curation/{corpus}/corrupted/judged_images.parquet",
        pairs="<results>/encoders/curation/{corpus}/corrupted/judged_pairs.parquet",
        duplicates="<results>/encoders/curation/{corpus}/corrupted/duplicates.parquet",
    output:
        measures="<results>/encoders/curation/{corpus}/corrupted/measures.json",
        table="<results>/encoders/curation/{corpus}/corrupted/recall.csv",
        picture="<results>/encoders/curation/{corpus}/corrupted/recall.png",
    log:
        "<logs>/measure_curation/{corpus}.log",
    benchmark:
        "<benchmarks>/measure_curation/{corpus}.tsv"
    threads: 1
    resources:
        mem_mb=memory(2000),
        runtime=minutes(30),
    params:
        settings=study.settings("measure_curation"),
        code=study.code("measure_curation"),
    shell:
        "synvlp measure-curation --truth {input.truth} --images {input.images} --pairs {input.pairs}"
        " --duplicates {input.duplicates} --measures {output.measures} --table {output.table}"
        " --picture {output.picture} {params.settings} > {log} 2>&1"
