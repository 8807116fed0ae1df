#!/usr/bin/env bash
# Make .venv (or $VENV) with prior3d and the pinned versions of everything under it; a second call changes nothing.
#   bash install.sh            to use it
#   bash install.sh --dev      to test and develop it too
#   bash install.sh --dev --browser    with Chromium, which the tests of pages look with
#   PYTHON=python3.12 VENV=.venv-3.12 bash install.sh    with another Python, beside it
# Root is needed for two steps only: Open3D wants four system libraries (libusb-1.0-0 libgl1 libegl1 libgomp1), the
# tests of pages the Debian package chromium. As root on Debian or Ubuntu they are installed here; otherwise the command
# to type is printed. Without the libraries nothing works; without Chromium those tests are skipped, and say so.
set -euo pipefail
cd "$(dirname "$0")"
lists="--requirement dependencies/base.txt"
browser=""
for option in "$@"; do
  case "$option" in
    --dev) lists="$lists --requirement dependencies/dev.txt" ;;
    --browser) browser=yes ;;
    *) echo "install.sh: there is no option $option; there are --dev and --browser" >&2; exit 2 ;;
  esac
done

libraries="libusb-1.0-0 libgl1 libegl1 libgomp1"
missing=""
if command -v dpkg >/dev/null; then
  for library in $libraries; do dpkg -s "$library" >/dev/null 2>&1 || missing="$missing $library"; done
fi
if [ -n "$missing" ]; then
  if [ "$(id -u)" = 0 ]; then
    echo "installing system libraries:$missing"
    apt-get update -q >/dev/null && apt-get install -y -q $missing >/dev/null
  else
    echo "system libraries are missing; type: sudo apt-get install -y$missing" >&2
    exit 1
  fi
fi

if [ -n "$browser" ] && ! command -v chromium >/dev/null && ! command -v chromium-browser >/dev/null; then
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "installing chromium"
    { apt-get update -q && apt-get install -y -q chromium; } >/dev/null 2>&1 ||
      echo "chromium could not be installed: the tests of pages will be skipped" >&2
  else
    echo "chromium is missing: the tests of pages will be skipped; to have them: sudo apt-get install -y chromium" >&2
  fi
fi

python="${PYTHON:-python3.11}"
command -v "$python" >/dev/null || { echo "$python not found: install Python 3.11, or set PYTHON" >&2; exit 1; }
venv="${VENV:-.venv}"
[ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
# Python compiles what is used at its first use, and that is a third of all files; where it must not write, all is compiled now.
compile="--no-compile"
[ -z "${PYTHONDONTWRITEBYTECODE:-}" ] || compile="--compile"
pip="$venv/bin/pip --disable-pip-version-check"
# PyTorch first, with all that this build of it wants: an index that offers a CPU build of this very version is then used, and
# nothing replaces it.
$pip install --quiet $compile --constraint constraints.txt "$(grep '^torch==' constraints.txt)"
# Then the lists as they stand, without what dependencies/left_out.txt names; its first lines say why.
$pip install --quiet $compile --constraint constraints.txt --no-deps $lists --editable .
echo "ready: $venv/bin/prior3d --help"
