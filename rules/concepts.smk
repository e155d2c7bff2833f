"""Concepts: a vocabulary, and where the reports of corpora speak of its concepts."""


rule concepts:
    input:
        expand("<results>/concepts/{corpus}/mentions.parquet", corpus=study.concept_corpora()),
        expand(
            "<results>/concepts/{corpus}/measures.json",
            corpus=study.measured(study.concept_corpora()),
        ),
        study.written_results(),


rule read_vocabulary:
    input:
        source=study.vocabulary_file("path"),
        phrases=study.vocabulary_file("phrases"),
    output:
        vocabulary="<results>/concepts/vocabulary.parquet",
        table="<results>/concepts/vocabulary.csv",
        rejected="<results>/concepts/rejected.csv",
    log:
        "<logs>/read_vocabulary.log",
    benchmark:
        "<benchmarks>/read_vocabulary.tsv"
    threads: 1
    resources:
        mem_mb=memory(1000),
        runtime=minutes(10),
    params:
        settings=study.settings("read_vocabulary"),
        code=study.code("read_vocabulary"),
    shell:
        "synvlp read-vocabulary --source {input.source} --phrases {input.phrases}"
        " --vocabulary {output.vocabulary} --table {output.table} --rejected {output.rejected}"
        " {params.settings} > {log} 2>&1"


rule extract_concepts:
    input:
        prompts="<results>/reports/{corpus}/prompts.parquet",
        vocabulary="<results>/concepts/vocabulary.parquet",
        classifier=study.model_files("extract_concepts"),
    output:
        mentions="<results>/concepts/{corpus}/mentions.parquet",
        statistics="<results>/concepts/{corpus}/statistics.json",
        table="<results>/concepts/{corpus}/concepts.csv",
        pairs="<results>/concepts/{corpus}/pairs.csv",
        picture="<results>/concepts/{corpus}/concepts.png",
    log:
        "<logs>/extract_concepts/{corpus}.log",
    benchmark:
        "<benchmarks>/extract_concepts/{corpus}.tsv"
    threads: 1
    resources:
        mem_mb=memory(2000),
        runtime=minutes(240),
    params:
        settings=study.settings("extract_concepts"),
        code=study.code("extract_concepts"),
    shell:
        "synvlp extract-concepts --prompts {input.prompts} --vocabulary {input.vocabulary}"
        " --mentions {output.mentions} --statistics {output.statistics} --table {output.table}"
        " --pairs {output.pairs} --picture {output.picture} {params.settings} > {log} 2>&1"


rule measure_extraction:
    input:
        mentions="<results>/concepts/{corpus}/mentions.parquet",
        vocabulary="<results>/concepts/vocabulary.parquet",
        prompts="<results>/reports/{corpus}/prompts.parquet",
        studies="<results>/corpora/{corpus}/studies.parquet",
    output:
        measures="<results>/concepts/{corpus}/measures.json",
        table="<results>/concepts/{corpus}/measures.csv",
    log:
        "<logs>/measure_extraction/{corpus}.log",
    benchmark:
        "<benchmarks>/measure_extraction/{corpus}.tsv"
    threads: 1
    resources:
        mem_mb=memory(2000),
        runtime=minutes(30),
    params:
        settings=study.settings("measure_extraction"),
        code=study.code("measure_extraction"),
    shell:
        "synvlp measure-extraction --mentions {input.mentions} --vocabulary {input.vocabulary}"
        " --prompts {input.prompts} --studies {input.studies} --measures {output.measures}"
        " --table {output.table} {params.settings} > {log} 2>&1"


include: "concepts_written.smk"
