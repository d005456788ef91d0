#!/usr/bin/env bash
# The wheels that benchmarks/gpu_qlora.py needs on a GPU machine without registries, for its Python 3.12 on x86-64.
#
#   bash benchmarks/gpu_wheels.sh .whl       (here; name a folder that git ignores)
#   there:  python3 -m pip install -q --no-index --no-deps --no-compile --upgrade --target /tmp/site .whl/*.whl
#           PYTHONPATH=/tmp/site python3 benchmarks/gpu_qlora.py --folder /tmp/qlora
#
# Versions are those of constraints.txt, TRL's that of peers.txt. PyTorch, Transformers, PEFT, Accelerate, NumPy and
# PyArrow are the machine's. --no-deps: what these need beyond that is named below. About 58 MB; bitsandbytes alone is
# 43 MB, because it carries a library for each CUDA. SLIM=1 keeps its CPU library and those of CUDA 13 (7 MB).
set -euo pipefail
folder=${1:?usage: gpu_wheels.sh FOLDER}
here=$(dirname "$0")
pinned() { sed -n "s/^\($1==.*\)/\1/p" "$here/../constraints.txt"; }
mkdir -p "$folder"
platforms=()
for name in manylinux_2_28 manylinux_2_27 manylinux_2_24 manylinux_2_17 manylinux2014 manylinux1; do
  platforms+=(--platform "${name}_x86_64")
done
wanted=("$(sed -n '/^trl==/p' "$here/peers.txt")")
for name in bitsandbytes datasets dill multiprocess xxhash pandas tzdata; do
  wanted+=("$(pinned "$name")")
done
python3 -m pip download --quiet --no-deps --only-binary=:all: --python-version 3.12 --implementation cp \
  "${platforms[@]}" --dest "$folder" "${wanted[@]}"
if [ "${SLIM:-}" ]; then
  wheel=$(ls "$folder"/bitsandbytes-*.whl)
  zip -q -d "$wheel" '*libbitsandbytes_cuda1[12]*' '*libbitsandbytes_rocm*' '*libbitsandbytes_xpu*'
fi
du -sh "$folder"
