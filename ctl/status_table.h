/* The tables that `status` and its parts share. Each prints to standard output. */
#ifndef CTL_STATUS_TABLE_H
#define CTL_STATUS_TABLE_H

#include <jansson.h>

void status_table_services(const json_t *services, unsigned width);
void status_table_workers(const json_t *workers, unsigned width);
/* Of a list in which each has its service; with what they said last. */
void status_table_instances(const json_t *instances, unsigned width);
/* Of all services, behind an empty line; nothing where no service has any. */
void status_table_all_instances(const json_t *services, unsigned width);

#endif
