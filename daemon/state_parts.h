/*
 * The parts of the state, each written and read in one file. Private to state*.c.
 *
 * A function that reads returns false when record_fail() has been told. A struct is inserted into
 * the master's lists before it is filled, so that state_disown() finds what there is of it.
 *
 * What a table leaves out of its struct stands above it ("Not of struct ..."): a new member gets a
 * row, or a place there, or tests/house.py complains.
 */
#ifndef DAEMON_STATE_PARTS_H
#define DAEMON_STATE_PARTS_H

#include "common/record.h"
#include "daemon/master.h"

/* state.c: the master's own */
extern const struct record_field state_master_fields[];
/* state.c: reads the document behind a descriptor; NULL and a sentence in `why` */
json_t *state_read(int fd, char *why, size_t why_size);

/* state_generation.c; the services come first */
json_t *state_save_generation(const struct generation *generation);
bool state_load_generation(
    struct generation *generation, const json_t *saved, struct record_reader *reader);
void state_disown_generation(struct generation *generation, const struct record_reader *reader);

/* state_slot.c */
json_t *state_save_slot(const struct slot *slot);
bool state_load_slot(struct slot *slot, const json_t *saved, struct record_reader *reader);

/* state_service.c */
json_t *state_save_service(const struct service *service);
bool state_load_service(struct generation *generation, unsigned index, const json_t *saved,
    struct record_reader *reader);
void state_disown_service(struct service *service, const struct record_reader *reader);

/* state_memory.c */
json_t *state_save_stats(const struct stats *stats);
/* NULL, and told. */
struct stats *state_load_stats(
    const struct master *master, const json_t *saved, struct record_reader *reader);
void state_disown_stats(struct stats *stats, const struct record_reader *reader);
json_t *state_save_pool(const struct service *service);
/*
 * NULL, and told. Of one that another version laid out in another way *foreign has all that is
 * known, and what is returned stands in for it; else its descriptor is -1.
 */
struct pool *state_load_pool(const struct master *master, const json_t *saved,
    struct service_foreign *foreign, struct record_reader *reader);
/* Frees it; what another image gave us stays open. */
void state_disown_pool(struct pool *pool, const struct record_reader *reader);

/* state_instance.c */
json_t *state_save_instance(const struct instance *instance);
bool state_load_instance(
    struct instance *instance, const json_t *saved, struct record_reader *reader);
void state_disown_instance(struct instance *instance);
/* Whether it is the pid of a child of ours, or could be one of the master that we rehearse for. */
bool state_check_child(const struct master *master, pid_t pid, struct record_reader *reader);

/* state_collect.c */
json_t *state_save_files(const struct master *master);
bool state_load_files(struct master *master, const json_t *saved, struct record_reader *reader);
/* Which of the files the generation's services collect in. */
json_t *state_save_collects(const struct generation *generation);
bool state_load_collects(
    struct generation *generation, const json_t *saved, struct record_reader *reader);
void state_disown_files(struct master *master);

#endif
