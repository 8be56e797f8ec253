/* The HTTP exchanges of tests/exchanges.txt, which tells how they are written. */
#ifndef TESTS_UNIT_EXCHANGES_H
#define TESTS_UNIT_EXCHANGES_H

#include "common/buf.h"

#define EXCHANGES_MAX        600
#define EXCHANGES_ANSWER_MAX 12

/* What a service must be told for them, beside address and handler. */
#define EXCHANGES_CONF                                                                             \
	"protocol=http\npipeline=4\nmax_target=100B\nmax_head=2000B\nmax_message=1000B\n"

struct exchange_answer {
	unsigned status;
	char kind;       /* '=' with `body`, '~' of `length` that is not sent, or 0 */
	struct buf body; /* owns */
	size_t length;
};

struct exchange {
	unsigned line;    /* of the file */
	struct buf bytes; /* owns */
	struct exchange_answer answers[EXCHANGES_ANSWER_MAX];
	unsigned answer_count;
	char end; /* '+', '.' or '?' */
};

/* Reads them all, from $srcdir or here; ends the program where one makes no sense. */
unsigned exchanges_load(struct exchange list[EXCHANGES_MAX]);

/* What text written like that stands for; websockets.txt has more short forms. */
void exchanges_expand(struct buf *to, const char *text);

#endif
