/*
 * What a configuration file may get wrong, and every word of what is then told: nothing is cut,
 * passed over or taken for something else.
 */
#include "tests/unit/conf_help.h"
#include "tests/unit/run_help.h"

static const struct {
	const char *text, *told;
} check_conf_bad[] = {
    /* lines */
    {"", "t.conf: there is no service; a section [service NAME] with listen, protocol and handler "
	 "makes one\n"},
    {"# x\n", "t.conf: there is no service; a section [service NAME] with listen, protocol and "
	      "handler makes one\n"},
    {ECHO "  backlog=5\n", "t.conf:5: an indented line: a value is one line and cannot be "
			   "continued; take the blanks away if this is a line of its own\n"},
    {ECHO "\tx\n", "t.conf:5: an indented line: a value is one line and cannot be continued; take "
		   "the blanks away if this is a line of its own\n"},
    {ECHO "backlog\n", "t.conf:5: 'backlog': expects a line KEY = VALUE\n"},
    {ECHO "back log = 3\n", "t.conf:5: 'back log = 3': expects a line KEY = VALUE\n"},
    {ECHO "= 3\n", "t.conf:5: '= 3': expects a line KEY = VALUE\n"},
    {ECHO "\x1b[31m\n", "t.conf:5: '\\x1b[31m': expects a line KEY = VALUE\n"},
    {"backlog=3\n" ECHO,
	"t.conf:1: a key before the first section; [hostler] or [service NAME] comes first\n"},
    /* sections */
    {ECHO "[hostler\n", "t.conf:5: a [ without its ]\n"},
    {ECHO "[hostler] x\nqueue = oops\n", "t.conf:5: something follows the ]\n"},
    {ECHO "[hostlr]\nx=1\n", "t.conf:5: [hostlr]: unknown section; did you mean [hostler]?\n"},
    {ECHO "[Service b]\n", "t.conf:5: [Service b]: unknown section; did you mean [service b]?\n"},
    {ECHO "[upper]\n",
	"t.conf:5: [upper]: unknown section; there are [hostler] and [service NAME]\n"},
    {ECHO "[]\n", "t.conf:5: []: unknown section; there are [hostler] and [service NAME]\n"},
    {"[service]\nlisten=1\n",
	"t.conf:1: [service]: a service needs a name of 1 to 48 letters, digits or - _ .\n"},
    {"[service a b]\n",
	"t.conf:1: [service a b]: a service needs a name of 1 to 48 letters, digits or - _ .\n"},
    {"[service x/y]\n",
	"t.conf:1: [service x/y]: a service needs a name of 1 to 48 letters, digits or - _ .\n"},
    {"[hostler]\n" ECHO "[hostler]\n", "t.conf:6: [hostler]: is there twice, first in line 1\n"},
    {ECHO ECHO, "t.conf:5: [service a]: is there twice, first in line 1\n"},
    {"[service a]\n", "t.conf:1: [service a]: listen is missing; for example listen = "
		      "127.0.0.1:10001\n"
		      "t.conf:1: [service a]: protocol is missing; for example protocol = line\n"
		      "t.conf:1: [service a]: handler is missing; for example handler = program\n"},
    /* keys */
    {ECHO "document_root=/\n",
	"t.conf:5: [service a] document_root: unknown key; did you mean root?\n"},
    {"[service a]\nlisten=1\nprotocol=ws\nhandler=echo\n",
	"t.conf:3: [service a] protocol: 'ws': expects stream, line, frame, http or websocket; did "
	"you mean websocket?\n"},
    {"[service a]\nlisten=1\nprotocol=websocket\nhandler=echo\ndeflate=on\n",
	"t.conf:5: [service a] deflate: 'on': expects no or yes; did you mean yes?\n"},
    {"[service a]\nlisten=http://127.0.0.1:1\nprotocol=http\nhandler=echo\n",
	"t.conf:2: [service a] listen: 'http://127.0.0.1:1' is a URL: expected 127.0.0.1:80, "
	"[::1]:80, localhost:80, *:80 or unix:/path\n"},
    {"[service a]\nlisten=1\nprotocol=http\nhandler=echo\ncontent_type=\n",
	"t.conf:5: [service a] content_type: there is no value: expects one, such as text/plain; "
	"charset=utf-8\n"},
    {ECHO "backlgo=3\n", "t.conf:5: [service a] backlgo: unknown key; did you mean backlog?\n"},
    {ECHO "max-connections=3\n",
	"t.conf:5: [service a] max-connections: unknown key; did you mean max_connections?\n"},
    {ECHO "whatever=3\n", "t.conf:5: [service a] whatever: unknown key\n"},
    {ECHO "workers=3\n", "t.conf:5: [service a] workers: belongs into a section [hostler]\n"},
    {ECHO "[hostler]\nqueue=3\n",
	"t.conf:6: [hostler] queue: belongs into a section [service NAME]\n"},
    {ECHO "backlog=3\nbacklog=4\n",
	"t.conf:6: [service a] backlog: is given twice, first in line 5\n"},
    {ECHO "backlog=x\nbacklog=4\n",
	"t.conf:5: [service a] backlog: 'x': expects a number from 1 to 65535\n"
	"t.conf:6: [service a] backlog: is given twice, first in line 5\n"},
    /* what a request says of its service */
    {HTTP "path=api\n",
	"t.conf:5: [service a] path: 'api' is no path: expects one that begins with "
	"/, as it reads when decoded, without ? # % and blanks\n"},
    {HTTP "path=/a?b\n",
	"t.conf:5: [service a] path: '/a?b' is no path: expects one that begins with "
	"/, as it reads when decoded, without ? # % and blanks\n"},
    {HTTP "host=http://a\n",
	"t.conf:5: [service a] host: 'http://a' is no host: expects names without "
	"scheme and port\n"},
    {SOCKET "origins=https://a/b\n",
	"t.conf:5: [service a] origins: 'https://a/b' is no origin: expects * alone, or "
	"SCHEME://HOST[:PORT] with nothing behind it\n"},
    {SOCKET "origins=* https://a\n",
	"t.conf:5: [service a] origins: '*' is no origin: expects * alone, or "
	"SCHEME://HOST[:PORT] with nothing behind it\n"},
    {SOCKET "subprotocols=chat a/b\n",
	"t.conf:5: [service a] subprotocols: 'a/b' is no name of a subprotocol: "
	"expects letters, digits and - . _ + alone\n"},
    {HTTP "origins=*\n",
	"t.conf:5: [service a] origins: is for protocol websocket alone; the protocol is http\n"},
    {SOCKET "message=json\n",
	"t.conf:5: [service a] message: is for protocol http alone; the protocol is websocket\n"},
    {SOCKET "ids=yes\n",
	"t.conf:5: [service a] ids: is for protocol frame alone; the protocol is websocket\n"},
    {HTTP "host=a b:80\n", "t.conf:5: [service a] host: 'b:80' is no host: expects names without "
			   "scheme and port\n"},
    /* the shape of what is sent is the handler's own */
    {"[service a]\nlisten=1\nprotocol=http\nhandler=status\nmessage=raw\ncontent_type=a/b\n",
	"t.conf:5: [service a] message: means nothing to handler status\n"
	"t.conf:6: [service a] content_type: means nothing to handler status\n"},
    {"[service a]\nlisten=1\nprotocol=line\nhandler=status\n",
	"t.conf:4: [service a] handler: status cannot stand behind protocol line\n"},
    {ECHO "path=/a\n",
	"t.conf:5: [service a] path: is for the protocols http and websocket alone; the "
	"protocol is line\n"},
    {ECHO "origins=*\n",
	"t.conf:5: [service a] origins: is for protocol websocket alone; the protocol is line\n"},
    {"[service a]\nlisten=1\nprotocol=http\nhandler=echo\nhost=x y\n"
     "[service b]\nlisten=1\nprotocol=http\nhandler=echo\nhost=Y\n",
	"t.conf:7: [service b] listen: 127.0.0.1:1 is taken by [service a] in line 2, and nothing "
	"tells the two apart: give them another path or host\n"},
    {"[service a]\nlisten=1\nprotocol=http\nhandler=echo\n"
     "[service b]\nlisten=1\nprotocol=line\nhandler=echo\n",
	"t.conf:6: [service b] listen: 127.0.0.1:1 is taken by [service a] in line 2\n"},
    {"[service a]\nlisten=1 1\nprotocol=http\nhandler=echo\n",
	"t.conf:2: [service a] listen: 127.0.0.1:1 is there twice\n"},
    /* values */
    {ECHO "backlog=\n",
	"t.conf:5: [service a] backlog: there is no value: expects a number from 1 to 65535\n"},
    {ECHO "backlog=0\n", "t.conf:5: [service a] backlog: '0': expects a number from 1 to 65535\n"},
    {ECHO "backlog=65536\n",
	"t.conf:5: [service a] backlog: '65536': expects a number from 1 to 65535\n"},
    {ECHO "backlog=18446744073709551617\n",
	"t.conf:5: [service a] backlog: '18446744073709551617': expects a number from 1 to "
	"65535\n"},
    {ECHO "backlog=1.5\n",
	"t.conf:5: [service a] backlog: '1.5': expects a number from 1 to 65535\n"},
    {ECHO "backlog=-1\n",
	"t.conf:5: [service a] backlog: '-1': expects a number from 1 to 65535\n"},
    {ECHO "backlog=4K\n",
	"t.conf:5: [service a] backlog: '4K': expects a number from 1 to 65535\n"},
    {PROGRAM "instances=aut\n", "t.conf:6: [service a] instances: 'aut': expects auto, a number "
				"from 1 to 1024, or a range such as "
				"2..8\n"},
    {PROGRAM "instances=0\n", "t.conf:6: [service a] instances: '0': expects auto, a number from 1 "
			      "to 1024, or a range such as "
			      "2..8\n"},
    {PROGRAM "instances=1025\n", "t.conf:6: [service a] instances: '1025': expects auto, a number "
				 "from 1 to 1024, or a range such as "
				 "2..8\n"},
    {PROGRAM "instances=..\n", "t.conf:6: [service a] instances: '..': expects auto, a number from "
			       "1 to 1024, or a range such as "
			       "2..8\n"},
    {PROGRAM "instances=2..\n", "t.conf:6: [service a] instances: '2..': expects auto, a number "
				"from 1 to 1024, or a range such as "
				"2..8\n"},
    {PROGRAM "instances=..3\n", "t.conf:6: [service a] instances: '..3': expects auto, a number "
				"from 1 to 1024, or a range such as "
				"2..8\n"},
    {PROGRAM "instances=3..2\n", "t.conf:6: [service a] instances: '3..2': expects auto, a number "
				 "from 1 to 1024, or a range such as "
				 "2..8\n"},
    {PROGRAM "instances=0..4\n", "t.conf:6: [service a] instances: '0..4': expects auto, a number "
				 "from 1 to 1024, or a range such as "
				 "2..8\n"},
    {PROGRAM "instances=1..1025\n", "t.conf:6: [service a] instances: '1..1025': expects auto, a "
				    "number from 1 to 1024, or a range such as "
				    "2..8\n"},
    {PROGRAM "instances=1...3\n", "t.conf:6: [service a] instances: '1...3': expects auto, a "
				  "number from 1 to 1024, or a range such as "
				  "2..8\n"},
    {PROGRAM "instances=1..2..3\n", "t.conf:6: [service a] instances: '1..2..3': expects auto, a "
				    "number from 1 to 1024, or a range such as "
				    "2..8\n"},
    {PROGRAM "instances=2-8\n", "t.conf:6: [service a] instances: '2-8': expects auto, a number "
				"from 1 to 1024, or a range such as "
				"2..8\n"},
    {PROGRAM "instances=1.. 3\n", "t.conf:6: [service a] instances: '1.. 3': expects auto, a "
				  "number from 1 to 1024, or a range such as "
				  "2..8\n"},
    {PROGRAM "instances=99999999999999999999..3\n",
	"t.conf:6: [service a] instances: '99999999999999999999..3': expects auto, a number from 1 "
	"to 1024, or a range such as "
	"2..8\n"},
    {PROGRAM "max_age=30\n",
	"t.conf:6: [service a] max_age: '30': expects a duration with a unit, such as 1d (0 to "
	"365d); did you mean 30s?\n"},
    {PROGRAM "ready=lin\n",
	"t.conf:6: [service a] ready: 'lin': expects start or line; did you mean line?\n"},
    {PROGRAM "queue_timeout=30\n",
	"t.conf:6: [service a] queue_timeout: '30': expects a duration with a unit, such as 10s "
	"(1ms to 365d); did you mean 30s?\n"},
    {ECHO "idle_timeout=0\n", "t.conf:5: [service a] idle_timeout: '0': expects a duration with a "
			      "unit, such as 5m (1ms to 365d)\n"},
    {ECHO "idle_timeout=2.5\n",
	"t.conf:5: [service a] idle_timeout: '2.5': expects a duration with a unit, such as 5m "
	"(1ms to 365d); did you mean 2.5s?\n"},
    {ECHO "idle_timeout=366d\n", "t.conf:5: [service a] idle_timeout: '366d': expects a duration "
				 "with a unit, such as 5m (1ms to 365d)\n"},
    {ECHO "idle_timeout=5 m\n", "t.conf:5: [service a] idle_timeout: '5 m': expects a duration "
				"with a unit, such as 5m (1ms to 365d)\n"},
    {"[hostler]\nspin=5\n" ECHO,
	"t.conf:2: [hostler] spin: '5': expects a duration with a unit, such as 0.05ms (0 to "
	"1ms)\n"},
    {"[hostler]\nspin=1\n" ECHO,
	"t.conf:2: [hostler] spin: '1': expects a duration with a unit, such as 0.05ms (0 to "
	"1ms); did you mean 1ms?\n"},
    {PROGRAM "limit_as=512\n",
	"t.conf:6: [service a] limit_as: '512': expects a size with a unit, such as 1G (1M to "
	"1048576G); did you mean 512M?\n"},
    {ECHO "max_message=64\n",
	"t.conf:5: [service a] max_message: '64': expects a size with a unit, "
	"such as 64K (1B to 1G); did you mean 64B?\n"},
    {ECHO "max_message=65536\n",
	"t.conf:5: [service a] max_message: '65536': expects a size with a "
	"unit, such as 64K (1B to 1G); did you mean 64K?\n"},
    {ECHO "max_message=2G\n",
	"t.conf:5: [service a] max_message: '2G': expects a size with a unit, "
	"such as 64K (1B to 1G)\n"},
    {PROGRAM "limit_cpu=1500ms\n", "t.conf:6: [service a] limit_cpu: expects whole seconds\n"},
    {PROGRAM "on_cancel=kil\n", "t.conf:6: [service a] on_cancel: 'kil': expects finish or kill; "
				"did you mean kill?\n"},
    {PROGRAM "discipline=session\n",
	"t.conf:6: [service a] discipline: 'session': expects strict\n"},
    /* comments inside values */
    {ECHO "backlog=5 ; five\n", "t.conf:5: [service a] backlog: a semicolon behind a blank: "
				"comments stand on lines of their own\n"},
    {ECHO "backlog= ;five\n", "t.conf:5: [service a] backlog: a semicolon behind a blank: "
			      "comments stand on lines of their own\n"},
    {ECHO "backlog=;five\n", "t.conf:5: [service a] backlog: a semicolon behind a blank: "
			     "comments stand on lines of their own\n"},
    {ECHO "[hostler]\npid_file=/x # y\n",
	"t.conf:6: [hostler] pid_file: a # behind a blank: comments stand on lines of their own\n"},
    {"[service a]\nlisten=80\nprotocol=line\nhandler=program\ncommand=sh -c \"a ; b\"\n",
	"t.conf:5: [service a] command: a semicolon behind a blank: comments stand on lines of "
	"their own; one that is meant is written \\;\n"},
    {"[service a]\nlisten=80\nprotocol=line\nhandler=program\ncommand=cat # the cat\n",
	"t.conf:5: [service a] command: a word begins with #: comments stand on lines of their "
	"own, and a # that is meant wants quotes\n"},
    /* what goes together */
    {"[service a]\nlisten=80\nprotocol=stream\nhandler=program\ncommand=sh\n",
	"t.conf:4: [service a] handler: program cannot stand behind protocol stream\n"},
    {ECHO "ids = maybe\n", "t.conf:5: [service a] ids: 'maybe': expects no or yes\n"},
    {ECHO "ids = yes\n",
	"t.conf:5: [service a] ids: is for protocol frame alone; the protocol is line\n"},
    {ECHO "reply_end = END\n",
	"t.conf:5: [service a] reply_end: is for handler program alone; the handler is echo\n"},
    {"[service a]\nlisten=80\nprotocol=line\nhandler=program\ncommand=sh\nframing=frame\n"
     "reply_end=END\n",
	"t.conf:7: [service a] reply_end: is for framing line alone; a frame can hold many lines "
	"as it is\n"},
    {"[service a]\nlisten=80\nprotocol=http\nhandler=program\ncommand=sh\nstream=yes\n",
	"t.conf:6: [service a] stream: needs reply_end: how else would it be known where a reply "
	"ends\n"},
    {"[service a]\nlisten=80\nprotocol=http\nhandler=program\ncommand=sh\nstream=yes\n"
     "reply_end=.\nmessage=json\n",
	"t.conf:6: [service a] stream: is for message raw alone\n"},
    {"[service a]\nlisten=80\nprotocol=line\nhandler=program\ncommand=sh\nreply_end=\n",
	"t.conf:6: [service a] reply_end: there is no value: expects one, such as END\n"},
    {"[service a]\nlisten=80\nprotocol=line\nhandler=program\n",
	"t.conf:1: [service a]: command is missing; handler program needs it\n"},
    {"[service a]\nlisten=80\nprotocol=line\ncommand=sh\n",
	"t.conf:1: [service a]: handler is missing; a command wants handler = program\n"},
    {ECHO "command=sh\nqueue=5\n",
	"t.conf:5: [service a] command: is for handler program alone; the handler is echo\n"
	"t.conf:6: [service a] queue: is for the handlers program and collect alone; the handler "
	"is echo\n"},
    /* files */
    {"[service a]\nlisten=80\nprotocol=http\nhandler=static\n",
	"t.conf:1: [service a]: root is missing; handler static needs it\n"},
    {"[service a]\nlisten=80\nprotocol=http\nhandler=static\nroot=/nowhere\nindex=a/b\n",
	"t.conf:5: [service a] root: /nowhere: No such file or directory\n"
	"t.conf:6: [service a] index: 'a/b' is no name of a file that may be served\n"},
    {"[service a]\nlisten=80\nprotocol=http\nhandler=static\nroot=/etc/passwd\nindex=.a\n",
	"t.conf:5: [service a] root: /etc/passwd is no folder\n"
	"t.conf:6: [service a] index: '.a' is no name of a file that may be served\n"},
    {"[service a]\nlisten=80\nprotocol=http\nhandler=static\nroot=/\nmessage=raw\n"
     "content_type=a/b\n",
	"t.conf:6: [service a] message: means nothing to handler static\n"
	"t.conf:7: [service a] content_type: means nothing to handler static\n"},
    {"[service a]\nlisten=80\nprotocol=http\nhandler=echo\nroot=/\n",
	"t.conf:5: [service a] root: is for handler static alone; the handler is echo\n"},
    {"[service a]\nlisten=80\nprotocol=line\nhandler=static\nroot=/\n",
	"t.conf:4: [service a] handler: static cannot stand behind protocol line\n"},
    /* collecting */
    {"[service a]\nlisten=80\nprotocol=line\nhandler=collect\n",
	"t.conf:1: [service a]: file is missing; handler collect needs it\n"},
    {"[service a]\nlisten=80\nprotocol=line\nhandler=collect\nfile=/nowhere/file\n",
	"t.conf:5: [service a] file: its folder /nowhere: No such file or directory\n"},
    {"[service a]\nlisten=80\nprotocol=line\nhandler=collect\nfile=/etc/passwd/file\n",
	"t.conf:5: [service a] file: /etc/passwd is no folder\n"},
    {"[service a]\nlisten=80\nprotocol=line\nhandler=collect\nfile=/dev/null\n",
	"t.conf:5: [service a] file: /dev/null is no regular file\n"},
    {"[service a]\nlisten=80\nprotocol=line\nhandler=collect\nfile=/tmp/\n",
	"t.conf:5: [service a] file: /tmp/ is a folder\n"},
    {"[service a]\nlisten=80\nprotocol=line\nhandler=collect\nfile=/tmp/no-file\n"
     "[service b]\nlisten=81\nprotocol=line\nhandler=collect\nfile=/tmp/no-file\n",
	"t.conf:10: [service b] file: /tmp/no-file is taken by [service a] in line 5\n"},
    {"[service a]\nlisten=80\nprotocol=stream\nhandler=collect\nfile=/tmp/f\nack=written\n",
	"t.conf:6: [service a] ack: protocol stream has no messages to acknowledge; it goes with "
	"ack = none alone\n"},
    {"[service a]\nlisten=80\nprotocol=line\nhandler=collect\nfile=/tmp/f\nack=flushed\n"
     "instances=2\n",
	"t.conf:6: [service a] ack: 'flushed': expects none, written or synced\n"
	"t.conf:7: [service a] instances: is for handler program alone; the handler is collect\n"},
    {ECHO "file=x\nrotate_size=5K\n",
	"t.conf:5: [service a] file: is for handler collect alone; the handler is echo\n"
	"t.conf:6: [service a] rotate_size: is for handler collect alone; the handler is echo\n"},
    /* addresses */
    {"[service a]\nlisten=80 80\nprotocol=line\nhandler=echo\n",
	"t.conf:2: [service a] listen: 127.0.0.1:80 is there twice\n"},
    {"[service a]\nlisten=80\nprotocol=line\nhandler=echo\n"
     "[service b]\nlisten=81,localhost:80\nprotocol=line\nhandler=echo\n",
	"t.conf:6: [service b] listen: 127.0.0.1:80 is taken by [service a] in line 2\n"},
    {"[service a]\nlisten=unix:/tmp/x /tmp/x\nprotocol=line\nhandler=echo\n",
	"t.conf:2: [service a] listen: unix:/tmp/x is there twice\n"},
    {"[service a]\nlisten=,\nprotocol=line\nhandler=echo\n",
	"t.conf:2: [service a] listen: names no address; for example 127.0.0.1:10001\n"},
    /* programs */
    {"[service a]\nlisten=80\nprotocol=line\nhandler=program\ncommand=no-such-program x\n",
	"t.conf:5: [service a] command: no-such-program is no program in "
	"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin; one elsewhere wants its "
	"path, such as ./no-such-program\n"},
    {"[service a]\nlisten=80\nprotocol=line\nhandler=program\ncommand=./x\ndirectory=/nowhere\n",
	"t.conf:6: [service a] directory: /nowhere is no directory\n"},
    {"[service a]\nlisten=80\nprotocol=line\nhandler=program\ncommand=./no\ndirectory=/usr\n",
	"t.conf:5: [service a] command: /usr/no cannot be executed: No such file or directory\n"},
    {"[service a]\nlisten=80\nprotocol=line\nhandler=program\ncommand=/usr\n",
	"t.conf:5: [service a] command: /usr cannot be executed: Is a directory\n"},
    {"[service a]\nlisten=80\nprotocol=line\nhandler=program\ncommand=/etc/passwd\n",
	"t.conf:5: [service a] command: /etc/passwd is no executable file; chmod +x makes a script "
	"one\n"},
    {"[service a]\nlisten=80\nprotocol=line\nhandler=program\ncommand='' x\n",
	"t.conf:5: [service a] command: names no program\n"},
    {"[service a]\nlisten=80\nprotocol=line\nhandler=program\ncommand=sh 'x\n",
	"t.conf:5: [service a] command: a quote (') is never closed\n"},
    {PROGRAM "environment=A=1 2B=2\n", "t.conf:6: [service a] environment: '2B=2': expects words "
				       "NAME=VALUE; a name has letters, digits and _\n"},
    {PROGRAM "environment=A\n", "t.conf:6: [service a] environment: 'A': expects words "
				"NAME=VALUE; a name has letters, digits and _\n"},
    {PROGRAM "environment=A=1 A=2\n", "t.conf:6: [service a] environment: A is there twice\n"},
    /* users */
    {PROGRAM "user=no-such-user\n", "t.conf:6: [service a] user: there is no user no-such-user\n"},
    {PROGRAM "group=no-such-group\n",
	"t.conf:6: [service a] group: there is no group no-such-group\n"},
    {"[hostler]\nuser=no-such-user\n" ECHO,
	"t.conf:2: [hostler] user: there is no user no-such-user\n"},
};

