# include.awk: makes the script of an extension, by including files where it says so:
#
#   \ir FILE             the file, which lies beside this one
#   \ir FILE functions   its CREATE FUNCTION statements, as CREATE OR REPLACE
#   \ir FILE members     its objects, one a line, as ALTER EXTENSION ... ADD takes them

function fail(what)
{
	print FILENAME ": " what > "/dev/stderr"
	failed = 1
	exit 1
}

# The object of a COMMENT ON; an operator class has a family, made with it or before it.
function member(line, object)
{
	object = line
	sub(/^COMMENT ON /, "", object)
	sub(/ IS( '.*)?$/, "", object)
	if (object ~ /^OPERATOR FAMILY /)
		return
	print object
	if (sub(/^OPERATOR CLASS /, "OPERATOR FAMILY ", object))
		print object
}

function include(file, part,    line, status, lines, inside)
{
	while ((status = (getline line < file)) > 0)
	{
		lines++
		if (part == "")
			print line
		else if (part == "members" && line ~ /^COMMENT ON /)
			member(line)
		else if (part == "functions")
		{
			if (sub(/^CREATE FUNCTION /, "CREATE OR REPLACE FUNCTION ", line))
				inside = 1
			if (inside)
				print line
			if (line ~ /;$/)
				inside = 0
		}
	}
	close(file)
	if (status < 0 || lines == 0)
		fail("cannot read " file)
}

$1 == "\\ir" {
	folder = FILENAME
	sub(/[^\/]*$/, "", folder)
	if (NF > 3 || (NF == 3 && $3 != "functions" && $3 != "members"))
		fail("what is " $0 "?")
	include(folder $2, $3)
	next
}

{ print }

END { exit failed }
