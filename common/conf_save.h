/*
 * A configuration as it was understood, written down and taken up again: not the text of a file,
 * which may be another one by now, nor what a user or a path meant then, but what is in force.
 */
#ifndef COMMON_CONF_SAVE_H
#define COMMON_CONF_SAVE_H

#include "common/conf.h"

#include <jansson.h>

json_t *conf_save(const struct conf *conf);
/*
 * The configuration of conf_save(), be it another version's. Options that this version does not
 * know are passed over, those that the other did not know have their defaults. NULL and a sentence
 * in `why` when it makes no sense, or a value is none that this version takes. The caller frees it
 * with conf_free(). Asks neither the file system nor the user database.
 */
struct conf *conf_restore(const json_t *saved, char *why, size_t why_size);
/* An address that was saved by its bytes; false when it is none. */
bool conf_restore_addr(const json_t *saved, struct addr *addr);

#endif
