#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Makes the goldens anew: tests/data/golden/{g1,g1_ids,g2,llama_tied,llama_untied}. Same versions, same bytes.
#   tests/golden/make.sh             in a virtual environment of its own, with the pinned versions of requirements.txt
#   tests/golden/make.sh PYTHON      with an interpreter that has the packages already
set -eu
here=$(cd "$(dirname "$0")" && pwd)
data=${GOLDEN_OUT:-$here/../data/golden}
if [ $# -ge 1 ]; then
    python=$1
else
    environment=${GOLDEN_VENV:-${TMPDIR:-/tmp}/llamavision-golden-venv}
    [ -x "$environment/bin/python" ] || python3 -m venv "$environment"
    python=$environment/bin/python
    "$python" -m pip install --quiet -r "$here/requirements.txt"
    # Meta's package names its tools' dependencies too; only its model code is needed. fairscale builds against torch.
    "$python" -m pip install --quiet --no-deps llama-models==0.3.0
    "$python" -m pip install --quiet --no-deps --no-build-isolation fairscale==0.4.13
fi
export OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 PYTHONHASHSEED=0 PYTHONDONTWRITEBYTECODE=1 HF_HUB_OFFLINE=1
for shape in g1 g1_ids g2; do
    "$python" "$here/make.py" "$shape" "$data/$shape"
done
for shape in llama_tied llama_untied; do
    "$python" "$here/llama.py" "$shape" "$data/$shape"
done
"$python" "$here/check.py" "$data"/*/
