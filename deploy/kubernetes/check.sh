#!/usr/bin/env bash
# Checks the manifests against the schemas of the Kubernetes API, without a cluster. Unknown fields are errors.
#
# It needs Python and PyPI, from which it takes kubernetes-validate, which has the schemas with it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check kubernetes-validate==1.37.0 || {
    echo "Skipped: kubernetes-validate cannot be installed"
    exit 0
}
# The oldest version in which all fields are stable, and the newest one known.
for version in 1.33.0 1.37.0; do
    "$folder/venv/bin/kubernetes-validate" --strict -k "$version" ./*.yaml
done
# A check that accepts everything checks nothing.
sed 's/completionMode: Indexed/completionsMode: Indexed/' job.yaml >"$folder/wrong.yaml"
if "$folder/venv/bin/kubernetes-validate" --strict "$folder/wrong.yaml" >"$folder/log" 2>&1; then
    echo "a field that does not exist was accepted" >&2
    exit 1
fi
# The two places that must agree.
completions=$(sed -n 's/^  completions: //p' job.yaml)
grep -A1 'name: JOB_COMPLETIONS' job.yaml | grep -qx " *value: \"$completions\""
