/* The verb `generations`, and what `status` shows of them. */
#ifndef CTL_GENERATIONS_H
#define CTL_GENERATIONS_H

#include "ctl/command.h"

/* What a reply has of each. */
extern const struct reply_field generations_one[];

/* Their table, and below it what those wait for that are not the current one. */
void generations_print(const json_t *generations, unsigned width);

enum command_exit generations_run(const struct command_line *line);

#endif
