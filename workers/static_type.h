/* What a file is, by the end of its name. Pure. */
#ifndef WORKERS_STATIC_TYPE_H
#define WORKERS_STATIC_TYPE_H

/* The Content-Type of a file of that name or path, for ever. */
const char *static_type(const char *path);

#endif
