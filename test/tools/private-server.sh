# private-server.sh: functions for a PostgreSQL server of our own; source it.
#
# The server lives in one folder (data, log, socket, staged extension), listens on
# a unix socket only, and runs as an ordinary user even when the caller is root.
# Nothing of a system cluster is read or touched.
#
#   rag_pg_config                  the pg_config in use
#   rag_stage DIR                  build, and install the extensions rag and vector below DIR/stage
#   rag_server_init DIR [LINE...]  initdb; LINEs go into postgresql.conf
#   rag_server_start|stop DIR
#   rag_as_user COMMAND...         run as the server's user
#   rag_cache                      the folder for what is fetched once
#   rag_documents                  the folder with PostgreSQL's HTML documentation

RAG_TOP=${RAG_TOP:-$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)}

rag_pg_config()
{
	local found
	if [ -n "${PG_CONFIG:-}" ]; then
		echo "$PG_CONFIG"
		return
	fi
	found=$(command -v pg_config) ||
		found=$(ls -d /usr/lib/postgresql/*/bin/pg_config 2>/dev/null | sort -V | tail -n 1)
	echo "${found:-pg_config}"
}

# initdb and postgres refuse to run as root
rag_server_user()
{
	if [ "$(id -u)" -ne 0 ]; then
		id -un
	elif id postgres >/dev/null 2>&1; then
		echo postgres
	else
		echo nobody
	fi
}

rag_as_user()
{
	if [ "$(id -u)" -ne 0 ]; then
		"$@"
	else
		setpriv --reuid="$(rag_server_user)" --regid="$(id -g "$(rag_server_user)")" \
			--init-groups env HOME="${RAG_HOME:-/tmp}" PATH="$PATH" "$@"
	fi
}

rag_give()
{
	[ "$(id -u)" -ne 0 ] || chown -R "$(rag_server_user):" "$@"
}

# PostgreSQL finds extensions outside of its own folder since 18, Debian's packages always.
# Of any other server a copy is used, DIR/server, into which they can be installed.
rag_server_copy()
{
	local dir=$1 bindir
	bindir=$("$(rag_pg_config)" --bindir)
	if "$bindir/postgres" --describe-config | grep -qE '^extension_(destdir|control_path)\b'; then
		return
	fi
	[ -d "$dir/server" ] || cp -r "$(dirname "$bindir")" "$dir/server"
	chmod -R go+rX "$dir/server"
	export PG_CONFIG=$dir/server/bin/pg_config
}

# RAG_CFLAGS stands for the flags that the server was compiled with, which this compiler may not know.
rag_stage()
{
	local dir=$1
	mkdir -p "$dir/stage"
	rag_server_copy "$dir"
	make -s -C "$RAG_TOP" -j"$(nproc)" all PG_CONFIG="$(rag_pg_config)" \
		${RAG_CFLAGS:+"CFLAGS=$RAG_CFLAGS"} &&
		make -s -C "$RAG_TOP" install-vector PG_CONFIG="$(rag_pg_config)" DESTDIR="$dir/stage" \
			${RAG_CFLAGS:+"CFLAGS=$RAG_CFLAGS"} \
			>"$dir/install.log" || return 1
	chmod -R go+rX "$dir/stage"
	[ ! -d "$dir/server" ] || cp -r "$dir/stage$dir/server/." "$dir/server/"
}

rag_server_init()
{
	local dir=$1 pg_config major libdir sharedir
	shift
	pg_config=$(rag_pg_config)
	major=$("$pg_config" --version | sed 's/[^0-9]*\([0-9]*\).*/\1/')
	libdir=$("$pg_config" --pkglibdir)
	sharedir=$("$pg_config" --sharedir)
	mkdir -p "$dir/data"
	chmod 755 "$dir"
	rag_give "$dir"
	chmod 700 "$dir/data"
	rag_as_user "$("$pg_config" --bindir)/initdb" -D "$dir/data" -U postgres -A trust \
		--no-sync -E UTF8 --locale=C.UTF-8 >"$dir/initdb.log" 2>&1 ||
		{ cat "$dir/initdb.log" >&2; return 1; }
	{
		echo "listen_addresses = ''"
		echo "unix_socket_directories = '$dir'"
		if [ ! -d "$dir/server" ]; then
			echo "dynamic_library_path = '$dir/stage$libdir:\$libdir'"
			if [ "$major" -ge 18 ]; then
				echo "extension_control_path = '$dir/stage$sharedir:\$system'"
			else
				echo "extension_destdir = '$dir/stage'"
			fi
		fi
		echo "fsync = off"
		printf '%s\n' "$@"
	} >>"$dir/data/postgresql.conf"
}

rag_server_start()
{
	local dir=$1
	rag_as_user "$("$(rag_pg_config)" --bindir)/pg_ctl" -D "$dir/data" -l "$dir/log" -w -t 60 \
		start >"$dir/pg_ctl.log" 2>&1 || { tail -n 30 "$dir/log" >&2; return 1; }
}

rag_server_stop()
{
	local dir=$1
	[ -f "$dir/data/postmaster.pid" ] || return 0
	rag_as_user "$("$(rag_pg_config)" --bindir)/pg_ctl" -D "$dir/data" -w -m "${2:-fast}" stop \
		>"$dir/pg_ctl.log" 2>&1
}

# Readable by the server's user, which need not be the caller.
rag_cache()
{
	if [ -n "${RAG_CACHE:-}" ]; then
		echo "$RAG_CACHE"
	elif [ "$(id -u)" -eq 0 ]; then
		echo /var/cache/rag
	elif [ -n "${HOME:-}" ]; then
		echo "${XDG_CACHE_HOME:-$HOME/.cache}/rag"
	else
		echo "set HOME or RAG_CACHE to a folder to keep fetched files in" >&2
		return 1
	fi
}

# Slim images leave /usr/share/doc out of packages: then deps has unpacked the pages in the cache.
rag_documents()
{
	ls -d "$(rag_cache)"/documents/html /usr/share/doc/postgresql-doc-*/html 2>/dev/null |
		sort -V | tail -n 1 | grep .
}
