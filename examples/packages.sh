#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# packages.sh NAME...: installs those of the named packages that a Debian or Ubuntu machine lacks; elsewhere says what to have.
set -eu

if ! command -v apt-get >/dev/null; then
    echo "No apt-get here. If the build fails, install what these Debian packages hold: $*" >&2
    exit 0
fi

missing=()
for package in "$@"; do
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

echo "Installing ${missing[*]}"
as_root=()
[ "$(id -u)" -eq 0 ] || as_root=(sudo)
"${as_root[@]}" apt-get update -qq
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
