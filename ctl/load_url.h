/* An address as people copy it: http://HOST[:PORT][/PATH], or ws:// and the same. */
#ifndef CTL_LOAD_URL_H
#define CTL_LOAD_URL_H

#include "common/addr.h"

#include <stdbool.h>
#include <stddef.h>

#define LOAD_URL_ADDRESS_MAX (ADDR_TEXT_MAX + 1) /* with its NUL */

/*
 * Splits such an address: `address` becomes HOST:PORT (80 where none is given), *path borrows the
 * rest from `text`, "/" where there is none, *protocol is "http" or "websocket" (static). False,
 * and nothing is changed, for any other text; also for one that has no HOST, or whose HOST:PORT is
 * too long to be any.
 */
bool load_url_split(
    const char *text, char address[LOAD_URL_ADDRESS_MAX], const char **path, const char **protocol);

#endif