START_TEST(test_bad)
{
	const char *told = check_conf_bad[_i].told;

	/* See test_words_of_the_build. */
	if (protocol_lacks(PROTOCOL_WEBSOCKET) != NULL && strstr(told, "http or websocket") != NULL)
		return;
	help_bad(check_conf_bad[_i].text, told);
}
END_TEST

/* Each build names the protocols and handlers that it has. */
START_TEST(test_words_of_the_build)
{
	const char *protocols = protocol_lacks(PROTOCOL_HTTP) != NULL ? "line or frame"
				: protocol_lacks(PROTOCOL_WEBSOCKET) != NULL
				    ? "line, frame or http"
				    : "line, frame, http or websocket";
	const char *handlers = handler_lacks(HANDLER_STATUS) != NULL
				   ? "discard, collect or program"
				   : "discard, collect, program, static or status";
	char expected[512];

	snprintf(expected, sizeof(expected),
	    "t.conf:3: [service a] protocol: 'lines': expects stream, %s; did you mean line?\n"
	    "t.conf:4: [service a] handler: 'proxy': expects echo, %s\n",
	    protocols, handlers);
	help_bad("[service a]\nlisten=80\nprotocol=lines\nhandler=proxy\n", expected);
	if (protocol_lacks(PROTOCOL_WEBSOCKET) != NULL)
		help_bad(SOCKET "backlog=0\n",
		    "t.conf:3: [service a] protocol: 'websocket': this hostlerd was built without "
		    "WebSocket\n"
		    "t.conf:5: [service a] backlog: '0': expects a number from 1 to 65535\n");
	if (protocol_lacks(PROTOCOL_HTTP) != NULL)
		help_bad("[service a]\nlisten=0\nprotocol=http\nhandler=status\n",
		    "t.conf:3: [service a] protocol: 'http': this hostlerd was built without HTTP\n"
		    "t.conf:4: [service a] handler: 'status': this hostlerd was built without "
		    "HTTP\n");
}
END_TEST

