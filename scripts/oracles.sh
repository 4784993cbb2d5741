#!/usr/bin/env bash
# Puts the real programs that judge Starling into DIR, beside the system's own: prometheus, promtool,
# the node exporter, VictoriaMetrics and moto (an S3 server), from Debian sid (the current lines). Prints
# what to export.
#
# usage: scripts/oracles.sh DIR     (root, on Debian bookworm or newer; under a minute, about 600 MB)
set -euo pipefail
dir=$(realpath -m "${1:?usage: oracles.sh DIR}")
programs=(prometheus promtool prometheus-node-exporter victoria-metrics)
# What moto is written on, from this system.
libraries=(flask flask-cors boto3 xmltodict responses werkzeug cryptography jinja2 yaml)

complete() {
  for program in "${programs[@]}" moto-server; do [ -x "$dir/bin/$program" ] || return 1; done
}

if ! complete; then
  mkdir -p "$dir"/{apt/lists/partial,apt/cache/archives/partial,debs,root,bin}
  apt-get update -qq >/dev/null
  # The archive this system already uses, with the suite swapped for sid.
  archive=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep -v security | grep '/debian/*$' | head -n 1)
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $archive sid main" >"$dir/apt/sources.list"
  sid=(-o "Dir::Etc::sourcelist=$dir/apt/sources.list" -o Dir::Etc::sourceparts=/dev/null
    -o "Dir::State::lists=$dir/apt/lists" -o "Dir::Cache=$dir/apt/cache" -o APT::Sandbox::User=root)
  apt-get "${sid[@]}" update -qq
  (cd "$dir/debs" && apt-get "${sid[@]}" download -qq "${programs[@]}" python3-moto)
  for deb in "$dir"/debs/*.deb; do dpkg -x "$deb" "$dir/root"; done
  for program in "${programs[@]}"; do
    found=$(find "$dir/root/usr/bin" -name "$program" | head -n 1)
    [ -n "$found" ] && ln -sf "$found" "$dir/bin/$program"
  done
  apt-get install -y -qq --no-install-recommends "${libraries[@]/#/python3-}" >/dev/null
  cat >"$dir/bin/moto-server" <<EOF
#!/bin/sh
PYTHONPATH=$dir/root/usr/lib/python3/dist-packages exec /usr/bin/python3 -c 'from moto.server import main; main()' "\$@"
EOF
  chmod +x "$dir/bin/moto-server"
fi
complete || { echo "oracles: a program is missing in $dir/bin" >&2; exit 1; }
"$dir/bin/promtool" --version 2>&1 | head -n 1 >&2
echo "export PROM_BIN=$dir/bin"
