"""Tables: all metrics become per-task tables, comparisons with intervals, figures and the study's page."""


rule tables:
    input:
        expand("<results>/tables/{task}.{ending}", task=study.tasks(), ending=("csv", "md", "tex")),
        expand("<results>/tables/{task}.{ending}", task=study.tasks(), ending=("png", "svg")),
        "<results>/tables/summary.csv",
        "<results>/tables/comparison.csv",
        expand("<results>/tables/ablation-{ablation}.csv", ablation=study.parts.tables.ablations),
        expand("<results>/tables/scaling-{task}-slopes.csv", task=study.scaled_tasks()),
        "<results>/tables/index.html",
        study.quality.tables("csv", "md", "tex", "png", "svg"),


rule tabulate:
    input:
        metrics=lambda w: study.results("metrics.json", w.task),
    output:
        csv="<results>/tables/{task}.csv",
        markdown="<results>/tables/{task}.md",
        latex="<results>/tables/{task}.tex",
    log:
        "<logs>/tabulate/{task}.log",
    benchmark:
        "<benchmarks>/tabulate/{task}.tsv"
    wildcard_constraints:
        task="|".join(study.tasks()),
    threads: 1
    resources:
        mem_mb=memory(2000),
        runtime=minutes(30),
    params:
        settings=study.settings("tabulate"),
        code=study.code("tabulate"),
    shell:
        "synvlp tabulate --metrics {input.metrics} --csv {output.csv} --markdown {output.markdown}"
        " --latex {output.latex} {params.settings} > {log} 2>&1"


rule summarize:
    input:
        metrics=study.results("metrics.json"),
    output:
        summary="<results>/tables/summary.csv",
    log:
        "<logs>/summarize.log",
    benchmark:
        "<benchmarks>/summarize.tsv"
    threads: 1
    resources:
        mem_mb=memory(2000),
        runtime=minutes(30),
    params:
        settings=study.settings("summarize"),
        code=study.code("summarize"),
    shell:
        "synvlp summarize --metrics {input.metrics} --summary {output.summary} {params.settings} > {log} 2>&1"


rule compare:
    input:
        predictions=study.results("predictions.parquet"),
    output:
        comparison="<results>/tables/comparison.parquet",
        csv="<results>/tables/comparison.csv",
        markdown="<results>/tables/comparison.md",
    log:
        "<logs>/compare.log",
    benchmark:
        "<benchmarks>/compare.tsv"
    threads: 1
    resources:
        mem_mb=memory(8000),
        runtime=minutes(240),
    params:
        settings=study.settings("compare"),
        code=study.code("compare"),
    shell:
        "synvlp compare --predictions {input.predictions} --comparison {output.comparison} --csv {output.csv}"
        " --markdown {output.markdown} {params.settings} > {log} 2>&1"


rule draw_figure:
    input:
        comparison="<results>/tables/comparison.parquet",
    output:
        png="<results>/tables/{task}.png",
        svg="<results>/tables/{task}.svg",
    log:
        "<logs>/draw_figure/{task}.log",
    benchmark:
        "<benchmarks>/draw_figure/{task}.tsv"
    wildcard_constraints:
        task="|".join(study.tasks()),
    threads: 1
    resources:
        mem_mb=memory(2000),
        runtime=minutes(30),
    params:
        settings=study.settings("draw_figure"),
        code=study.code("draw_figure"),
    shell:
        "synvlp draw-figure --comparison {input.comparison} --png {output.png} --svg {output.svg}"
        " {params.settings} > {log} 2>&1"


rule draw_ablation:
    input:
        comparison="<results>/tables/comparison.parquet",
    output:
        csv="<results>/tables/ablation-{ablation}.csv",
        markdown="<results>/tables/ablation-{ablation}.md",
        png="<results>/tables/ablation-{ablation}.png",
        svg="<results>/tables/ablation-{ablation}.svg",
    log:
        "<logs>/draw_ablation/{ablation}.log",
    benchmark:
        "<benchmarks>/draw_ablation/{ablation}.tsv"
    wildcard_constraints:
        ablation="|".join(study.parts.tables.ablations) or "(?!)",
    threads: 1
    resources:
        mem_mb=memory(2000),
        runtime=minutes(30),
    params:
        settings=study.settings("draw_ablation"),
        code=study.code("draw_ablation"),
    shell:
        "synvlp draw-ablation --comparison {input.comparison} --csv {output.csv} --markdown {output.markdown}"
        " --png {output.png} --svg {output.svg} {params.settings} > {log} 2>&1"


rule draw_scaling:
    input:
        predictions=lambda w: study.scaling_results("predictions.parquet", w.task),
        summaries=list(study.pair_counts().values()),
    output:
        points="<results>/tables/scaling-{task}.csv",
        slopes="<results>/tables/scaling-{task}-slopes.csv",
        png="<results>/tables/scaling-{task}.png",
        svg="<results>/tables/scaling-{task}.svg",
    log:
        "<logs>/draw_scaling/{task}.log",
    benchmark:
        "<benchmarks>/draw_scaling/{task}.tsv"
    wildcard_constraints:
        task="|".join(study.tasks()),
    threads: 1
    resources:
        mem_mb=memory(8000),
        runtime=minutes(240),
    params:
        settings=study.settings("draw_scaling"),
        code=study.code("draw_scaling"),
    shell:
        "synvlp draw-scaling --predictions {input.predictions} --summaries {input.summaries} --points {output.points}"
        " --slopes {output.slopes} --png {output.png} --svg {output.svg} {params.settings} > {log} 2>&1"


rule write_page:
    input:
        **{kind: list(shown.values()) for kind, shown in study.page().items()},
        comparison="<results>/tables/comparison.parquet",
        tables=expand("<results>/tables/{table}.md", table=study.shown("tables")),
        figures=expand("<results>/tables/{figure}.svg", figure=study.shown("figures")),
    output:
        page="<results>/tables/index.html",
    log:
        "<logs>/write_page.log",
    benchmark:
        "<benchmarks>/write_page.tsv"
    threads: 1
    resources:
        mem_mb=memory(2000),
        runtime=minutes(30),
    params:
        settings=study.settings("write_page"),
        code=study.code("write_page"),
    shell:
        "synvlp write-page --comparison {input.comparison} --tables {input.tables} --figures {input.figures}"
        " --pictures {input.pictures} --examples {input.examples} --audits {input.audits} --measures {input.measures}"
        " --extractions {input.extractions} --writings {input.writings} --screenings {input.screenings}"
        " --rejected {input.rejected} --quality-table {input.quality_table} --quality-figure {input.quality_figure}"
        " --page {output.page} {params.settings} > {log} 2>&1"