/* A path too long for a socket, an address that is none: the sentences belong to others. */
START_TEST(test_bad_elsewhere)
{
	char text[1024], *told;
	struct conf_errors errors;

	snprintf(text, sizeof(text), "[hostler]\ncontrol=/%0200d\n" ECHO, 0);
	ck_assert_ptr_null(help_parse(text, &errors));
	told = help_told(&errors);
	ck_assert_ptr_nonnull(strstr(told, "t.conf:2: [hostler] control: /000"));
	ck_assert_ptr_nonnull(strstr(told, "the path is longer than 107 bytes"));
	free(told);
	ck_assert_ptr_null(
	    help_parse("[service a]\nlisten=x:80 81 [::1\nprotocol=line\nhandler=echo\n", &errors));
	told = help_told(&errors);
	ck_assert_ptr_eq(strstr(told, "t.conf:2: [service a] listen: "), told);
	ck_assert_ptr_nonnull(strstr(told, "\nt.conf:2: [service a] listen: "));
	free(told);
}
END_TEST

START_TEST(test_all_at_once)
{
	help_bad("[service a]\nqueu=1\nlisten=80\nprotocol=line\nhandler=program\n"
		 "command=no-such-program\nidle_timeout=3\n[hostler]\nuser=no-such-user\n"
		 "max_connections=0\n",
	    "t.conf:2: [service a] queu: unknown key; did you mean queue?\n"
	    "t.conf:6: [service a] command: no-such-program is no program in "
	    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin; one elsewhere wants "
	    "its path, such as ./no-such-program\n"
	    "t.conf:7: [service a] idle_timeout: '3': expects a duration with a unit, such as 5m "
	    "(1ms to 365d); did you mean 3s?\n"
	    "t.conf:9: [hostler] user: there is no user no-such-user\n"
	    "t.conf:10: [hostler] max_connections: '0': expects a number from 1 to 1000000\n");
}
END_TEST

