"""Concepts, second part: balanced sets of concepts become written reports, checked, with an audit."""

from synvlp.study import LANGUAGE_MODEL

WRITTEN = "<results>/concepts/{written}"
VOCABULARY = "<results>/concepts/vocabulary.parquet"


wildcard_constraints:
    written=study.names("written"),


rule sample_concepts:
    input:
        vocabulary=VOCABULARY,
        mentions=study.of_written("concepts/{corpus}/mentions.parquet"),
        studies=study.of_written("corpora/{corpus}/studies.parquet"),
    output:
        sets=f"{WRITTEN}/sets.parquet",
        counts=f"{WRITTEN}/counts.csv",
    log:
        "<logs>/sample_concepts/{written}.log",
    benchmark:
        "<benchmarks>/sample_concepts/{written}.tsv"
    threads: 1
    resources:
        mem_mb=memory(4000),
        runtime=minutes(120),
    params:
        settings=study.settings("sample_concepts"),
        code=study.code("sample_concepts"),
    shell:
        "synvlp sample-concepts --vocabulary {input.vocabulary} --mentions {input.mentions} --studies {input.studies}"
        " --sets {output.sets} --counts {output.counts} {params.settings} > {log} 2>&1"


rule train_writer:
    input:
        sections=study.of_written("reports/{corpus}/sections.parquet"),
        mentions=study.of_written("concepts/{corpus}/mentions.parquet"),
        studies=study.of_written("corpora/{corpus}/studies.parquet"),
    output:
        **{name: f"{WRITTEN}/model/{path}" for name, path in LANGUAGE_MODEL.items()},
        curve=f"{WRITTEN}/model/curve.csv",
    log:
        "<logs>/train_writer/{written}.log",
    benchmark:
        "<benchmarks>/train_writer/{written}.tsv"
    threads: 1
    resources:
        mem_mb=memory(4000),
        runtime=minutes(1440),
        gpu=1,
    params:
        settings=study.settings("train_writer"),
        code=study.code("train_writer"),
    shell:
        "synvlp train-writer --sections {input.sections} --mentions {input.mentions} --studies {input.studies}"
        " --config {output.config} --weights {output.weights} --tokenizer {output.tokenizer}"
        " --tokenizer-config {output.tokenizer_config} --curve {output.curve} {params.settings} > {log} 2>&1"


rule write_reports:
    input:
        sets=f"{WRITTEN}/sets.parquet",
        vocabulary=VOCABULARY,
        model_files=lambda w: study.writer_model(w.written),
    output:
        reports=f"{WRITTEN}/{{writer}}/reports.parquet",
        rejected=f"{WRITTEN}/{{writer}}/rejected.csv",
    log:
        "<logs>/write_reports/{written}/{writer}.log",
    benchmark:
        "<benchmarks>/write_reports/{written}/{writer}.tsv"
    wildcard_constraints:
        writer=study.names("writers"),
    threads: 1
    resources:
        mem_mb=memory(8000),
        runtime=minutes(2880),
        gpu=study.on_gpu("write_reports"),
    params:
        settings=study.settings("write_reports"),
        code=study.code("write_reports"),
    shell:
        "synvlp write-reports-{wildcards.writer} --sets {input.sets} --vocabulary {input.vocabulary}"
        " --model-files {input.model_files} --reports {output.reports} --rejected {output.rejected}"
        " {params.settings} > {log} 2>&1"


rule audit_reports:
    input:
        reports=lambda w: study.writer_file(w.written, "reports.parquet"),
        rejected=lambda w: study.writer_file(w.written, "rejected.csv"),
        sets=f"{WRITTEN}/sets.parquet",
        vocabulary=VOCABULARY,
        real=study.of_written("reports/{corpus}/prompts.parquet"),
    output:
        prompts=f"{WRITTEN}/prompts.parquet",
        table=f"{WRITTEN}/prompts.csv",
        audit=f"{WRITTEN}/audit.json",
    log:
        "<logs>/audit_reports/{written}.log",
    benchmark:
        "<benchmarks>/audit_reports/{written}.tsv"
    threads: 1
    resources:
        mem_mb=memory(4000),
        runtime=minutes(120),
    params:
        settings=study.settings("audit_reports"),
        code=study.code("audit_reports"),
    shell:
        "synvlp audit-reports --reports {input.reports} --rejected {input.rejected} --sets {input.sets}"
        " --vocabulary {input.vocabulary} --real {input.real} --prompts {output.prompts} --table {output.table}"
        " --audit {output.audit} {params.settings} > {log} 2>&1"


rule draw_frequencies:
    input:
        vocabulary=VOCABULARY,
        mentions=expand("<results>/concepts/{corpus}/mentions.parquet", corpus=study.compared_corpora()),
        studies=expand("<results>/corpora/{corpus}/studies.parquet", corpus=study.compared_corpora()),
        sets=expand("<results>/concepts/{written}/sets.parquet", written=study.written()),
    output:
        figure="<results>/concepts/frequencies.png",
        table="<results>/concepts/frequencies.csv",
    log:
        "<logs>/draw_frequencies.log",
    benchmark:
        "<benchmarks>/draw_frequencies.tsv"
    threads: 1
    resources:
        mem_mb=memory(2000),
        runtime=minutes(30),
    params:
        settings=study.settings("draw_frequencies"),
        code=study.code("draw_frequencies"),
    shell:
        "synvlp draw-frequencies --vocabulary {input.vocabulary} --mentions {input.mentions} --studies {input.studies}"
        " --sets {input.sets} --figure {output.figure} --table {output.table} {params.settings} > {log} 2>&1"
