#!/bin/sh
# Install into a scratch folder, look at what came, build a program against it
# with pkg-config alone, run it, uninstall, and find nothing left.
#
#     install.sh make folder program.c
#
# Twice, with another prefix the second time: an avow.pc that remembers the
# first is the classic mistake.
set -u
make=$1
program=$3
cd "$(dirname "$0")/../.." || exit 1
rm -rf "$2"
mkdir -p "$2" || exit 1
scratch=$(cd "$2" && pwd)
pkg_config=${PKG_CONFIG:-pkg-config}
version=$(sed -n 's/^#define AVOW_VERSION "\(.*\)"/\1/p' include/avow.h)

fail() {
	echo "install: $*"
	exit 1
}

round() { # prefix libdir
	root=$scratch/root
	log=$scratch/log
	$make --no-print-directory install DESTDIR="$root" prefix="$1" \
		libdir="$2" >"$log" 2>&1 || { cat "$log"; fail "make install"; }
	for file in "$2/libavow.a" "$2/pkgconfig/avow.pc" \
		"$1/include/avow.h" "$1/include/avow/callback.h"; do
		[ -f "$root$file" ] || fail "$file was not installed"
	done
	for page in docs/man/*.3; do
		[ -f "$root$1/share/man/man3/${page##*/}" ] ||
			fail "$page was not installed"
	done

	PKG_CONFIG_PATH=$root$2/pkgconfig
	PKG_CONFIG_SYSROOT_DIR=$root
	export PKG_CONFIG_PATH PKG_CONFIG_SYSROOT_DIR
	said=$($pkg_config --modversion avow) || fail "pkg-config"
	[ "$said" = "$version" ] || fail "avow.pc says version $said"
	# From a folder where no header of the checkout can be found by chance.
	cp "$program" "$scratch/program.c"
	# CC and what pkg-config says are words.
	# shellcheck disable=SC2046,SC2086
	(cd "$scratch" && ${CC:-cc} $($pkg_config --cflags avow) \
		-o program program.c $($pkg_config --libs avow)) ||
		fail "$program does not build against what was installed"
	unset PKG_CONFIG_PATH PKG_CONFIG_SYSROOT_DIR
	"$scratch/program" >"$scratch/output" 2>&1 || {
		cat "$scratch/output"
		fail "$program does not run"
	}

	$make --no-print-directory uninstall DESTDIR="$root" prefix="$1" \
		libdir="$2" >"$log" 2>&1 || { cat "$log"; fail "make uninstall"; }
	left=$(find "$root" ! -type d -o -name '*avow*')
	[ -z "$left" ] || fail "left behind: $left"
	echo "install: $1 and $2: installed, built against, removed"
}

round /usr/local /usr/local/lib
round /opt/elsewhere /opt/libraries/lib64