/* A file that is no configuration at all must not fill the terminal. */
START_TEST(test_too_many)
{
	struct conf_errors errors;
	char text[1000];

	memset(text, '\n', sizeof(text));
	for (size_t i = 0; i < sizeof(text); i += 2)
		text[i] = 'x';
	ck_assert_ptr_null(help_parse_bytes(text, sizeof(text), &errors));
	ck_assert_uint_eq(errors.count, 101);
	ck_assert_str_eq(errors.lines[0], "t.conf:1: 'x': expects a line KEY = VALUE");
	ck_assert_str_eq(errors.lines[99], "t.conf:100: 'x': expects a line KEY = VALUE");
	ck_assert_str_eq(errors.lines[100], "there are more errors; only the first 100 are told");
	conf_errors_free(&errors);
}
END_TEST

/* Exactly as many as are told: nothing is said of more. */
START_TEST(test_just_enough)
{
	struct conf_errors errors;
	char text[200 + sizeof(ECHO)];

	memcpy(text, ECHO, sizeof(ECHO));
	for (size_t i = 0; i < 200; i += 2)
		memcpy(text + strlen(ECHO) + i, "x\n", 3);
	ck_assert_ptr_null(help_parse(text, &errors));
	ck_assert_uint_eq(errors.count, 100);
	conf_errors_free(&errors);
}
END_TEST

