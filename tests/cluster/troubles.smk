"""Jobs that get into trouble on a cluster, with the profile of the study."""

import sys

from synvlp.attempts import memory, minutes


localrules:
    all,


rule all:
    input:
        "gpus.txt",
        "hungry.txt",
        "slow.txt",
        "broken.txt",


rule gpus:
    output:
        "gpus.txt",
    threads: 2
    resources:
        gpu=2,
    shell:
        "echo $CUDA_VISIBLE_DEVICES >> starts.txt; cp starts.txt {output}"


# Takes 600 MB, and asks for 500 first.
rule hungry:
    output:
        "hungry.txt",
    resources:
        mem_mb=memory(500),
    params:
        python=sys.executable,
    shell:
        "{params.python} -c 'import time; taken = b\"x\" * 600_000_000; time.sleep(5)'; touch {output}"


# Takes longer than a minute, and asks for one first. When its time is up it saves what it has.
rule slow:
    output:
        "slow.txt",
    resources:
        runtime=minutes(1),
    shell:
        "trap 'echo half > saved.txt; exit 75' TERM;"
        " test -e saved.txt || for beat in $(seq 900); do sleep 0.2; done; mv saved.txt {output}"


rule broken:
    output:
        "broken.txt",
    log:
        "logs/broken.log",
    retries: 0
    shell:
        "echo 'the last words of a broken job' > {log}; exit 3"
