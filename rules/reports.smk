"""Reports: raw reports become anonymized text with an audit, sections and prompts."""


rule reports:
    input:
        expand("<results>/reports/{corpus}/prompts.parquet", corpus=study.corpora()),
        expand(
            "<results>/reports/{corpus}/measures.json",
            corpus=study.measured(),
        ),


rule anonymize:
    input:
        reports="<results>/corpora/{corpus}/reports.parquet",
        studies="<results>/corpora/{corpus}/studies.parquet",
        key=study.parts.reports.key_file,
        detector=study.model_files("anonymize"),
    output:
        anonymized="<results>/reports/{corpus}/anonymized.parquet",
        found="<results>/reports/{corpus}/found.parquet",
        audit="<results>/reports/{corpus}/audit.json",
        audit_table="<results>/reports/{corpus}/audit.csv",
    log:
        "<logs>/anonymize/{corpus}.log",
    benchmark:
        "<benchmarks>/anonymize/{corpus}.tsv"
    threads: 1
    resources:
        mem_mb=memory(4000),
        runtime=minutes(240),
    params:
        settings=study.settings("anonymize"),
        code=study.code("anonymize"),
    shell:
        "synvlp anonymize --reports {input.reports} --studies {input.studies} --key {input.key}"
        " --anonymized {output.anonymized} --found {output.found} --audit {output.audit}"
        " --audit-table {output.audit_table} {params.settings} > {log} 2>&1"


rule measure_anonymization:
    input:
        reports="<results>/corpora/{corpus}/reports.parquet",
        identifiers="<results>/corpora/{corpus}/identifiers.parquet",
        found="<results>/reports/{corpus}/found.parquet",
        anonymized="<results>/reports/{corpus}/anonymized.parquet",
    output:
        measures="<results>/reports/{corpus}/measures.json",
        table="<results>/reports/{corpus}/measures.csv",
    log:
        "<logs>/measure_anonymization/{corpus}.log",
    benchmark:
        "<benchmarks>/measure_anonymization/{corpus}.tsv"
    threads: 1
    resources:
        mem_mb=memory(2000),
        runtime=minutes(30),
    params:
        settings=study.settings("measure_anonymization"),
        code=study.code("measure_anonymization"),
    shell:
        "synvlp measure-anonymization --reports {input.reports} --identifiers {input.identifiers}"
        " --found {input.found} --anonymized {input.anonymized} --measures {output.measures}"
        " --table {output.table} {params.settings} > {log} 2>&1"


rule split_sections:
    input:
        anonymized="<results>/reports/{corpus}/anonymized.parquet",
    output:
        sections="<results>/reports/{corpus}/sections.parquet",
        rejected="<results>/reports/{corpus}/sections_rejected.csv",
    log:
        "<logs>/split_sections/{corpus}.log",
    benchmark:
        "<benchmarks>/split_sections/{corpus}.tsv"
    threads: 1
    resources:
        mem_mb=memory(2000),
        runtime=minutes(30),
    params:
        settings=study.settings("split_sections"),
        code=study.code("split_sections"),
    shell:
        "synvlp split-sections --anonymized {input.anonymized} --sections {output.sections}"
        " --rejected {output.rejected} {params.settings} > {log} 2>&1"


rule write_prompts:
    input:
        studies="<results>/corpora/{corpus}/studies.parquet",
        sections="<results>/reports/{corpus}/sections.parquet",
    output:
        prompts="<results>/reports/{corpus}/prompts.parquet",
        table="<results>/reports/{corpus}/prompts.csv",
        rejected="<results>/reports/{corpus}/prompts_rejected.csv",
    log:
        "<logs>/write_prompts/{corpus}.log",
    benchmark:
        "<benchmarks>/write_prompts/{corpus}.tsv"
    threads: 1
    resources:
        mem_mb=memory(2000),
        runtime=minutes(30),
    params:
        settings=study.settings("write_prompts"),
        code=study.code("write_prompts"),
    shell:
        "synvlp write-prompts --studies {input.studies} --sections {input.sections} --prompts {output.prompts}"
        " --table {output.table} --rejected {output.rejected} {params.settings} > {log} 2>&1"