START_TEST(test_nul)
{
	static const char text[] = ECHO "backlog=5\0\nbacklog=6\n\0";
	struct conf_errors errors;
	char *told;

	ck_assert_ptr_null(help_parse_bytes(text, sizeof(text) - 1, &errors));
	told = help_told(&errors);
	ck_assert_str_eq(told, "t.conf:5: a NUL byte: this is no text file\n"
			       "t.conf:7: a NUL byte: this is no text file\n");
	free(told);
}
END_TEST

START_TEST(test_services_max)
{
	struct conf_errors errors;
	char *text = NULL, *told;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);
	struct conf *conf;

	for (unsigned i = 0; i < CONF_SERVICES_MAX; i++)
		fprintf(out, "[service a%u]\nlisten=0\nprotocol=line\nhandler=echo\n", i);
	fflush(out);
	conf = help_good(text);
	ck_assert_uint_eq(conf->service_count, CONF_SERVICES_MAX);
	conf_free(conf);
	fputs("[service b]\nlisten=0\n", out);
	fclose(out);
	ck_assert_ptr_null(help_parse(text, &errors));
	told = help_told(&errors);
	ck_assert_str_eq(told, "t.conf:1025: [service b]: there are more than 256 services\n");
	free(told);
	free(text);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("conf_bad");
	TCase *tcase = tcase_create("conf_bad");

	tcase_add_loop_test(tcase, test_bad, 0, sizeof(check_conf_bad) / sizeof(check_conf_bad[0]));
	tcase_add_test(tcase, test_words_of_the_build);
	tcase_add_test(tcase, test_bad_elsewhere);
	tcase_add_test(tcase, test_all_at_once);
	tcase_add_test(tcase, test_too_many);
	tcase_add_test(tcase, test_just_enough);
	tcase_add_test(tcase, test_nul);
	tcase_add_test(tcase, test_services_max);
	suite_add_tcase(suite, tcase);
	return help_run(suite);
}
