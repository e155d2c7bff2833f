"""Corpora: each corpus in its published layout becomes one table of studies, with images and annotations."""


rule corpora:
    input:
        expand("<results>/corpora/{corpus}/studies.parquet", corpus=study.corpora()),


rule draw_phantoms:
    output:
        studies="<results>/corpora/{corpus}/studies.parquet",
        reports="<results>/corpora/{corpus}/reports.parquet",
        images="<results>/corpora/{corpus}/images.parquet",
        annotations="<results>/corpora/{corpus}/annotations.parquet",
        rejected="<results>/corpora/{corpus}/rejected.csv",
        identifiers="<results>/corpora/{corpus}/identifiers.parquet",
        preview="<results>/corpora/{corpus}/preview.png",
    log:
        "<logs>/draw_phantoms/{corpus}.log",
    benchmark:
        "<benchmarks>/draw_phantoms/{corpus}.tsv"
    wildcard_constraints:
        corpus=study.names("corpora", kind="phantom"),
    threads: 1
    resources:
        mem_mb=memory(2000),
        runtime=minutes(30),
    params:
        settings=study.settings("draw_phantoms"),
        code=study.code("draw_phantoms"),
    shell:
        "synvlp draw-phantoms --studies {output.studies} --reports {output.reports} --images {output.images}"
        " --annotations {output.annotations} --rejected {output.rejected} --identifiers {output.identifiers}"
        " --preview {output.preview} {params.settings} > {log} 2>&1"


rule read_manifest:
    input:
        manifest=study.corpus_source("path"),
        coco=study.beside_manifest("coco"),
        classes=study.beside_manifest("classes"),
        checksums=study.beside_manifest("checksums"),
    output:
        studies="<results>/corpora/{corpus}/studies.parquet",
        reports="<results>/corpora/{corpus}/reports.parquet",
        images="<results>/corpora/{corpus}/images.parquet",
        annotations="<results>/corpora/{corpus}/annotations.parquet",
        rejected="<results>/corpora/{corpus}/rejected.csv",
    log:
        "<logs>/read_manifest/{corpus}.log",
    benchmark:
        "<benchmarks>/read_manifest/{corpus}.tsv"
    wildcard_constraints:
        corpus=study.names("corpora", kind="manifest"),
    threads: 1
    resources:
        mem_mb=memory(4000),
        runtime=minutes(240),
    params:
        settings=study.settings("read_manifest"),
        code=study.code("read_manifest"),
    shell:
        "synvlp read-manifest --manifest {input.manifest} --coco {input.coco} --classes {input.classes}"
        " --checksums {input.checksums} --studies {output.studies} --reports {output.reports}"
        " --images {output.images} --annotations {output.annotations} --rejected {output.rejected}"
        " {params.settings} > {log} 2>&1"


rule read_iu:
    input:
        archive=study.corpus_source("path"),
        index=study.corpus_source("index"),
    output:
        studies="<results>/corpora/{corpus}/studies.parquet",
        reports="<results>/corpora/{corpus}/reports.parquet",
        images="<results>/corpora/{corpus}/images.parquet",
        annotations="<results>/corpora/{corpus}/annotations.parquet",
        rejected="<results>/corpora/{corpus}/rejected.csv",
    log:
        "<logs>/read_iu/{corpus}.log",
    benchmark:
        "<benchmarks>/read_iu/{corpus}.tsv"
    wildcard_constraints:
        corpus=study.names("corpora", kind="iu"),
    threads: 1
    resources:
        mem_mb=memory(2000),
        runtime=minutes(60),
    params:
        settings=study.settings("read_iu"),
        code=study.code("read_iu"),
    shell:
        "synvlp read-iu --archive {input.archive} --index {input.index}"
        " --studies {output.studies} --reports {output.reports} --images {output.images}"
        " --annotations {output.annotations} --rejected {output.rejected} {params.settings} > {log} 2>&1"
