"""The study: reads and checks the config, includes the stages, names the targets."""

from snakemake.utils import min_version

from synvlp import dag, environments
from synvlp.attempts import memory, minutes
from synvlp.versions import hooks

min_version("9.25")

environments.prepare()
shell.prefix("exec ")  # a job takes the place of its shell, which would not pass on a signal


configfile: "config.yaml"


study = hooks.open_study(config)


pathvars:
    results=f"results/{study.name}",
    logs=f"results/{study.name}/logs",
    benchmarks=f"results/{study.name}/benchmarks",


container: environments.image()


wildcard_constraints:
    corpus=study.names("corpora"),
    generator=study.names("generators"),
    pair_set=study.names("pair_sets"),
    source=f"none|{study.names('sources')}",
    dataset=study.names("datasets"),
    shard=r"\d+",
    seed=r"\d+",


include: "rules/corpora.smk"
include: "rules/reports.smk"
include: "rules/generators.smk"
include: "rules/images.smk"
include: "rules/encoders.smk"
include: "rules/tasks.smk"
include: "rules/tables.smk"


environments.assign(workflow.rules)


onstart:
    hooks.start(study)


onsuccess:
    hooks.end(study, dag.overlays(workflow))


onerror:
    hooks.end(study, dag.overlays(workflow))


localrules:
    all,
    corpora,
    reports,
    generators,
    images,
    encoders,
    tasks,
    tables,


rule all:
    default_target: True
    input:
        rules.tables.input,
