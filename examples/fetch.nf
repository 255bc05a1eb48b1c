// nextflow run fetch.nf                                   the real thing
// nextflow run fetch.nf --options --sandbox               a rehearsal
//
// The data stay in medfetch's cache, which all tasks must see; what travels between processes is the receipt.

params.subjects = 'LIDC-IDRI-0001,LIDC-IDRI-0002'
params.options = ''

process fetch {
    errorStrategy { task.exitStatus in [1, 6, 75, 130, 143] ? 'retry' : 'terminate' }  // it goes on from there
    maxRetries 3

    input:
    val subject

    output:
    tuple val(subject), path('receipt.json')

    script:
    """
    set -o pipefail
    medfetch get lidc-idri --select subject=${subject} --json ${params.options} | tail -n 1 > receipt.json
    """
}

workflow {
    fetch(Channel.of(params.subjects.tokenize(',')).flatten()) | view
}
